"""Looks at the dashboard the way an operator does, in a real browser. Usage: drive.py PROGRAM FOLDER"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from urllib.parse import quote

from playwright.sync_api import sync_playwright
from operate import operated, staged
from scene import PATIENCE, Proxy, Scene, eventually, soon

PROBE = """<img src=x onerror="fired()"><script>fired()</script>'"><svg onload=fired()>"""
SERIOUS = ("serious", "critical")
# Those whose parts the dark colours and a phone are tried on, besides their width.
DARK = ("ramping", "waiting", "awaiting", "rolled_back", "stages", "disconnected")
STATES = ("ramping", "waiting", "waiting_again", "awaiting", "held", "promoted", "braked", "rolled_back", "paused", "watching", "receding", "idle", "empty", "stages", "shows_only", "disconnected")
results = []


def claim(what, holds, told=""):
    """Notes a check."""
    results.append((what, bool(holds)))
    print(f"{'ok    ' if holds else 'FAILED'} {what}{'' if holds else f': {told}'}", flush=True)


class Browser:
    """Pages that count what they complain of: errors, broken policies, probes that fired."""

    def __init__(self, browser, folder):
        self.browser, self.folder, self.complaints, self.fired = browser, folder, [], []
        self.axe = open(f"{folder}/ui/node_modules/axe-core/axe.min.js", encoding="utf-8").read()

    def page(self, url, width=1280, height=900, scheme="light"):
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(PATIENCE * 1000)
        context.add_init_script(self.axe)
        context.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('policy', e.violatedDirective, e.blockedURI))")
        page = context.new_page()
        page.expose_function("fired", lambda: self.fired.append(url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.heard)
        page.goto(url)
        return page

    def heard(self, message):
        # A proxy that is away is no fault of the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def shot(self, page, name):
        page.screenshot(path=f"{self.folder}/shots/{name}.png", full_page=True)

    def violations(self, page):
        found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations)")
        return [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found if v["impact"] in SERIOUS]


def says(page, text):
    """Waits until the badge of where the service stands says this."""
    page.locator(".standing .badge.large", has_text=text).wait_for()


def drawn(page):
    """Says of each canvas whether anything is drawn on it, and whether its box was given a size."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.plot-canvas')].map((plot) => {
        const canvas = plot.querySelector('canvas');
        const box = plot.querySelector('.u-over').getBoundingClientRect();
        if (canvas.width === 0 || canvas.height === 0) return false;
        // Read from a copy: the browser complains of a canvas that is read again and again.
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', {willReadFrequently: true});
        copy.drawImage(canvas, 0, 0);
        const pixels = copy.getImageData(0, 0, canvas.width, canvas.height).data;
        return box.width > 50 && box.height > 50 && pixels.some((value) => value > 0);
    })"""
    )


def head_of(url):
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.headers, answer.read().decode()


def served(proxy):
    """The page and its assets come with the right fields, and are what is committed."""
    headers, text = head_of(f"http://{proxy.admin}/")
    policy = headers["content-security-policy"]
    claim("the policy of the page allows no inline script or style", "unsafe" not in policy and "default-src 'none'" in policy, policy)
    request = urllib.request.Request(f"http://{proxy.admin}/", headers={"if-none-match": headers["etag"]})
    try:
        urllib.request.urlopen(request, timeout=PATIENCE)
        claim("a page that is known is not sent again", False)
    except urllib.error.HTTPError as answer:
        claim("a page that is known is not sent again", answer.code == 304, answer.code)
    script = text.split('src="')[1].split('"')[0]
    headers, text = head_of(f"http://{proxy.admin}{script}")
    kept = (headers["content-type"], headers["x-content-type-options"], "immutable" in headers["cache-control"])
    claim("assets are typed and kept for ever", kept == ("text/javascript; charset=utf-8", "nosniff", True), kept)
    committed = open("src/admin/dashboard/dist/app.js", encoding="utf-8").read()
    claim("the program holds the committed script", text == committed, "build the program again")


def rollback_live(browser, scene, proxy, visitors):
    """A slow version comes, and the page shows how it is taken back. Nobody comes to it before its beginning was seen."""
    page = browser.page(f"http://{proxy.admin}/#/carts")
    says(page, "Idle")
    eventually("requests in the chart", lambda: "ms" in page.locator(".reading.stable .reading-value").nth(1).inner_text())
    browser.shot(page, "live-idle")
    visitors.wait()
    proxy.try_version("0.8.2", scene.carts("0.8.2"))
    says(page, "Progressing")
    claim("a rollout that begins shows at once", "0.8.2 serves 10\u00a0%" in page.locator("h1").inner_text())
    visitors.go_on()
    says(page, "Braked")
    claim("the tab's title says it too", soon(lambda: page.title() == "Braked: carts – Portcullis"), page.title())
    alert = page.locator("p[role=alert][aria-live]")
    claim("a brake interrupts a screen reader", soon(lambda: "Braked" in alert.inner_text()), alert.inner_text())
    browser.shot(page, "live-braked")
    canary = page.locator(".reading.canary .reading-value").nth(1)
    slow = eventually("the canary's latency", lambda: (text := canary.inner_text().split()) and text[-1] == "s" and text)
    claim("the canary is seen to be slow", float(slow[0]) >= 1.0, slow)
    says(page, "Rolled back")
    verdict = page.locator(".standing .reason").inner_text()
    reason = proxy.rollout()["reason"]
    claim("the verdict is the proxy's sentence", verdict.rstrip(".").lower() == reason.lower() and "0.8.2" in verdict, verdict)
    page.locator(".event .badge", has_text="Rolled back").wait_for()
    claim("the decision stands in the timeline", "by gate" in page.locator(".event").first.inner_text())
    claim("every chart is drawn under the policy", soon(lambda: all(charts := drawn(page)) and len(charts) == 5), drawn(page))
    page.locator(".twin summary").nth(1).press("Enter")
    cells = page.locator(".plot").nth(1).locator("tbody tr td:nth-child(3)").all_inner_texts
    claim("the table twin says what the chart shows", soon(lambda: any("\u00a0s (" in cell for cell in cells())), cells())
    browser.shot(page, "live-rolled-back")
    return page


def reported(browser, scene, proxy):
    """The report of the rollback as a browser shows it: a page that stands alone."""
    file = scene.folder / "report.html"
    file.write_text(scene.run("report", "carts", "--admin", f"http://{proxy.admin}"), encoding="utf-8")
    for name, width, scheme in (("desk", 1280, "light"), ("phone", 360, "dark")):
        page = browser.page(f"file://{file}", width=width, scheme=scheme)
        wide = page.evaluate("document.documentElement.scrollWidth")
        told = ([] if wide <= width else [f"{wide} px wide"]) + browser.violations(page)
        claim(f"report, {name}: nothing overflows, axe finds nothing serious", not told, told)
        browser.shot(page, f"report-{name}")
        if name == "desk":
            page.locator("summary").first.press("Enter")
            cells = page.locator("details[open] td").all_inner_texts()
            claim("the table of the evidence opens by keyboard, and has the decisions", "braked" in cells and "rolled back" in cells, cells)
            spots = page.locator("figure", has_text="Evidence of p95 < 500 ms").locator("circle")
            claim("the evidence of both decisions is seen in its plot", spots.count() >= 2 and all(spot.is_visible() for spot in spots.all()))
            loaded = page.evaluate("performance.getEntriesByType('resource').length + document.scripts.length")
            claim("a report has no script and loads nothing", loaded == 0, loaded)
        page.context.close()


def abort_by_keyboard(browser, scene, proxy, page, visitors):
    """Another version comes, and is stopped without a pointer; the reason is a probe. Without visitors nothing else stops it."""
    visitors.wait()
    proxy.try_version("0.8.3", scene.carts("0.8.3"))
    says(page, "Progressing")
    page.locator("h1").focus()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Abort":
            break
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    focused = page.evaluate("document.activeElement.closest('label')?.textContent ?? ''")
    claim("the dialog asks for the name first", "carts" in focused, focused)
    page.keyboard.type("cart")
    page.keyboard.press("Enter")
    claim("half a name confirms nothing", proxy.rollout()["phase"] == "progressing")
    page.keyboard.type("s")
    page.keyboard.press("Tab")
    page.keyboard.type(PROBE)
    browser.shot(page, "live-confirm")
    claim("axe finds nothing serious in the dialog", not (found := browser.violations(page)), found)
    page.keyboard.press("Enter")
    says(page, "Aborted")
    # How fast an abort is answered is for benches/abort.rs to say.
    claim("an abort by keyboard is done and seen", proxy.rollout()["phase"] == "aborted", proxy.rollout())
    told = page.locator(".event", has_text=PROBE)
    claim("a reason is shown as it was typed", soon(told.count) > 0)
    focus = lambda: page.evaluate("document.activeElement.id")
    claim("the focus is kept when the button is gone", soon(lambda: focus() == "standing"), focus())
    visitors.go_on()


def away_and_back(browser, proxy, page):
    """The proxy goes, and comes back at the same place."""
    proxy.stop()
    page.locator(".banner", has_text="No connection").wait_for()
    link = page.locator(".link")
    claim("a proxy that is away is told", soon(lambda: link.inner_text() == "Disconnected"), link.inner_text())
    browser.shot(page, "live-disconnected")
    proxy.start()
    page.locator(".link", has_text="Live").wait_for()
    says(page, "Aborted")
    decided = page.locator(".event").count
    claim("the page finds the proxy again, and what it decided", soon(lambda: decided() >= 3), decided())


def recorded(browser, scene, folder):
    """Every state, light and dark, large and small."""
    ui = f"{folder}/ui"
    subprocess.run(["node", f"{ui}/dev/fixtures.mjs", f"{folder}/states"], check=True)
    for state in STATES:
        url = scene.recorded(ui, state) + ("#stages" if state == "stages" else "")
        page = browser.page(url)
        page.locator("h1:not(:has-text('Waiting'))").wait_for()
        if state == "disconnected":
            page.locator(".banner").wait_for()
        # 640 px are 1280 px at a zoom of 200 %.
        for name, width, scheme in (("desk", 1280, "light"), ("zoom", 640, "dark"), ("phone", 360, "dark")):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            told, what = [] if wide <= width else [f"{wide} px wide"], "nothing overflows"
            if name == "desk" or (name == "phone" and state in DARK):
                browser.shot(page, f"{state}-{name}")
                told += browser.violations(page)
                what += ", axe finds nothing serious"
            claim(f"{state}, {name}: {what}", not told, told)
        if state.startswith("waiting"):
            waited(page, state)
        page.context.close()


def waited(page, state):
    """What is about to begin says what it waits for, whatever was before, and can be aborted."""
    standing = page.locator(".standing")
    told = standing.inner_text()
    claim(f"{state}: the standing says what an automatic start waits for", "once it is known how much traffic there is" in told and "No rollout" not in told, told)
    badge = standing.locator(".badge.large").inner_text()
    claim(f"{state}: badge and title say that it waits", badge == "Waiting" and page.title().startswith("Waiting: carts"), (badge, page.title()))
    page.get_by_role("button", name="Abort").click()
    page.locator("dialog[open] input[type=text]").first.fill("carts")
    with page.expect_request("**/v1/rollouts/carts/abort") as sent:
        page.locator("dialog[open] button[type=submit]").click()
    claim(f"{state}: what has not begun is aborted without a tag", sent.value.method == "POST" and "if-match" not in sent.value.headers, sent.value.headers)


def token_asked(browser, scene, folder):
    """A proxy that wants a token is given one, which no longer exists once the tab is gone."""
    page = browser.page(scene.recorded(f"{folder}/ui", "token"))
    page.get_by_role("button", name="Promote").click()
    page.locator("dialog[open]").wait_for()
    page.keyboard.type("carts")
    page.keyboard.press("Enter")
    page.locator("dialog[open] input[type=password]").fill("s3cret")
    with page.expect_request("**/promote") as sent:
        page.keyboard.press("Enter")
    claim("the token goes along as a bearer token", sent.value.headers.get("authorization") == "Bearer s3cret")
    kept = page.evaluate("[sessionStorage.getItem('token'), localStorage.length, document.cookie]")
    claim("the token is kept in this tab alone", kept == ["s3cret", 0, ""], kept)
    page.context.close()


def probes(browser, scene, folder):
    """Every text of every answer holds markup; none of it becomes any."""
    url = scene.recorded(f"{folder}/ui", "probes")
    snapshot = json.load(open(f"{folder}/states/probes.json", encoding="utf-8"))["snapshot"]
    named = {service["rollout"]["phase"] if service["rollout"] else "waiting": service["name"] for service in snapshot["rollouts"]}
    # The page of each service by its phase, and that of the stages: how often a probe stands there at least.
    services = [(f"#/{quote(named[phase], safe='')}", f" of a rollout that is {phase}") for phase in ("braked", "awaiting_approval", "paused", "rolled_back", "waiting")]
    for place, what in [*services, ("#stages", " of stages")]:
        page = browser.page(url + place)
        page.locator("h1").filter(has_text="onerror").first.wait_for()
        text = page.locator("main").inner_text
        # The history and the journal come a little after the page.
        soon(lambda: text().count("fired()") > 20)
        for summary in page.locator("summary").all():
            summary.press("Enter")
        for button in page.locator("main button").all():
            button.click()
            page.locator("dialog[open] input").first.fill("x")
            page.keyboard.press("Escape")
            page.locator("dialog[open]").wait_for(state="detached")
        claim(f"probes show as text{what}", text().count("fired()") > 20, text().count("fired()"))
        made = page.evaluate("document.querySelectorAll('img, script:not([src]), [onerror], [onload], iframe').length")
        claim(f"no probe became an element{what}", made == 0, made)
        browser.shot(page, f"probes{what.replace(' ', '-')}")
        page.context.close()
    refused(browser, url, named)


def refused(browser, url, named):
    """What the proxy says of a command it refuses stays text in the dialog."""
    service = named["paused"]
    page = browser.page(f"{url}#/{quote(service, safe='')}")
    page.get_by_role("button", name="Set weight").click()
    dialog = page.locator("dialog[open]")
    dialog.locator("select").select_option(index=1)
    dialog.locator("input[type=text]").first.fill(service)
    with page.expect_request("**/weight") as sent:
        dialog.locator("button[type=submit]").click()
    body = sent.value.post_data_json
    claim("a weight is put, with the tag of what was shown", sent.value.method == "PUT" and body == {"weight": "0%"} and "if-match" in sent.value.headers, body)
    told = dialog.locator("[role=alert]").inner_text()
    claim("a refusal shows as text", told.count("<script>") == 3 and "it is over" in told, told)
    page.context.close()


def main(program, folder):
    with sync_playwright() as playwright, Scene(program, folder) as scene:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        browser = Browser(chromium, folder)
        proxy = Proxy(scene, scene.carts("0.8.1"))
        proxy.start()
        visitors = scene.load(proxy.listen)
        served(proxy)
        page = rollback_live(browser, scene, proxy, visitors)
        reported(browser, scene, proxy)
        abort_by_keyboard(browser, scene, proxy, page, visitors)
        away_and_back(browser, proxy, page)
        page.context.close()
        visitors.leave()
        proxy.stop()
        operated(browser, scene, claim, PROBE)
        staged(browser, scene, claim, PROBE)
        recorded(browser, scene, folder)
        token_asked(browser, scene, folder)
        probes(browser, scene, folder)
        claim("no probe fired", not browser.fired, browser.fired)
        claim("no page complained", not browser.complaints, browser.complaints[:5])
        chromium.close()
    good = sum(holds for _, holds in results)
    print(f"{good}/{len(results)}")
    return 0 if good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))

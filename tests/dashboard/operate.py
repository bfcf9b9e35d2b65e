"""Presses what an operator presses, in the browser and against a real proxy, and looks at what the proxy then does."""

import json
import urllib.request

from scene import PATIENCE, Proxy, eventually, soon

SERVICE = "shop"
# The first step waits for an hour unless somebody acts; the second waits for somebody.
PLAN = "{steps: [{weight: 10%, hold: 1h}, {weight: 50%, hold: 0s, approval: {deadline: 1h}}, {weight: 100%, hold: 0s}]}"
SHIPYARD = """stages:
  - {name: dev, deployment_strategy: direct, gate: none}
  - name: production
    deployment_strategy: direct
    gate: none
    approval_strategy: {pass: manual, warning: manual}
"""


class Desk:
    """A page, and the hand that presses on it: by mouse or by keyboard alone."""

    def __init__(self, page, browser, claim, name):
        self.page, self.browser, self.claim, self.name = page, browser, claim, name

    def click(self, button, reason="", weight=None, within=None):
        """Opens a dialog by mouse, fills it in and confirms it."""
        self.open(button, within)
        dialog = self.page.locator("dialog[open]")
        if weight is not None:
            dialog.locator("select").select_option(label=weight)
        texts = dialog.locator("input[type=text]")
        texts.nth(0).fill(self.name)
        texts.nth(1).fill(reason)
        dialog.locator("button[type=submit]").click()

    def open(self, button, within=None):
        (within or self.page.locator("main")).get_by_role("button", name=button).first.click()
        self.page.locator("dialog[open]").wait_for()

    def type(self, button, reason="", weight=None):
        """Does the same without a pointer: every key goes to what has the focus."""
        keys = self.page.keyboard
        self.page.locator("h1").first.focus()
        for _ in range(20):
            keys.press("Tab")
            if self.page.evaluate("document.activeElement.textContent") == button:
                break
        keys.press("Enter")
        self.page.locator("dialog[open]").wait_for()
        if weight is not None:
            for _ in range(8):
                if self.page.evaluate("document.activeElement.selectedOptions?.[0]?.textContent") == weight:
                    break
                keys.press("ArrowDown")
            keys.press("Tab")
        keys.type(self.name)
        keys.press("Tab")
        keys.type(reason)
        keys.press("Enter")

    def closed(self):
        self.page.locator("dialog[open]").wait_for(state="detached")

    def shows(self, text):
        """Waits until the page says who has what share; what is pressed then is about that."""
        self.page.locator("h1", has_text=text).wait_for()

    def says(self, badge):
        self.page.locator(".standing .badge.large", has_text=badge).wait_for()

    def refused(self):
        """Returns what the dialog says of a command that was refused, and leaves it."""
        text = self.page.locator("dialog[open] [role=alert]").inner_text()
        self.page.keyboard.press("Escape")
        self.closed()
        return text

    def is_clean(self, what):
        self.claim(f"axe finds nothing serious {what}", not (found := self.browser.violations(self.page)), found)


class Shop(Proxy):
    """A proxy whose plan waits for people."""

    def command(self, state):
        return self.configured(
            f"state: {state}\nservices:\n  - name: {SERVICE}\n"
            f"    stable: {{version: 0.8.1, endpoints: ['{self.stable}']}}\n    gates: ['p95 < 10s']\n    burst_tolerance: 0s\n"
            f"    watch: 1s\n    plan: {PLAN}\n"
        )

    def rollout(self):
        return self.ask(f"/v1/rollouts/{SERVICE}")["rollout"]

    def until(self, phase):
        return eventually(phase, lambda: (rollout := self.rollout()) and rollout["phase"] == phase and rollout)

    def reasons(self):
        """Returns the reasons of the journal, the newest last."""
        return [line["entry"]["reason"] for line in self.ask(f"/v1/rollouts/{SERVICE}/journal")["entries"]]

    def share(self):
        """Returns which part of two hundred requests the canary answers now. Others wait meanwhile: the draw spreads all requests
        evenly, and so ours only where there are no others."""
        self.visitors.wait()
        ask = lambda: urllib.request.urlopen(f"http://{self.listen}/version", timeout=PATIENCE).read().decode()
        answers = [ask() for _ in range(200)]
        self.visitors.go_on()
        return sum(answer == "Version = v3" for answer in answers) / len(answers)


def operated(browser, scene, claim, probe):
    """Pause, another weight, resume, approve and deny, each pressed and each done by the proxy."""
    shop = Shop(scene, scene.carts("0.8.1"), "shop-state")
    shop.start()
    shop.visitors = scene.load(shop.listen)
    canary = scene.carts("0.8.3")
    shop.try_version("0.8.3", canary, SERVICE)
    page = browser.page(f"http://{shop.admin}/#/{SERVICE}")
    desk = Desk(page, browser, claim, SERVICE)
    desk.says("Progressing")
    weighed(desk, shop, probe)
    approved(desk, shop, probe)
    shop.try_version("0.8.3-next", canary, SERVICE)
    denied(desk, shop, probe)
    page.context.close()
    shop.visitors.leave()
    shop.stop()


def weighed(desk, shop, probe):
    """Pause, set the weight by mouse and by keyboard, be refused, and resume."""
    page, claim = desk.page, desk.claim
    desk.click("Pause", probe)
    desk.says("Paused")
    held = shop.rollout()
    claim("a pause that is pressed holds the canary where it is", (held["phase"], held["weight"]) == ("paused", 1_000), held)
    page.locator(".event", has_text=probe).first.wait_for()
    claim("the reason of a pause is shown as it was typed", shop.reasons()[-1].endswith(probe), shop.reasons()[-1])

    desk.open("Set weight")
    offered = page.locator("dialog[open] option").all_inner_texts()
    claim("only shares of the plan that are not held already are offered", [text.replace("\u00a0", "") for text in offered] == ["Choose", "0%", "50%", "100%"], offered)
    page.locator("dialog[open] input[type=text]").first.fill(SERVICE)
    page.keyboard.press("Enter")
    claim("a weight that is not chosen is not sent", shop.rollout()["weight"] == 1_000 and page.locator("dialog[open]").is_visible())
    page.locator("dialog[open] select").select_option(label="50\u00a0%")
    warned = page.locator("dialog[open] .dialog-lead").inner_text()
    claim("more without its evidence is told before it is confirmed", "not waited for" in warned, warned)
    desk.is_clean("in the dialog of the weight")
    browser_shot(desk, "live-weight")
    page.keyboard.press("Escape")
    desk.closed()
    desk.click("Set weight", "half of it", "50\u00a0%")
    desk.closed()
    claim("a weight set by mouse is that of the rollout", (now := shop.rollout())["weight"] == 5_000 and now["phase"] == "paused", now)
    claim("a weight set by mouse is that of the traffic", abs((share := shop.share()) - 0.5) < 0.1, share)

    desk.shows("paused at 50\u00a0%")
    desk.type("Set weight", probe, "10\u00a0%")
    desk.closed()
    claim("a weight set by keyboard is that of the rollout", (now := shop.rollout())["weight"] == 1_000, now)
    claim("a weight set by keyboard is that of the traffic", 0 < (share := shop.share()) < 0.25, share)
    desk.shows("paused at 10\u00a0%")

    # What is shown is decided about; another operator was faster.
    desk.open("Set weight")
    tag = '"{id}.{generation}.{phase}"'.format(**shop.rollout())
    shop.send("PUT", f"/v1/rollouts/{SERVICE}/weight", {"weight": "0%", "reason": "faster"}, {"if-match": tag})
    dialog = page.locator("dialog[open]")
    dialog.locator("select").select_option(label="50\u00a0%")
    dialog.locator("input[type=text]").first.fill(SERVICE)
    dialog.locator("button[type=submit]").click()
    told = desk.refused()
    claim("a weight for a rollout that has changed is refused, and the dialog says why", "changed" in told and shop.rollout()["weight"] == 0, told)
    desk.shows("serves everything")
    desk.open("Set weight")
    offered = page.locator("dialog[open] option").all_inner_texts()
    claim("a canary with nothing is offered its first share", [text.replace("\u00a0", "") for text in offered] == ["Choose", "10%"], offered)
    page.keyboard.press("Escape")
    desk.closed()

    desk.type("Resume", "on with it")
    desk.says("Progressing")
    claim("a resume that is pressed begins again from the first share", (now := shop.rollout())["weight"] == 1_000, now)


def approved(desk, shop, probe):
    """Promote, then approve what waits for it."""
    claim = desk.claim
    desk.click("Promote", "no need to wait an hour")
    desk.says("Awaiting approval")
    browser_shot(desk, "live-awaiting")
    desk.is_clean("while a rollout waits for approval")
    claim("what waits for approval says for how long", "within" in desk.page.locator(".standing .next").first.inner_text())
    claim("what waits for approval goes on being judged", shop.rollout()["phase"] == "awaiting_approval" and shop.rollout()["weight"] == 5_000)
    desk.click("Approve", probe)
    shop.until("promoted")
    desk.says("Promoted")
    claim("an approval that is pressed lets the rollout go on to its end", any(probe in reason for reason in shop.reasons()), shop.reasons())
    desk.page.locator(".event", has_text=probe).first.wait_for()
    browser_shot(desk, "live-promoted")


def denied(desk, shop, probe):
    """Denies what waits for approval, by keyboard."""
    desk.says("Progressing")
    desk.click("Promote")
    desk.says("Awaiting approval")
    desk.type("Deny", probe)
    desk.says("Aborted")
    rollout = shop.rollout()
    holds = (rollout["phase"], rollout["weight"]) == ("aborted", 0) and rollout["reason"].endswith(probe) and shop.share() == 1.0
    desk.claim("a denial that is pressed gives everything back, with its reason", holds, rollout)


class Pipeline(Proxy):
    """A proxy that delivers carts through two stages, the second of which waits for people."""

    def command(self, state):
        program = json.dumps(self.scene.program)
        deployed = f'[{program}, carts, --tag, "{{tag}}", --listen, "127.0.0.1:{{port}}", --exit-with-stdin]'
        return self.configured(
            f"state: {state}\ntimeouts: {{drain: 5s}}\ndelivery:\n"
            f"  process: {{command: {deployed}, ready: /health, grace: 5s, leash: true}}\n"
        )

    def stages(self):
        return self.ask("/v1/projects")["projects"][0]["services"][0]["stages"]

    def live(self):
        return [stage["live"] and stage["live"]["version"] for stage in self.stages()]

    def deliver(self, tag):
        """Sends an artifact and waits until the second stage asks about it; returns its context."""
        path = "/v1/projects/sockshop/services/carts/artifacts"
        context = self.ask(path, {"image": "docker.io/keptnexamples/carts", "tag": tag})["keptnContext"]
        eventually("production is asked", lambda: (run := self.stages()[1]["run"]) and run["phase"] == "approval")
        return context

    def told(self, context, what):
        """Waits until the story of a context tells something."""
        story = lambda: json.dumps(self.ask(f"/v1/contexts/{context}")["entries"], ensure_ascii=False)
        return eventually(what, lambda: what in story())


def staged(browser, scene, claim, probe):
    """An artifact is let into a stage, kept out of it and stopped before it, each by pressing the button on its stage."""
    pipeline = Pipeline(scene, None, "pipeline-state")
    pipeline.start()
    shipyard = scene.folder / "shipyard.yaml"
    shipyard.write_text(SHIPYARD)
    scene.run("create", "project", "sockshop", "--shipyard", str(shipyard), "--admin", f"http://{pipeline.admin}")
    scene.run("onboard", "service", "carts", "--project", "sockshop", "--admin", f"http://{pipeline.admin}")
    first = pipeline.deliver("0.8.1")
    page = browser.page(f"http://{pipeline.admin}/#stages")
    desk = Desk(page, browser, claim, "production")
    stage = page.locator(".stage", has=page.locator("h3", has_text="production"))
    stage.get_by_role("button", name="Approve").wait_for()
    browser_shot(desk, "live-stages")
    desk.is_clean("on stages that wait for approval")
    claim("a stage that waits for somebody says so", "waits for approval" in stage.inner_text(), stage.inner_text())
    desk.click("Approve", within=stage)
    desk.closed()
    eventually("0.8.1 in production", lambda: pipeline.live() == ["0.8.1", "0.8.1"])
    claim("an approval pressed on a stage lets the artifact in", pipeline.told(first, "lets 0.8.1 into production"))
    stage.locator(".stage-version", has_text="0.8.1").wait_for()

    second = pipeline.deliver("0.8.3")
    desk.click("Deny", probe, within=stage)
    desk.closed()
    claim("a denial pressed on a stage keeps the artifact out", pipeline.told(second, "does not let 0.8.3 into production") and pipeline.live()[1] == "0.8.1")
    stage.locator(".badge", has_text="Denied").wait_for()
    claim("the reason of a denial is shown on its stage as it was typed", soon(lambda: probe in stage.inner_text()), stage.inner_text())

    third = pipeline.deliver("0.9.1")
    desk.click("Abort", within=stage)
    desk.closed()
    claim("an abort pressed on a stage stops the artifact there", pipeline.told(third, "stops 0.9.1 in production") and pipeline.live()[1] == "0.8.1")
    stage.locator(".badge", has_text="Aborted").wait_for()

    # The next artifact comes while somebody still looks at the one before: the decision is about what was shown.
    fourth = pipeline.deliver("0.8.3")
    desk.open("Approve", stage)
    pipeline.ask("/v1/projects/sockshop/services/carts/stages/production/deny", {"context": fourth, "reason": "faster"})
    pipeline.told(fourth, "does not let 0.8.3 into production")
    fifth = pipeline.deliver("0.9.1")
    page.locator("dialog[open] input[type=text]").first.fill("production")
    page.locator("dialog[open] button[type=submit]").click()
    told = desk.refused()
    waits = pipeline.stages()[1]["run"]
    claim("an approval is about the artifact that was shown", "nothing waits" in told and waits["keptnContext"] == fifth, (told, waits))
    page.context.close()
    pipeline.stop()


def browser_shot(desk, name):
    desk.browser.shot(desk.page, name)

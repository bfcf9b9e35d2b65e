// Makes the recorded states for dev/serve.mjs: the answers of a real proxy, with a history of made-up but plausible figures.
// node dev/fixtures.mjs FOLDER
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const recorded = JSON.parse(readFileSync(join(here, "recorded.json"), "utf8"));
const out = process.argv[2];
mkdirSync(out, { recursive: true });
const now = Date.parse("2026-11-26T10:00:00Z");

/** Chance that is the same each time. */
let seed = 7;
const chance = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648);
const about = (value, spread) => Math.round(value * (1 + spread * (chance() + chance() - 1)));

const bounded = (value, spread, width) => {
  const middle = about(value, spread);
  return [Math.round(middle * (1 - width)), middle, Math.round(middle * (1 + width * 1.6))];
};
const figures = ([p50, p95, p99], requests, errors = 0) => ({
  requests: about(requests, 0.2), errors, in_flight: about(3, 0.9),
  p50_us: bounded(p50, 0.1, 0.05), p95_us: bounded(p95, 0.25, 0.16), p99_us: bounded(p99, 0.4, 0.3),
});
const STABLE = [4200, 11800, 26000];

function history(canary, seconds = 300, since = 140) {
  const points = [];
  for (let ago = seconds; ago >= 0; ago--) {
    const c = ago <= since ? canary(ago) : null;
    points.push({ at_ms: now - ago * 1000, weight: c === null ? 0 : 1000, stable: figures(STABLE, 980), canary: c });
  }
  return { window_seconds: 10, points, spectra: spectra(canary(1) ?? canary(since)) };
}

const QS = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9975, 0.999, 0.9995, 0.9999];
function spectrum(quantiles, requests) {
  const [p50, p95, p99] = quantiles;
  const at = (q) => {
    const tail = Math.log10(1 / (1 - q));
    const known = [[0, p50 * 0.4], [0.301, p50], [1.301, p95], [2, p99], [4, p99 * 3.4]];
    const next = known.findIndex(([x]) => x >= tail - 1e-6);
    const [[x0, y0], [x1, y1]] = [known[Math.max(0, next - 1)], known[Math.max(1, next)]];
    return Math.round(10 ** (Math.log10(y0) + ((tail - x0) / (x1 - x0)) * (Math.log10(y1) - Math.log10(y0))));
  };
  const points = QS.filter((q) => requests * (1 - q) >= 1).map((q) => [q, at(q)]);
  return { requests, points };
}
function spectra(canary) {
  const quantiles = canary ? [canary.p50_us[1], canary.p95_us[1], canary.p99_us[1]] : STABLE;
  return { stable: spectrum(STABLE, 148213), canary: canary ? spectrum(quantiles, 1846) : { requests: 0, points: [] } };
}

function fixture(name, { rollouts, charts = {}, journal = {}, notices = [], projects, changes = true, judged = 40, more = {} }) {
  const newest = (chart) => chart.points[chart.points.length - 1];
  const named = Object.entries(charts);
  const snapshot = {
    at: new Date(now).toISOString(), at_ms: now, version: "0.1.0", changes, draining: false, judged_ms: judged, rollouts,
    figures: Object.fromEntries(named.map(([service, chart]) => [service, newest(chart)])),
    spectra: Object.fromEntries(named.map(([service, chart]) => [service, chart.spectra])),
  };
  writeFileSync(join(out, `${name}.json`), JSON.stringify({ snapshot, history: charts, journal, notices, projects, ...more }));
}

const copy = (value) => JSON.parse(JSON.stringify(value));
/** Moves a recorded journal so that it ends shortly before now. */
function shifted(entries, ago) {
  const last = Date.parse(entries[entries.length - 1]?.at ?? entries[entries.length - 1]?.entry?.at);
  return JSON.parse(JSON.stringify(entries), (key, value) =>
    key === "at" ? new Date(now - ago * 1000 + (Date.parse(value) - last)).toISOString() : value);
}
const journalOf = (entries, ago) => ({ carts: { entries: shifted(entries, ago), complete: true } });
const GOOD = [4400, 12400, 27500];
const SLOW = [1004000, 1011000, 1032000];

const ramping = copy(recorded.ramping);
const raised = recorded.journal_good.slice(0, 2);
fixture("ramping", {
  rollouts: [ramping], charts: { carts: history((ago) => figures(GOOD, 118, ago % 37 === 0 ? 1 : 0)) },
  journal: journalOf(raised, 32), notices: shifted(recorded.notices_good.slice(0, 2), 30),
});
fixture("started", { rollouts: [recorded.started], charts: { carts: history((ago) => figures(GOOD, 20), 90, 8) }, journal: journalOf(raised.slice(0, 1), 8) });
fixture("braked", {
  rollouts: [recorded.braked], charts: { carts: history((ago) => figures(SLOW, 9), 300, 14) },
  journal: journalOf(recorded.journal_slow.slice(0, 2), 3), notices: shifted(recorded.notices_slow.slice(0, 2), 3),
});
fixture("rolled_back", {
  rollouts: [recorded.rolled_back], charts: { carts: history((ago) => (ago > 36 ? figures(SLOW, 9) : null), 300, 52) },
  journal: journalOf(recorded.journal_slow, 44), notices: shifted(recorded.notices_slow, 44),
});
fixture("watching", { rollouts: [recorded.watching], charts: { carts: history(() => figures(GOOD, 1040)) }, journal: journalOf(recorded.journal_good, 12) });
const idle = { ...copy(recorded.started), rollout: null };
fixture("idle", { rollouts: [idle], charts: { carts: history(() => null) } });
const waits = "0.8.3 begins in a few seconds, once it is known how much traffic there is: its first share is 'auto'";
fixture("waiting", { rollouts: [{ ...copy(idle), waits }], charts: { carts: history(() => null) } });
fixture("waiting_again", {
  rollouts: [{ ...copy(recorded.rolled_back), waits }], charts: { carts: history((ago) => (ago > 36 ? figures(SLOW, 9) : null), 300, 52) },
  journal: journalOf(recorded.journal_slow, 44), notices: shifted(recorded.notices_slow, 44),
});
fixture("empty", { rollouts: [] });
fixture("disconnected", { rollouts: [ramping], charts: { carts: history(() => figures(GOOD, 118)) }, journal: journalOf(raised, 32), more: { dies: true } });
const paused = copy(recorded.braked);
Object.assign(paused.rollout, { phase: "paused", brakes: 4, weight: 0, held_seconds: null, reason: "braked 4 times; it gets nothing until an operator decides" });
fixture("paused", { rollouts: [paused], charts: { carts: history(() => null) }, journal: journalOf(recorded.journal_slow.slice(0, 2), 3) });
// What waits for somebody, what a webhook holds, and what is over.
const awaiting = copy(recorded.ramping);
Object.assign(awaiting.rollout, { phase: "awaiting_approval", held_seconds: 1725, needs: 0, needs_seconds: 0, reason: "0.8.3 passed its gates at 30% of carts and waits for approval" });
awaiting.rollout.gates.forEach((gate) => Object.assign(gate, { verdict: "pass", requests: 1846, breaches: 9, value: 0.0049, lower: 0.0012, upper: 0.031, log_e: 3.4, needs: 0, awaits_stable: null }));
fixture("awaiting", { rollouts: [awaiting], charts: { carts: history((ago) => figures(GOOD, 118, ago % 37 === 0 ? 1 : 0)) }, journal: journalOf(raised, 132), notices: shifted(recorded.notices_good.slice(0, 2), 130) });
const refused = copy(recorded.ramping);
Object.assign(refused.rollout, { phase: "paused", held_seconds: null, reason: "a webhook does not let it go on, so it is held: load-test answered 409: the nightly load test has not ended" });
fixture("held", { rollouts: [refused], charts: { carts: history(() => figures(GOOD, 118)) }, journal: journalOf(raised, 132) });
const receding = copy(recorded.ramping);
const within = "aborted by ann: wrong image; 0.8.3 has 15% now, and within 30 s nothing, as stable bears it";
Object.assign(receding, { way_back: { policy: "ramp", room: "short", sentence: `${receding.owner.name} cannot take the 118 requests/s: 2 usable endpoints have shown no more than 80` } });
Object.assign(receding.rollout, { phase: "receding", weight: 1500, held_seconds: 22, reason: within });
fixture("receding", { rollouts: [receding], charts: { carts: history(() => figures(GOOD, 118)) }, journal: journalOf(raised, 132) });
const promoted = copy(recorded.watching);
Object.assign(promoted, { owner: promoted.rollout.canary });
Object.assign(promoted.rollout, { phase: "promoted", gates: [], held_seconds: null, reason: "0.8.3 owns carts: it held its gates for the whole watch" });
fixture("promoted", { rollouts: [promoted], charts: { carts: history(() => null) }, journal: journalOf(recorded.journal_good, 72) });
fixture("shows_only", { rollouts: [ramping], charts: { carts: history(() => figures(GOOD, 118)) }, changes: false, judged: 7200 });
fixture("token", { rollouts: [ramping], charts: { carts: history(() => figures(GOOD, 118)) }, more: { answer: { status: 401, body: { title: "Unauthorized", detail: "a token is needed; give the one of token_file" } } } });

const staged = copy(recorded.projects);
const [, staging, production] = staged.projects[0].services[0].stages;
production.run = { run: 9, artifact: "docker.io/keptnexamples/carts:0.8.4", version: "0.8.4", phase: "shifting", keptnContext: "x", reason: "0.8.4 gets a growing share of production", tests: null, verdict: null };
staging.queue = [{ artifact: "docker.io/keptnexamples/carts:0.8.5", keptnContext: "y" }];
staged.projects[0].services.push({ service: "orders", idle: false, stages: [
  { ...copy(staging), host: "orders.sockshop-staging.localhost", stage: "dev", queue: [], rejected: [], live: { artifact: "docker.io/keptnexamples/orders:1.4.0", version: "1.4.0", verdict: "pass", keptnContext: "z" }, last: { ...staging.last, artifact: { image: "docker.io/keptnexamples/orders", tag: "1.4.0" }, outcome: "passed", reason: "the tests of 1.4.0 in dev passed: 240 requests, 0 errors, 8 ms on average" } },
  { ...copy(staging), host: "x", stage: "staging", queue: [], live: { artifact: "docker.io/keptnexamples/orders:1.3.9", version: "1.3.9", verdict: "warning", keptnContext: "z" }, last: { ...staging.last, artifact: { image: "docker.io/keptnexamples/orders", tag: "1.4.0" }, outcome: "failed", verdict: "fail", reason: "the performance test of 1.4.0 failed its gate: p95 of 1.02 s is above 600 ms" }, rejected: ["docker.io/keptnexamples/orders:1.4.0"] },
  { ...copy(production), host: "y", stage: "production", live: null, last: null, queue: [], run: { run: 3, artifact: "docker.io/keptnexamples/orders:1.3.9", version: "1.3.9", phase: "approval", keptnContext: "w", reason: "1.3.9 passed staging with a warning and waits for approval", tests: null, verdict: "warning" } },
] });
const named = (name, base) => ({ ...copy(base), name });
fixture("stages", {
  projects: staged,
  rollouts: [named("carts.sockshop-dev", idle), named("carts.sockshop-production", ramping), named("carts.sockshop-staging", recorded.rolled_back), named("orders.sockshop-dev", idle), named("orders.sockshop-staging", recorded.braked)],
  charts: { "carts.sockshop-production": history(() => figures(GOOD, 118)) },
});

// Every text holds a probe that would call a function of the page if it were taken for markup.
const probe = (value, key = "") => {
  if (Array.isArray(value)) return value.map((inner) => probe(inner, key));
  if (value !== null && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, probe(inner, name)]));
  const words = ["phase", "verdict", "unit", "at", "standing", "state", "role", "outcome", "basis"];
  if (typeof value !== "string" || words.includes(key)) return value;
  return `${value}<img src=x onerror="fired()"><script>fired()</script>'"><svg onload=fired()>javascript:fired()`;
};
const probed = (name) => `${name}<img src=x onerror="fired()"><script>fired()</script>'"><svg onload=fired()>javascript:fired()`;
const evil = history((ago) => figures(SLOW, 9), 120, 40);
fixture("probes", {
  rollouts: [probe(recorded.braked), probe(named("carts.sockshop-staging", recorded.rolled_back)), probe(named("awaiting", awaiting)), probe(named("held", refused)), probe({ ...named("waiting", idle), waits })], charts: { [probed("carts")]: evil },
  journal: { [probed("carts")]: { entries: probe(shifted(recorded.journal_slow, 3)), complete: true } },
  notices: probe(shifted(recorded.notices_slow, 3)), projects: probe(staged),
  more: { answer: { status: 409, body: probe({ title: "Conflict", detail: "it is over", errors: [{ pointer: "/reason", detail: "too long" }] }) } },
});

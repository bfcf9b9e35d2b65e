// What the dashboard knows: fed by the stream, read by every part.

import { computed, signal } from "@preact/signals";
import { PHASES, VERDICTS } from "./words.js";
import type { Chart, Journal, Notice, Point, Project, Service, Snapshot, Spectra, Transition } from "./wire.js";

export type Link = "connecting" | "live" | "lost";
export type Theme = "auto" | "light" | "dark";

/** The most points of one service that are kept, those of the proxy's own history. */
const POINTS = 1_600;
/** The most decisions of one service that are shown. */
const DECISIONS = 200;

export const link = signal<Link>("connecting");
export const snapshot = signal<Snapshot | null>(null);
export const notices = signal<readonly Notice[]>([]);
export const projects = signal<readonly Project[] | null>(null);
/** When the last event came, by this browser's clock, and what that clock shows now. */
export const heard = signal(0);
export const now = signal(Date.now());
/** What is told to a screen reader. */
export const spoken = signal<{ readonly text: string; readonly urgent: boolean }>({ text: "", urgent: false });

const points = new Map<string, Point[]>();
const decisions = new Map<string, Map<number, Transition>>();
const pastSpectra = new Map<string, Spectra>();
/** Counts what was added to the histories, so that parts that read them are drawn again. */
const added = signal(0);

/** Where the page stands: `#/name` is a service, `#stages` the stages. */
export const place = signal(location.hash);
window.addEventListener("hashchange", () => {
  place.value = location.hash;
});

export const services = computed<readonly Service[]>(() => snapshot.value?.rollouts ?? []);
export const showsStages = computed(() => place.value === "#stages" && projects.value !== null);
export const chosen = computed<Service | null>(() => {
  const name = decodeURIComponent(place.value.replace(/^#\/?/, ""));
  const busy = services.value.find((service) => service.rollout !== null);
  return services.value.find((service) => service.name === name) ?? busy ?? services.value[0] ?? null;
});

export function pointsOf(service: string): readonly Point[] {
  added.value;
  return points.get(service) ?? [];
}

/** The decisions on a service, the newest first. */
export function decisionsOf(service: string): readonly Transition[] {
  added.value;
  return [...(decisions.get(service)?.values() ?? [])].sort((a, b) => b.sequence - a.sequence);
}

export function spectraOf(service: string): Spectra | null {
  added.value;
  return snapshot.value?.spectra[service] ?? pastSpectra.get(service) ?? null;
}

export function takeSnapshot(next: Snapshot): void {
  announce(snapshot.value, next);
  for (const [name, point] of Object.entries(next.figures)) {
    const known = points.get(name);
    if (known === undefined) continue;
    if (point.at_ms > (known[known.length - 1]?.at_ms ?? 0)) known.push(point);
    if (known.length > POINTS) known.splice(0, known.length - POINTS);
  }
  snapshot.value = next;
  added.value += 1;
}

export function takeChart(service: string, chart: Chart): void {
  points.set(service, [...chart.points]);
  pastSpectra.set(service, chart.spectra);
  added.value += 1;
}

export function takeTransition(transition: Transition): void {
  const service = transition.entry?.service;
  if (service === undefined) return;
  const known = decisions.get(service) ?? new Map<number, Transition>();
  known.set(transition.sequence, transition);
  const oldest = Math.min(...known.keys());
  if (known.size > DECISIONS) known.delete(oldest);
  decisions.set(service, known);
  added.value += 1;
}

export function takeJournal(journal: Journal): void {
  journal.entries.forEach(takeTransition);
}

/** Says aloud what changed; a brake and a rollback interrupt. */
function announce(before: Snapshot | null, after: Snapshot): void {
  if (before === null) return;
  for (const service of after.rollouts) {
    const old = before.rollouts.find((other) => other.name === service.name)?.rollout ?? null;
    const rollout = service.rollout;
    if (rollout === null) continue;
    if (old === null || old.id !== rollout.id || old.phase !== rollout.phase || old.step !== rollout.step) {
      const urgent = rollout.phase === "braked" || rollout.phase === "rolled_back";
      spoken.value = { text: `${service.name}: ${PHASES[rollout.phase].word}. ${rollout.reason}`, urgent };
      continue;
    }
    const changed = rollout.gates.filter((gate) => old.gates.find((other) => other.gate === gate.gate)?.verdict !== gate.verdict);
    if (changed.length > 0 && old.gates.length > 0) {
      const verdicts = changed.map((gate) => `${gate.gate}: ${VERDICTS[gate.verdict].word}`);
      spoken.value = { text: `${service.name}: ${verdicts.join("; ")}`, urgent: false };
    }
  }
}

function kept(key: string): string {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function keep(key: string, value: string): void {
  try {
    if (value === "") sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, value);
  } catch {
    // Without storage it lasts as long as the page.
  }
}

const known: readonly Theme[] = ["auto", "light", "dark"];
export const theme = signal<Theme>(known.find((one) => one === kept("theme")) ?? "auto");
export const token = signal(kept("token"));
export const actor = signal(kept("actor"));
theme.subscribe((value) => {
  document.documentElement.dataset["theme"] = value;
  keep("theme", value);
});
token.subscribe((value) => keep("token", value));
actor.subscribe((value) => keep("actor", value));

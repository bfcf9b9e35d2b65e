// The sentences of the dashboard, made of the API's figures.

import { count, quantity, rate, share, span, weight } from "./format.js";
import type { Gate, Phase, Rollout, Service, Verdict } from "./wire.js";

export type Tone = "calm" | "good" | "warn" | "bad";

export const PHASES: Readonly<Record<Phase, { readonly word: string; readonly tone: Tone }>> = {
  progressing: { word: "Progressing", tone: "calm" },
  braked: { word: "Braked", tone: "warn" },
  paused: { word: "Paused", tone: "warn" },
  awaiting_approval: { word: "Awaiting approval", tone: "warn" },
  watching: { word: "Watching", tone: "calm" },
  receding: { word: "Receding", tone: "warn" },
  promoted: { word: "Promoted", tone: "good" },
  rolled_back: { word: "Rolled back", tone: "bad" },
  aborted: { word: "Aborted", tone: "warn" },
};

export const VERDICTS: Readonly<Record<Verdict, { readonly word: string; readonly tone: Tone }>> = {
  pass: { word: "Pass", tone: "good" },
  warning: { word: "Warning", tone: "warn" },
  fail: { word: "Fail", tone: "bad" },
  inconclusive: { word: "Inconclusive", tone: "calm" },
};

export function isOver(phase: Phase): boolean {
  return phase === "promoted" || phase === "rolled_back" || phase === "aborted";
}

/** Where a service stands, in a word. What is about to begin goes before what is over. */
export function standing(service: Service): { readonly word: string; readonly tone: Tone } {
  if (typeof service.waits === "string") return { word: "Waiting", tone: "calm" };
  return service.rollout === null ? { word: "Idle", tone: "calm" } : PHASES[service.rollout.phase];
}

/** The canary's share of new requests now. */
export function canaryShare(rollout: Rollout | null): number {
  return rollout === null || isOver(rollout.phase) ? 0 : rollout.weight;
}

/** Who serves what share, in one sentence. */
export function headline(service: Service): string {
  const rollout = service.rollout;
  if (rollout === null) return `${service.owner.name} serves everything`;
  switch (rollout.phase) {
    case "progressing":
      return `${rollout.canary.name} serves ${weight(rollout.weight)} of the traffic`;
    case "braked":
      return `${rollout.canary.name} is braked; ${rollout.stable.name} serves everything but probes`;
    case "paused":
      return rollout.weight === 0
        ? `${rollout.canary.name} is paused; ${rollout.stable.name} serves everything`
        : `${rollout.canary.name} is paused at ${weight(rollout.weight)} of the traffic`;
    case "awaiting_approval":
      return `${rollout.canary.name} waits for approval at ${weight(rollout.weight)} of the traffic`;
    case "watching":
      return `${rollout.canary.name} serves everything and is watched`;
    case "receding":
      return `${rollout.canary.name} gives its share back and still has ${weight(rollout.weight)} of the traffic`;
    case "promoted":
      return `${service.owner.name} serves everything`;
    case "rolled_back":
    case "aborted":
      return `${service.owner.name} serves everything; ${rollout.canary.name} gets nothing`;
  }
}

/** What has to happen before the rollout changes by itself. */
export function needed(rollout: Rollout): string | null {
  const left = (what: string): string | null =>
    rollout.held_seconds !== null && rollout.held_seconds > 0 ? `${what} ${span(rollout.held_seconds)}` : null;
  switch (rollout.phase) {
    case "promoted":
    case "rolled_back":
    case "aborted":
      return null;
    case "paused":
      return "An operator has to resume or abort it.";
    case "awaiting_approval":
      return `${left("Somebody has to approve or deny it within") ?? "Somebody has to approve or deny it"}.`;
    case "braked":
      return `${left("Within") ?? "Now"} the breach is confirmed, which is final, or the canary begins again with fresh evidence.`;
    case "watching":
      return `${left("The watch lasts another") ?? "The promotion is being written"}.`;
    case "receding":
      return `${left("Everything is back within") ?? "The last step down is due"}, sooner where ${rollout.stable.name} bears it.`;
    case "progressing": {
      if (rollout.warm_up_seconds !== null) return `The warm-up lasts another ${span(rollout.warm_up_seconds)}; nothing counts before.`;
      const hold = left("the hold lasts another");
      return `${capital([missing(rollout), hold].filter((part) => part !== null).join("; "))}.`;
    }
  }
}

function missing(rollout: Rollout): string {
  if (rollout.gates.length === 0) return "the first judgement is awaited";
  if (rollout.needs === 0 && rollout.gates.every((gate) => gate.verdict === "pass")) return "every gate passes";
  if (rollout.needs !== null) {
    const requests = rollout.needs === 1 ? "clean request" : "clean requests";
    const about =
      rollout.needs_seconds === null ? "and there is no traffic now" : `about ${span(rollout.needs_seconds)} at ${rate(rollout.rate)}`;
    return `${count(rollout.needs)} more ${requests} needed, ${about}`;
  }
  const stable = rollout.gates.map((gate) => gate.awaits_stable ?? 0).reduce((most, more) => Math.max(most, more), 0);
  if (stable > 0) return `up to ${count(stable)} more requests of ${rollout.stable.name} come first; then it is known how many are needed`;
  return "no number of clean requests would suffice as things are";
}

/** A text of the proxy as a sentence of its own. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a gate has seen and what it still needs, in one sentence. */
export function gateSentence(gate: Gate, rollout: Rollout): string {
  const seen =
    gate.unit === "share"
      ? `${count(gate.breaches)} of ${count(gate.requests)} requests in breach`
      : `${count(gate.requests)} requests measured`;
  if (gate.requests === 0) return "No request has been judged in this step.";
  const bounds =
    gate.lower !== null && gate.upper !== null ? `, between ${quantity(gate.unit, gate.lower)} and ${quantity(gate.unit, gate.upper)}` : "";
  const blamed = rollout.evidence?.gate === gate.gate;
  if (rollout.phase === "braked" && blamed) return `${seen}${bounds}: braked by this gate, to be confirmed.`;
  if (isOver(rollout.phase) && gate.verdict === "inconclusive") return `${seen}${bounds} when it ended.`;
  switch (gate.verdict) {
    case "pass":
      return `${seen}${bounds}: the evidence suffices.`;
    case "fail":
      return `${seen}${bounds}: the gate is breached.`;
    case "warning":
      return `${seen}${bounds}: close to the limit.`;
    case "inconclusive":
      if (gate.needs !== null && gate.needs > 0) return `${seen}${bounds}; ${count(gate.needs)} more clean ones would pass.`;
      if (gate.awaits_stable !== null) return `${seen}${bounds}; the stable version has to be seen more.`;
      return `${seen}${bounds}; not enough to say.`;
  }
}

export function errorRate(errors: number, requests: number): number | null {
  return requests === 0 ? null : errors / requests;
}

export function errorText(errors: number, requests: number): string {
  const ratio = errorRate(errors, requests);
  return ratio === null ? "no requests" : share(ratio);
}

/** The latency limit that a gate names, in microseconds, with the percentile it is for. */
export function limitOf(gate: string): { readonly percentile: string; readonly us: number } | null {
  const found = /^p(\d+(?:\.\d+)?)(?:\(\w+\))?\s*<=?\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|min)\b/.exec(gate);
  if (found === null) return null;
  const factor: Readonly<Record<string, number>> = { us: 1, "µs": 1, ms: 1e3, s: 1e6, m: 6e7, min: 6e7 };
  return { percentile: `p${found[1] ?? ""}`, us: Number(found[2]) * (factor[found[3] ?? ""] ?? Number.NaN) };
}

// The JSON of the admin API as the dashboard reads it. Weights are basis points, evidence is a natural logarithm.

export type Phase = "progressing" | "braked" | "paused" | "awaiting_approval" | "watching" | "receding" | "promoted" | "rolled_back" | "aborted";
export type Verdict = "pass" | "warning" | "fail" | "inconclusive";
export type Unit = "share" | "nanoseconds" | "score";

export interface Version {
  readonly name: string;
  readonly endpoints: readonly string[];
}

export interface Estimate {
  readonly value: number;
  readonly lower: number | null;
  readonly upper: number | null;
}

export interface Tipping {
  readonly seq: number;
  readonly latency_ns: number;
}

export interface Evidence {
  readonly gate: string;
  readonly verdict: Verdict;
  readonly rule: string;
  readonly requests: number;
  readonly breaches: number;
  readonly unanswered: number;
  readonly stable_requests: number;
  readonly stable_breaches: number;
  readonly log_e: number | null;
  readonly log_threshold: number | null;
  readonly estimate: Estimate | null;
  readonly unit: Unit;
  readonly tipped_by: readonly Tipping[];
  readonly sentence: string;
}

export interface Gate {
  readonly gate: string;
  readonly verdict: Verdict;
  readonly requests: number;
  readonly breaches: number;
  readonly unit: Unit;
  readonly value: number | null;
  readonly limit: number | null;
  readonly lower: number | null;
  readonly upper: number | null;
  readonly log_e: number;
  readonly log_threshold: number;
  readonly brake_log_e: number;
  readonly brake_log_threshold: number;
  readonly confirm_log_e: number;
  readonly confirm_log_threshold: number | null;
  readonly needs: number | null;
  readonly awaits_stable: number | null;
}

export interface Step {
  readonly weight: number;
  readonly hold_seconds: number;
}

export interface Rollout {
  readonly id: number;
  readonly generation: number;
  readonly stable: Version;
  readonly canary: Version;
  readonly phase: Phase;
  readonly step: number;
  readonly steps: number;
  readonly weight: number;
  readonly reason: string;
  readonly evidence: Evidence | null;
  readonly gates: readonly Gate[];
  readonly file: { readonly verdict: Verdict; readonly reason: string } | null;
  readonly needs: number | null;
  readonly needs_seconds: number | null;
  readonly held_seconds: number | null;
  readonly warm_up_seconds: number | null;
  readonly rate: number;
  readonly brakes: number;
  readonly plan: { readonly steps: readonly Step[] } | null;
  readonly policy: { readonly watch_seconds: number } | null;
  readonly canary_requests: number;
  readonly durable: boolean;
}

export interface Reach {
  readonly version: string;
  readonly role: string;
  readonly standing: string;
  readonly endpoints: readonly { readonly endpoint: string; readonly state: string }[];
}

export interface Service {
  readonly name: string;
  readonly owner: Version;
  readonly rollout: Rollout | null;
  /** What a rollout that is about to begin waits for; absent where none does. */
  readonly waits?: string | null;
  readonly rejected: readonly string[];
  readonly endpoints: readonly Reach[];
  /** Absent where nothing is to come back, and nothing did. */
  readonly way_back?: { readonly policy: string; readonly room: string; readonly sentence: string };
}

/** Lower bound, value, upper bound, in microseconds. */
export type Bounded = readonly [number, number, number];

export interface Figures {
  readonly requests: number;
  readonly errors: number;
  readonly in_flight: number;
  readonly p50_us: Bounded | null;
  readonly p95_us: Bounded | null;
  readonly p99_us: Bounded | null;
}

export interface Point {
  readonly at_ms: number;
  readonly weight: number;
  readonly stable: Figures | null;
  readonly canary: Figures | null;
}

export interface Spectrum {
  readonly requests: number;
  /** A percentile from 0 to 1 and its latency in microseconds. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Spectra {
  readonly stable: Spectrum;
  readonly canary: Spectrum;
}

export interface Chart {
  readonly window_seconds: number;
  readonly points: readonly Point[];
  readonly spectra: Spectra;
}

export interface Snapshot {
  readonly at: string;
  readonly at_ms: number;
  readonly version: string;
  readonly changes: boolean;
  readonly draining: boolean;
  readonly judged_ms: number;
  readonly rollouts: readonly Service[];
  readonly figures: Readonly<Record<string, Point>>;
  readonly spectra: Readonly<Record<string, Spectra>>;
}

export interface Notice {
  readonly at: string;
  readonly service: string;
  readonly sentence: string;
  readonly alarm: boolean;
}

export interface Entry {
  readonly service: string;
  readonly rollout: number;
  readonly at: string | null;
  readonly stable: string | null;
  readonly canary: string | null;
  readonly actor: string;
  readonly phase: Phase;
  readonly from: number;
  readonly to: number;
  readonly generation: number;
  readonly reason: string;
  readonly evidence: Evidence | null;
  readonly gates: readonly Evidence[];
}

export interface Transition {
  readonly sequence: number;
  readonly entry?: Entry;
  readonly unreadable?: string;
}

export interface Journal {
  readonly entries: readonly Transition[];
  readonly complete: boolean;
}

export interface StageRun {
  readonly artifact: string;
  readonly keptnContext: string;
  readonly version: string;
  readonly phase: string;
  readonly reason: string;
  readonly verdict: Verdict | null;
}

export interface Stage {
  readonly stage: string;
  readonly host: string;
  readonly port: number;
  readonly live: { readonly artifact: string; readonly version: string; readonly verdict: Verdict | null } | null;
  readonly run: StageRun | null;
  readonly queue: readonly { readonly artifact: string }[];
  readonly last: {
    readonly artifact: { readonly image: string; readonly tag: string | null };
    readonly outcome: string;
    readonly verdict: Verdict | null;
    readonly reason: string;
  } | null;
  readonly rejected: readonly string[];
}

export interface Project {
  readonly project: string;
  readonly services: readonly { readonly service: string; readonly idle: boolean; readonly stages: readonly Stage[] }[];
}

export interface Problem {
  readonly title?: string;
  readonly detail?: string;
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
}

/** Reads an object of which `key` must be there and be of this kind; whatever else is in it is the API's promise. */
export function read<T>(text: string, key: keyof T & string, kind: "array" | "object"): T {
  const value: unknown = JSON.parse(text);
  const member: unknown = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  const fits = kind === "array" ? Array.isArray(member) : typeof member === "object" && member !== null;
  if (!fits) throw new Error(`the proxy's answer has no ${key}; load the page again`);
  return value as T;
}

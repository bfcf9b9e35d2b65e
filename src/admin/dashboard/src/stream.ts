// The way to the proxy: follows its events, loads what was before, and sends an operator's commands.

import { effect } from "@preact/signals";
import { actor, chosen, heard, link, notices, now, projects, takeChart, takeJournal, takeSnapshot, takeTransition, token } from "./store.js";
import { read } from "./wire.js";
import type { Chart, Journal, Notice, Problem, Project, Snapshot, Transition } from "./wire.js";

/** Without an event for this long the connection counts as lost; the proxy sends one each second. */
const SILENCE_MS = 4_000;
/** How long to wait before trying again: at first, and at most. */
const RETRY_MS = [500, 8_000] as const;

let source: EventSource | null = null;
let retry: number = RETRY_MS[0];
let newest = "";
/** The service whose history is loaded, empty when it must be loaded again. */
let loaded = "";

export function follow(): void {
  open();
  setInterval(() => {
    now.value = Date.now();
    if (link.value === "live" && now.value - heard.value > SILENCE_MS) lose();
  }, 1_000);
  effect(() => {
    const name = chosen.value?.name;
    if (name !== undefined && link.value === "live" && loaded !== name) {
      loaded = name;
      void load(name);
    }
  });
}

function open(): void {
  source?.close();
  const events = new EventSource(newest === "" ? "/v1/events" : `/v1/events?after=${newest}`);
  source = events;
  const on = (kind: string, take: (text: string) => void): void => {
    events.addEventListener(kind, (event) => {
      if (!(event instanceof MessageEvent) || typeof event.data !== "string") return;
      if (event.lastEventId !== "") newest = event.lastEventId;
      heard.value = now.value = Date.now();
      take(event.data);
    });
  };
  on("snapshot", (text) => {
    takeSnapshot(read<Snapshot>(text, "rollouts", "array"));
    retry = RETRY_MS[0];
    link.value = "live";
  });
  on("transition", (text) => takeTransition(read<Transition>(text, "entry", "object")));
  on("notices", (text) => {
    notices.value = read<{ notices: Notice[] }>(text, "notices", "array").notices;
  });
  on("projects", (text) => {
    projects.value = read<{ projects: Project[] }>(text, "projects", "array").projects;
  });
  events.addEventListener("error", lose);
}

/** Tries again after a while, and reads anew what was missed. */
function lose(): void {
  if (source === null) return;
  source.close();
  source = null;
  loaded = "";
  link.value = "lost";
  setTimeout(open, retry);
  retry = Math.min(retry * 2, RETRY_MS[1]);
}

async function load(name: string): Promise<void> {
  const path = `/v1/rollouts/${encodeURIComponent(name)}`;
  try {
    const [chart, journal] = await Promise.all([get(`${path}/history`), get(`${path}/journal?last=100`)]);
    takeChart(name, read<Chart>(chart, "points", "array"));
    takeJournal(read<Journal>(journal, "entries", "array"));
  } catch {
    // The stream tells when the proxy is back; then it is read again.
    if (loaded === name) loaded = "";
  }
}

async function get(path: string): Promise<string> {
  const answer = await fetch(path, { headers: authority(), cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.text();
}

function authority(): Record<string, string> {
  return token.value === "" ? {} : { authorization: `Bearer ${token.value}` };
}

/** What became of a command; `denied` where a token is needed or is wrong. */
export interface Outcome {
  readonly kind: "done" | "refused" | "denied" | "unreachable";
  readonly message: string;
}

/** A command as it is sent: its fields, its reason, and the state of the rollout it is about. */
export interface Command {
  readonly path: string;
  readonly method: "POST" | "PUT";
  readonly fields: Readonly<Record<string, string>>;
  readonly reason: string;
  readonly tag: string | undefined;
}

/** Sends a command. */
export async function command({ path, method, fields, reason, tag }: Command): Promise<Outcome> {
  const body: Record<string, string> = { ...fields };
  if (actor.value.trim() !== "") body["actor"] = actor.value.trim();
  if (reason.trim() !== "") body["reason"] = reason.trim();
  try {
    const condition: Record<string, string> = tag === undefined ? {} : { "if-match": tag };
    const headers = { "content-type": "application/json", ...condition, ...authority() };
    const answer = await fetch(path, { method, headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (answer.ok) return { kind: "done", message: told(text) };
    return { kind: answer.status === 401 ? "denied" : "refused", message: refusal(text, answer.status) };
  } catch {
    return { kind: "unreachable", message: "The proxy did not answer. Whether the command was carried out shows above once it is back." };
  }
}

function told(text: string): string {
  try {
    const value: unknown = JSON.parse(text);
    const message: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "message") : undefined;
    return typeof message === "string" ? message : "It is done.";
  } catch {
    return "It is done.";
  }
}

function refusal(text: string, status: number): string {
  try {
    const problem = JSON.parse(text) as Problem;
    const fields = (problem.errors ?? []).map((error) => `${error.pointer} ${error.detail}`);
    return [problem.detail ?? problem.title ?? `The proxy refused it (${status}).`, ...fields].join("; ");
  } catch {
    return `The proxy refused it (${status}).`;
  }
}

// The plan: every step with its share and its hold, and where the rollout stands.

import type { VNode } from "preact";
import { count, rate, span, weight } from "../format.js";
import type { Rollout } from "../wire.js";

type Place = "done" | "here" | "ahead" | "stopped";

interface Station {
  readonly key: string;
  readonly share: string;
  readonly hold: string;
  readonly place: Place;
}

export function Ramp({ rollout }: { readonly rollout: Rollout }): VNode | null {
  const plan = rollout.plan;
  if (plan === null) return null;
  const stations = [...plan.steps.map((step, index): Station => ({
    key: String(index),
    share: weight(step.weight),
    hold: step.hold_seconds > 0 ? `at least ${span(step.hold_seconds)}` : "no hold",
    place: place(rollout, index),
  })), watch(rollout)];
  const here = stations.findIndex((station) => station.place === "here" || station.place === "stopped");
  return (
    <section aria-labelledby="ramp">
      <h2 id="ramp" class="hidden">
        Ramp
      </h2>
      <ol class="ramp">
        {stations.map((station, index) => (
          <li key={station.key} class={`station ${station.place}`} aria-current={index === here ? "step" : undefined}>
            <span class="station-dot" aria-hidden="true">
              <Glyph place={station.place} />
            </span>
            <span class="station-share">{station.share}</span>
            <span class="station-hold">{station.place === "here" ? remaining(rollout) ?? station.hold : station.hold}</span>
            <span class="hidden">{WORDS[station.place]}</span>
          </li>
        ))}
      </ol>
      <p class="ramp-note">
        {count(rollout.canary_requests)} canary requests, {rate(rollout.rate)} over both versions
        {rollout.brakes > 0 ? `, braked ${rollout.brakes === 1 ? "once" : `${rollout.brakes} times`}` : ""}
      </p>
    </section>
  );
}

const WORDS: Readonly<Record<Place, string>> = { done: "passed", here: "now", ahead: "to come", stopped: "stopped here" };

function Glyph({ place }: { readonly place: Place }): VNode {
  const shapes: Readonly<Record<Place, string>> = {
    done: "m3 6.4 2.2 2.2L9.4 4",
    here: "M6 4.4a1.6 1.6 0 1 1 0 3.2 1.6 1.6 0 0 1 0-3.2Z",
    ahead: "",
    stopped: "m3.6 3.6 4.8 4.8m0-4.8L3.6 8.4",
  };
  return (
    <svg width="12" height="12" viewBox="0 0 12 12" focusable="false">
      <path d={shapes[place]} />
    </svg>
  );
}

function place(rollout: Rollout, index: number): Place {
  if (rollout.phase === "watching" || rollout.phase === "promoted") return "done";
  if (index < rollout.step) return "done";
  if (index > rollout.step) return "ahead";
  return rollout.phase === "rolled_back" || rollout.phase === "aborted" || rollout.phase === "braked" || rollout.phase === "receding" ? "stopped" : "here";
}

function watch(rollout: Rollout): Station {
  const seconds = rollout.policy?.watch_seconds ?? 0;
  const places: Partial<Record<Rollout["phase"], Place>> = { promoted: "done", watching: "here" };
  return { key: "watch", share: "Watch", hold: span(seconds), place: places[rollout.phase] ?? "ahead" };
}

function remaining(rollout: Rollout): string | null {
  if (rollout.held_seconds !== null && rollout.held_seconds > 0) return `${span(rollout.held_seconds)} left`;
  return rollout.phase === "progressing" && rollout.needs !== null && rollout.needs > 0 ? `${count(rollout.needs)} requests to go` : null;
}

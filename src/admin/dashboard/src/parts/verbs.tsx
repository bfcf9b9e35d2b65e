// What an operator may do with a rollout: each verb as a button, each confirmed by typing the service's name.

import type { VNode } from "preact";
import { weight } from "../format.js";
import { snapshot } from "../store.js";
import type { Rollout, Service } from "../wire.js";
import { isOver, sentence } from "../words.js";
import { outcome, wish } from "./confirm.js";
import type { Option, Wish } from "./confirm.js";

export function Verbs({ service }: { readonly service: Service }): VNode | null {
  const rollout = service.rollout;
  const told = <Told at={pathOf(service, "")} />;
  if (typeof service.waits === "string") return <Buttons offers={[stop(service)]} told={told} />;
  if (rollout === null) return null;
  if (isOver(rollout.phase)) {
    // What was said of a rollout that went on is old once it is over.
    const ending = ["abort", "deny"].some((verb) => outcome.value?.path === pathOf(service, verb));
    return ending && rollout.phase === "aborted" ? told : null;
  }
  return <Buttons offers={wishes(service, rollout)} told={told} />;
}

function Buttons({ offers, told }: { readonly offers: readonly Offer[]; readonly told: VNode }): VNode {
  if (snapshot.value?.changes !== true) {
    return <p class="note">This address only shows, because it knows nobody. Commands are taken over the Unix socket, or with a token where the configuration has one.</p>;
  }
  return (
    <div class="verbs">
      {offers.map((one) => (
        <button key={one.verb} type="button" class={one.look} onClick={() => (wish.value = one)}>
          {one.button}
        </button>
      ))}
      {told}
    </div>
  );
}

/** What became of the last command, where it was about what stands at this path. */
export function Told({ at }: { readonly at: string }): VNode | null {
  return outcome.value?.path.startsWith(at) === true ? <p class="told">{sentence(outcome.value.message)}</p> : null;
}

function pathOf(service: Service, verb: string): string {
  return `/v1/rollouts/${encodeURIComponent(service.name)}/${verb}`;
}

/** A command as it is offered. */
interface Offer extends Wish {
  readonly button: string;
  readonly look: "plain" | "primary" | "danger";
}

/** What may be asked of a rollout now, in the order of the buttons. */
function wishes(service: Service, rollout: Rollout): readonly Offer[] {
  const canary = rollout.canary.name;
  const offer = (word: string, title: string, effect: string): Offer => ({
    button: word,
    look: "plain",
    title,
    effect,
    verb: word,
    path: pathOf(service, word.toLowerCase()),
    name: service.name,
    dangerous: false,
    tag: tagOf(rollout),
  });
  const ends = `${rollout.stable.name} gets all traffic at once, and ${canary} nothing. The rollout is over.`;
  const denies = service.way_back?.policy === "ramp" ? `${canary} gives its share back in steps, as ${rollout.stable.name} bears it. The rollout is over.` : ends;
  const approval = [
    { ...offer("Approve", `Approve the rollout of ${canary}?`, `${canary} goes on as soon as its gates pass; they stay armed.`), look: "primary" as const },
    urgent({ ...offer("Deny", `Deny the rollout of ${canary}?`, denies), dangerous: true }),
  ];
  const waived = "The remaining holds before the last step are waived. Every step still needs its evidence, and the gates stay armed.";
  const held = `${canary} keeps ${weight(rollout.weight)} of the traffic under its gates until somebody resumes it.`;
  const again = `${canary} gets traffic again, from its first share and with fresh evidence.`;
  const shares = sharesOf(rollout);
  return [
    ...(rollout.phase === "awaiting_approval" ? approval : rollout.phase === "receding" ? [] : [offer("Promote", `Promote ${canary} sooner?`, waived)]),
    ...(rollout.phase === "progressing" ? [offer("Pause", `Pause the rollout of ${canary}?`, held)] : []),
    ...(rollout.phase === "paused" ? [offer("Resume", `Resume the rollout of ${canary}?`, again)] : []),
    ...(shares.length === 0 ? [] : [setWeight(offer("Weight", `Set the weight of ${canary}`, ""), rollout, shares)]),
    urgent({ ...offer("Abort", `Abort the rollout of ${canary}?`, ends), verb: "Abort rollout", dangerous: true, look: "danger" }),
  ];
}

/** Keeps a rollout from beginning that is about to. */
function stop(service: Service): Offer {
  return {
    button: "Abort",
    look: "danger",
    title: `Abort what is about to begin for ${service.name}?`,
    effect: `The rollout does not begin, and not with the next start of the proxy either; ${service.owner.name} keeps everything.`,
    verb: "Abort rollout",
    path: pathOf(service, "abort"),
    name: service.name,
    dangerous: true,
  };
}

/** What takes the traffic away is never refused because the rollout has changed meanwhile. */
function urgent({ tag: _, ...offer }: Offer): Offer {
  return offer;
}

/** The rollout's ETag, as the proxy makes it. */
function tagOf(rollout: Rollout): string {
  return `"${rollout.id}.${rollout.generation}.${rollout.phase}"`;
}

function setWeight(offer: Offer, rollout: Rollout, shares: readonly number[]): Offer {
  const canary = rollout.canary.name;
  const option = (share: number): Option => {
    const held = share === 0 ? `${canary} gets nothing and is held` : `${canary} gets ${weight(share)} of the traffic at once and is held there under its gates`;
    const unproved = share > rollout.weight ? " The evidence for this share is not waited for." : "";
    return { value: `${share / 100}%`, name: weight(share), effect: `${held} until somebody resumes it.${unproved}` };
  };
  const effect = `${canary} has ${weight(rollout.weight)} of the traffic. It can be given another share of its plan, or nothing.`;
  const choice = { label: "Weight", field: "weight", options: shares.map(option) };
  return { ...offer, button: "Set weight", verb: "Set weight", method: "PUT", effect, choice };
}

/** The shares that the proxy would take now: less at any time, more only as its plan has it and nothing waits; see the API. */
export function sharesOf(rollout: Rollout): readonly number[] {
  const { phase, weight: share, warm_up_seconds: warming } = rollout;
  const settable = phase === "paused" || phase === "watching" || phase === "awaiting_approval" || (phase === "progressing" && warming === null);
  if (!settable || rollout.plan === null) return [];
  const steps = rollout.plan.steps.map((step) => step.weight);
  const more = phase === "awaiting_approval" || warming !== null ? [] : share === 0 ? steps.slice(0, 1) : steps;
  const known = [0, ...steps].filter((step) => step < share).concat(more.filter((step) => step > share));
  return [...new Set(known)].sort((a, b) => a - b);
}

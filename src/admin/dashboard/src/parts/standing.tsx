// Where a service stands: who serves what share now, why, and what an operator may do.

import type { VNode } from "preact";
import { weight } from "../format.js";
import { snapshot } from "../store.js";
import type { Rollout, Service } from "../wire.js";
import { canaryShare, headline, isOver, needed, PHASES, VERDICTS } from "../words.js";
import { Badge } from "./badge.js";
import { outcome, wish } from "./confirm.js";
import { Ramp } from "./ramp.js";

export function Standing({ service }: { readonly service: Service }): VNode {
  const rollout = service.rollout;
  const next = rollout === null ? null : needed(rollout);
  return (
    <section class="panel standing" aria-labelledby="standing">
      <div class="standing-top">
        <div>
          <p class="eyebrow">{service.name}</p>
          <h1 id="standing" tabIndex={-1}>
            {headline(service)}
          </h1>
        </div>
        {rollout === null ? <Badge tone="calm" large>Idle</Badge> : <Badge tone={PHASES[rollout.phase].tone} large>{PHASES[rollout.phase].word}</Badge>}
      </div>
      <div class={rollout === null ? "" : "standing-parts"}>
        <div>
          <Split service={service} />
          {rollout === null ? (
            <p class="reason">
              No rollout has begun. A version to try comes with the configuration, with <code>portcullis send event</code>, or with{" "}
              <code>POST /v1/rollouts</code>.
            </p>
          ) : (
            <p class="reason">{sentence(rollout.reason)}</p>
          )}
          {rollout?.file ? (
            <p class="next">
              <span class="next-word">Gate file</span> {VERDICTS[rollout.file.verdict].word}: {rollout.file.reason}
            </p>
          ) : null}
          {rollout !== null && !rollout.durable ? (
            <p class="banner warn">The last decision is not durable yet; see that the disk works.</p>
          ) : null}
        </div>
        {rollout === null ? null : (
          <div class="standing-way">
            <Ramp rollout={rollout} />
            {next === null ? null : (
              <p class="next">
                <span class="next-word">Next</span> {next}
              </p>
            )}
            <Verbs service={service} />
          </div>
        )}
      </div>
    </section>
  );
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** The shares as one bar; the canary's part is hatched. */
function Split({ service }: { readonly service: Service }): VNode {
  const rollout = service.rollout;
  const canary = canaryShare(rollout);
  const trial = rollout !== null && !isOver(rollout.phase);
  const stable = trial ? rollout.stable.name : service.owner.name;
  return (
    <div class="split">
      <div class="split-bar" aria-hidden="true">
        <span class="split-stable" style={{ width: `${(10_000 - canary) / 100}%` }} />
        {canary === 0 ? null : <span class="split-canary" style={{ width: `${canary / 100}%` }} />}
      </div>
      <dl class="split-names">
        <div class="split-name stable">
          <dt>
            <span class="chip stable" aria-hidden="true" />
            stable {stable}
          </dt>
          <dd>{weight(10_000 - canary)}</dd>
        </div>
        {rollout === null || rollout.phase === "promoted" ? null : (
          <div class="split-name canary">
            <dt>
              <span class="chip canary" aria-hidden="true" />
              canary {rollout.canary.name}
            </dt>
            <dd>{rollout.phase === "braked" ? "probes" : weight(canary)}</dd>
          </div>
        )}
      </dl>
    </div>
  );
}

function Verbs({ service }: { readonly service: Service }): VNode | null {
  const rollout = service.rollout;
  if (rollout === null || isOver(rollout.phase)) return <Told />;
  const allowed = snapshot.value?.changes === true;
  if (!allowed) {
    return <p class="note">This address only shows, because it knows nobody. Commands are taken over the Unix socket, or with a token where the configuration has one.</p>;
  }
  return (
    <div class="verbs">
      {rollout.phase === "awaiting_approval" ? (
        <>
          <button type="button" class="plain" onClick={() => (wish.value = approval(service, rollout))}>
            Approve
          </button>
          <button type="button" class="plain" onClick={() => (wish.value = denial(service, rollout))}>
            Deny
          </button>
        </>
      ) : (
        <button type="button" class="plain" onClick={() => (wish.value = promotion(service, rollout))}>
          Promote
        </button>
      )}
      {rollout.phase === "progressing" ? (
        <button type="button" class="plain" onClick={() => (wish.value = pause(service, rollout))}>
          Pause
        </button>
      ) : null}
      {rollout.phase === "paused" ? (
        <button type="button" class="plain" onClick={() => (wish.value = resumption(service, rollout))}>
          Resume
        </button>
      ) : null}
      <button type="button" class="danger" onClick={() => (wish.value = abortion(service, rollout))}>
        Abort
      </button>
      <Told />
    </div>
  );
}

function Told(): VNode | null {
  return outcome.value === null ? null : <p class="told">{sentence(outcome.value.message)}</p>;
}

function path(service: Service, verb: string): string {
  return `/v1/rollouts/${encodeURIComponent(service.name)}/${verb}`;
}

function abortion(service: Service, rollout: Rollout) {
  const effect = `${rollout.stable.name} gets all traffic at once, and ${rollout.canary.name} nothing. The rollout is over.`;
  return { title: `Abort the rollout of ${rollout.canary.name}?`, path: path(service, "abort"), effect, name: service.name, verb: "Abort rollout", dangerous: true };
}

/** The rollout's ETag, as the proxy makes it. */
function tagOf(rollout: Rollout): string {
  return `"${rollout.id}.${rollout.generation}.${rollout.phase}"`;
}

function promotion(service: Service, rollout: Rollout) {
  const effect = `The remaining holds before the last step are waived. Every step still needs its evidence, and the gates stay armed.`;
  return { title: `Promote ${rollout.canary.name} sooner?`, path: path(service, "promote"), effect, name: service.name, verb: "Promote", dangerous: false, tag: tagOf(rollout) };
}

function approval(service: Service, rollout: Rollout) {
  const effect = `${rollout.canary.name} goes on as soon as its gates pass; they stay armed.`;
  return { title: `Approve the rollout of ${rollout.canary.name}?`, path: path(service, "approve"), effect, name: service.name, verb: "Approve", dangerous: false, tag: tagOf(rollout) };
}

function denial(service: Service, rollout: Rollout) {
  const effect = `${rollout.stable.name} gets all traffic at once, and ${rollout.canary.name} nothing. The rollout is over.`;
  return { title: `Deny the rollout of ${rollout.canary.name}?`, path: path(service, "deny"), effect, name: service.name, verb: "Deny", dangerous: true };
}

function pause(service: Service, rollout: Rollout) {
  const effect = `${rollout.canary.name} keeps ${weight(rollout.weight)} of the traffic under its gates until somebody resumes it.`;
  return { title: `Pause the rollout of ${rollout.canary.name}?`, path: path(service, "pause"), effect, name: service.name, verb: "Pause", dangerous: false, tag: tagOf(rollout) };
}

function resumption(service: Service, rollout: Rollout) {
  const effect = `${rollout.canary.name} gets traffic again, from its first share and with fresh evidence.`;
  return { title: `Resume the rollout of ${rollout.canary.name}?`, path: path(service, "resume"), effect, name: service.name, verb: "Resume", dangerous: false, tag: tagOf(rollout) };
}

// Where a service stands: who serves what share now, why, and what an operator may do.

import type { VNode } from "preact";
import { weight } from "../format.js";
import type { Service } from "../wire.js";
import { canaryShare, headline, isOver, needed, sentence, standing, VERDICTS } from "../words.js";
import { Badge } from "./badge.js";
import { Ramp } from "./ramp.js";
import { Verbs } from "./verbs.js";

export function Standing({ service }: { readonly service: Service }): VNode {
  const rollout = service.rollout;
  const next = rollout === null ? null : needed(rollout);
  const stands = standing(service);
  const waits = service.waits ?? null;
  return (
    <section class="panel standing" aria-labelledby="standing">
      <div class="standing-top">
        <div>
          <p class="eyebrow">{service.name}</p>
          <h1 id="standing" tabIndex={-1}>
            {headline(service)}
          </h1>
        </div>
        <Badge tone={stands.tone} large>{stands.word}</Badge>
      </div>
      <div class={rollout === null ? "" : "standing-parts"}>
        <div>
          <Split service={service} />
          {rollout !== null ? <p class="reason">{sentence(rollout.reason)}</p> : waits === null ? <Invitation /> : null}
          {waits === null ? null : (
            <p class="next">
              <span class="next-word">Next</span> {sentence(waits)}
            </p>
          )}
          {rollout === null ? <Verbs service={service} /> : null}
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

/** How a first rollout comes about. */
function Invitation(): VNode {
  return (
    <p class="reason">
      No rollout has begun. A version to try comes with the configuration, with <code>portcullis send event</code>, or with{" "}
      <code>POST /v1/rollouts</code>.
    </p>
  );
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

// The gates: what each has measured, what it is held against, and how far its evidence has come.

import type { VNode } from "preact";
import { count, odds, progress, quantity, UNKNOWN } from "../format.js";
import type { Gate, Rollout } from "../wire.js";
import { gateSentence, VERDICTS } from "../words.js";
import { Badge } from "./badge.js";

export function Gates({ rollout }: { readonly rollout: Rollout }): VNode {
  return (
    <section class="panel" aria-labelledby="gates">
      <div class="panel-head">
        <h2 id="gates">Gates</h2>
        <p class="panel-note">{rollout.gates.length === 0 ? "Judged anew in each step" : "Evidence since the step began; brakes since the rollout began"}</p>
      </div>
      {rollout.gates.length === 0 ? <Decided rollout={rollout} /> : <Table rollout={rollout} />}
    </section>
  );
}

function Table({ rollout }: { readonly rollout: Rollout }): VNode {
  return (
    <table class="gates">
      <thead>
        <tr>
          <th scope="col">Gate</th>
          <th scope="col">Verdict</th>
          <th scope="col" class="number">Measured</th>
          <th scope="col" class="number">Limit</th>
          <th scope="col" class="number">Samples</th>
          <th scope="col">Evidence to pass</th>
          <th scope="col">Evidence to brake</th>
        </tr>
      </thead>
      <tbody>
        {rollout.gates.map((gate, index) => (
          <Row key={`${gate.gate} ${index}`} gate={gate} rollout={rollout} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ gate, rollout }: { readonly gate: Gate; readonly rollout: Rollout }): VNode {
  const verdict = VERDICTS[gate.verdict];
  const value = (part: number | null): string => (part === null ? UNKNOWN : quantity(gate.unit, part));
  const confirming = gate.confirm_log_threshold !== null && gate.confirm_log_e > 0;
  return (
    <tr class={`gate ${gate.verdict}`}>
      <th scope="row">
        <span class="gate-name">{gate.gate}</span>
        <span class="gate-sentence">{gateSentence(gate, rollout)}</span>
      </th>
      <td data-head="Verdict">
        <Badge tone={verdict.tone}>{verdict.word}</Badge>
      </td>
      <td class="number" data-head="Measured">
        {value(gate.value)}
        {gate.lower !== null && gate.upper !== null ? (
          <small>
            {value(gate.lower)} to {value(gate.upper)}
          </small>
        ) : null}
      </td>
      <td class="number" data-head="Limit">{value(gate.limit)}</td>
      <td class="number" data-head="Samples">
        {count(gate.requests)}
        {gate.unit === "share" ? <small>{count(gate.breaches)} in breach</small> : null}
      </td>
      <td data-head="Evidence to pass">
        <Evidence kind="pass" name={`Evidence of ${gate.gate} to pass`} logE={gate.log_e} threshold={gate.log_threshold} />
      </td>
      <td data-head="Evidence to brake">
        <Evidence kind="brake" name={`Evidence of ${gate.gate} to brake`} logE={gate.brake_log_e} threshold={gate.brake_log_threshold} />
        {confirming && gate.confirm_log_threshold !== null ? (
          <Evidence kind="brake" name={`Evidence of ${gate.gate} to roll back`} logE={gate.confirm_log_e} threshold={gate.confirm_log_threshold} word="final" />
        ) : null}
      </td>
    </tr>
  );
}

interface EvidenceProps {
  readonly kind: "pass" | "brake";
  readonly name: string;
  readonly logE: number;
  readonly threshold: number;
  readonly word?: string;
}

/** A bar that grows towards its threshold, which is its end. */
function Evidence({ kind, name, logE, threshold, word }: EvidenceProps): VNode {
  const part = progress(logE, threshold);
  const full = part >= 1;
  const text = `${odds(logE)}, decides at ${odds(threshold)}`;
  return (
    <div class={`evidence ${kind}${full ? " full" : ""}`}>
      <div class="evidence-bar" role="progressbar" aria-label={name} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(part * 100)} aria-valuetext={text}>
        <span style={{ width: `${part * 100}%` }} />
      </div>
      <span class="evidence-text">
        {word === undefined ? "" : `${word}: `}
        {odds(logE)} <span class="evidence-of">of {odds(threshold)}</span>
      </span>
    </div>
  );
}

/** What the last decision rests on, where no gate is judged any more. */
function Decided({ rollout }: { readonly rollout: Rollout }): VNode {
  const evidence = rollout.evidence;
  if (evidence === null) return <p class="empty">No gate is being judged.</p>;
  const verdict = VERDICTS[evidence.verdict];
  return (
    <div class="decided">
      <p class="decided-top">
        <span class="gate-name">{evidence.gate}</span> <Badge tone={verdict.tone}>{verdict.word}</Badge>
      </p>
      <p class="decided-sentence">{evidence.sentence}</p>
      <dl class="facts">
        <Fact name="Canary" value={`${count(evidence.breaches)} of ${count(evidence.requests)} in breach`} />
        {evidence.unanswered > 0 ? <Fact name="Unanswered" value={`${count(evidence.unanswered)} when they counted`} /> : null}
        {evidence.stable_requests > 0 ? (
          <Fact name="Stable" value={`${count(evidence.stable_breaches)} of ${count(evidence.stable_requests)} in breach`} />
        ) : null}
        {evidence.log_e !== null && evidence.log_threshold !== null ? (
          <Fact name="Evidence" value={`${odds(evidence.log_e)}, decides at ${odds(evidence.log_threshold)}`} />
        ) : null}
      </dl>
    </div>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

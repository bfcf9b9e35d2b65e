// The stages of each project, with the artifact in each and what is on its way.

import type { VNode } from "preact";
import { projects, services, snapshot } from "../store.js";
import { weight } from "../format.js";
import type { Project, Stage, StageRun } from "../wire.js";
import { canaryShare, sentence, VERDICTS } from "../words.js";
import type { Tone } from "../words.js";
import { Badge } from "./badge.js";
import { wish } from "./confirm.js";
import { Told } from "./verbs.js";

const OUTCOMES: Readonly<Record<string, { readonly word: string; readonly tone: Tone }>> = {
  passed: { word: "Passed", tone: "good" },
  failed: { word: "Failed", tone: "bad" },
  inconclusive: { word: "Inconclusive", tone: "warn" },
  aborted: { word: "Aborted", tone: "warn" },
  denied: { word: "Denied", tone: "warn" },
  superseded: { word: "Superseded", tone: "calm" },
  refused: { word: "Refused", tone: "warn" },
};

/** What is done with an artifact that is on trial in a stage. */
const TRIALS: Readonly<Record<string, string>> = {
  approval: "waits for approval",
  deploying: "is brought up",
  checking: "has its health checked",
  switching: "gets the traffic",
  testing: "is tested",
  evaluating: "is judged",
  shifting: "gets a growing share",
  returning: "gives the traffic back",
};

export function Stages(): VNode {
  const shown = projects.value ?? [];
  return (
    <div class="column">
      {shown.length === 0 ? (
        <section class="panel">
          <h1 id="standing" tabIndex={-1}>No project yet</h1>
          <p class="reason">
            Make one with <code>portcullis create project NAME --shipyard shipyard.yaml</code>, then onboard a service.
          </p>
        </section>
      ) : (
        shown.map((project) => <OneProject key={project.project} project={project} />)
      )}
    </div>
  );
}

function OneProject({ project }: { readonly project: Project }): VNode {
  return (
    <section class="panel" aria-label={`Project ${project.project}`}>
      <div class="standing-top">
        <div>
          <p class="eyebrow">Project</p>
          <h1 id="standing" tabIndex={-1}>{project.project}</h1>
        </div>
      </div>
      {project.services.length === 0 ? <p class="empty">No service is onboarded yet.</p> : null}
      {project.services.map((service) => (
        <div key={service.service} class="line">
          <h2>{service.service}</h2>
          <ol class="stages">
            {service.stages.map((stage) => (
              <OneStage key={stage.stage} project={project.project} service={service.service} stage={stage} />
            ))}
          </ol>
        </div>
      ))}
    </section>
  );
}

function OneStage({ project, service, stage }: { readonly project: string; readonly service: string; readonly stage: Stage }): VNode {
  const { live, run, last } = stage;
  const outcome = last === null ? null : OUTCOMES[last.outcome] ?? { word: last.outcome, tone: "calm" };
  const name = `${service}.${project}-${stage.stage}`;
  const shifting = services.value.find((known) => known.name === name);
  return (
    <li class={`stage${run === null ? "" : " busy"}`}>
      <div class="stage-head">
        <h3>{stage.stage}</h3>
        {shifting === undefined ? null : <a href={`#/${encodeURIComponent(name)}`}>Traffic<span class="hidden"> of {name}</span></a>}
      </div>
      <p class="stage-live">
        {live === null ? <span class="stage-none">Nothing deployed</span> : <span class="stage-version">{live.version}</span>}
        {live?.verdict ? <Badge tone={VERDICTS[live.verdict].tone}>{VERDICTS[live.verdict].word}</Badge> : null}
      </p>
      {live === null ? null : <p class="stage-artifact">{live.artifact}</p>}
      {run === null ? null : (
        <div class="stage-run">
          <p>
            <span class="chip canary" aria-hidden="true" /> <b>{run.version}</b>{" "}
            {shifting !== undefined && run.phase === "shifting"
              ? `has ${weight(canaryShare(shifting.rollout))} of the traffic`
              : TRIALS[run.phase] ?? run.phase}
          </p>
          <p class="stage-reason">{sentence(run.reason)}</p>
          <StageVerbs project={project} service={service} stage={stage.stage} run={run} />
        </div>
      )}
      {stage.queue.length === 0 ? null : <p class="stage-queue">Waiting: {stage.queue.map((one) => tag(one.artifact)).join(", ")}</p>}
      {last === null || outcome === null || run !== null ? null : (
        <div class="stage-last">
          <p>
            <Badge tone={outcome.tone}>{outcome.word}</Badge> {last.artifact.tag ?? last.artifact.image}
          </p>
          <p class="stage-reason">{sentence(last.reason)}</p>
        </div>
      )}
      {stage.rejected.length === 0 ? null : <p class="stage-queue">Rejected here: {stage.rejected.map(tag).join(", ")}</p>}
    </li>
  );
}

/** The tag of an artifact; its whole name where it has none. */
function tag(artifact: string): string {
  return /:([^:/]+)$/.exec(artifact)?.[1] ?? artifact;
}

interface VerbsProps {
  readonly project: string;
  readonly service: string;
  readonly stage: string;
  readonly run: StageRun;
}

function StageVerbs({ project, service, stage, run: { phase, version, keptnContext } }: VerbsProps): VNode | null {
  if (snapshot.value?.changes !== true) return null;
  const path = (verb: string): string =>
    `/v1/projects/${[project, "services", service, "stages", stage, verb].map(encodeURIComponent).join("/")}`;
  const ask = (verb: string, title: string, effect: string, dangerous: boolean): void => {
    // A decision is about the artifact that was shown, not about one that came meanwhile.
    const fields: Record<string, string> = verb === "abort" ? {} : { context: keptnContext };
    wish.value = { title, path: path(verb), effect, name: stage, verb: title.split(" ")[0] ?? title, dangerous, fields };
  };
  return (
    <div class="verbs small">
      {phase === "approval" ? (
        <>
          <button type="button" class="primary" onClick={() => ask("approve", `Approve ${version} for ${stage}?`, `${version} enters ${stage}.`, false)}>
            Approve<span class="hidden"> {version} for {stage}</span>
          </button>
          <button type="button" class="plain" onClick={() => ask("deny", `Deny ${version} for ${stage}?`, `${version} does not enter ${stage}.`, true)}>
            Deny<span class="hidden"> {version} for {stage}</span>
          </button>
        </>
      ) : null}
      <button
        type="button"
        class="danger"
        onClick={() => ask("abort", `Abort ${version} in ${stage}?`, `What served ${stage} before serves it again, and what waits for it is dropped.`, true)}
      >
        Abort<span class="hidden"> {version} in {stage}</span>
      </button>
      <Told at={path("")} />
    </div>
  );
}

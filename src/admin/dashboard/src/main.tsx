// The page: what an operator wants to see of a rollout, on one screen.

import { effect } from "@preact/signals";
import { render } from "preact";
import type { VNode } from "preact";
import "uplot/dist/uPlot.min.css";
import "../styles/base.css";
import "../styles/parts.css";
import "../styles/charts.css";
import { Errors } from "./charts/errors.js";
import { Latency } from "./charts/latency.js";
import { Legend } from "./charts/legend.js";
import { STRETCHES, stretch } from "./charts/series.js";
import { SpectrumChart } from "./charts/spectrum.js";
import { Access } from "./parts/access.js";
import { Confirm } from "./parts/confirm.js";
import { Endpoints } from "./parts/endpoints.js";
import { Gates } from "./parts/gates.js";
import { Header, Lost, Silent } from "./parts/header.js";
import { Services } from "./parts/services.js";
import { Stages } from "./parts/stages.js";
import { Standing } from "./parts/standing.js";
import { Timeline } from "./parts/timeline.js";
import { chosen, link, showsStages, snapshot, spoken } from "./store.js";
import { follow } from "./stream.js";
import type { Service } from "./wire.js";
import { standing } from "./words.js";

function App(): VNode {
  return (
    <>
      <a class="skip" href="#standing" onClick={(event) => skip(event)}>
        Skip to where it stands
      </a>
      <Header />
      <Lost />
      <Silent />
      <div class={`frame${link.value === "lost" ? " old" : ""}`}>
        <Services />
        <main>{showsStages.value ? <Stages /> : <Main />}</main>
      </div>
      <footer class="foot">Portcullis {snapshot.value?.version ?? ""}</footer>
      <Spoken />
      <Confirm />
      <Access />
    </>
  );
}

/** Moves the focus without changing the address, which names what is shown. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("standing")?.focus();
}

function Main(): VNode {
  const service = chosen.value;
  if (service !== null) return <One key={service.name} service={service} />;
  const waiting = snapshot.value === null;
  return (
    <section class="panel">
      <h1 id="standing" tabIndex={-1}>{waiting ? "Waiting for the proxy" : "No service yet"}</h1>
      <p class="reason">
        {waiting
          ? "The first answer is on its way."
          : "This proxy routes to no service. Write one under `services` in its configuration, or onboard one; it appears here by itself."}
      </p>
    </section>
  );
}

function One({ service }: { readonly service: Service }): VNode {
  const rollout = service.rollout;
  return (
    <div class="column">
      <Standing service={service} />
      {rollout === null ? null : <Gates rollout={rollout} />}
      <section class="panel" aria-labelledby="latency">
        <div class="panel-head">
          <h2 id="latency">Response times</h2>
          <Legend stable={rollout?.phase === "promoted" ? `${rollout.stable.name}, then ${service.owner.name}` : service.owner.name} canary={rollout?.canary.name ?? null} />
          <fieldset class="segments">
            <legend class="hidden">Stretch of time</legend>
            {STRETCHES.map((one) => (
              <label key={one.name}>
                <input type="radio" name="stretch" checked={stretch.value.ms === one.ms} onChange={() => (stretch.value = one)} />
                <span>{one.name}</span>
              </label>
            ))}
          </fieldset>
        </div>
        <div class="plots three">
          <Latency service={service} percentile="p50" />
          <Latency service={service} percentile="p95" />
          <Latency service={service} percentile="p99" />
        </div>
        <p class="plots-note">Each point is of the last ten seconds, the band holds the percentile in 95 % of the cases. Upright lines are decisions.</p>
      </section>
      <div class="pair">
        <section class="panel" aria-label="Percentile spectrum">
          <SpectrumChart service={service} />
        </section>
        <section class="panel" aria-label="Errors">
          <Errors service={service} />
        </section>
      </div>
      <div class="pair wide">
        <Timeline service={service} />
        <Endpoints service={service} />
      </div>
    </div>
  );
}

/** What changed, for screen readers: a brake and a rollback interrupt. */
function Spoken(): VNode {
  const { text, urgent } = spoken.value;
  return (
    <>
      <p class="hidden" role="status" aria-live="polite">
        {urgent ? "" : text}
      </p>
      <p class="hidden" role="alert" aria-live="assertive">
        {urgent ? text : ""}
      </p>
    </>
  );
}

/** The tab says where the rollout stands, for whoever looks elsewhere. */
function name(): void {
  const service = chosen.value;
  const phase = service?.rollout || service?.waits ? `${standing(service).word}: ` : "";
  document.title = service === null ? "Portcullis" : `${phase}${service.name} – Portcullis`;
}

const root = document.getElementById("app");
if (root !== null) {
  root.replaceChildren();
  render(<App />, root);
  effect(name);
  follow();
}

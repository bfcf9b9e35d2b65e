// Which versions can be reached, and which have failed here before.

import type { VNode } from "preact";
import type { Service } from "../wire.js";

const WORDS: Readonly<Record<string, string>> = { usable: "Usable", absent: "Not there", unready: "Not ready", failed: "All of its endpoints fail" };

export function Endpoints({ service }: { readonly service: Service }): VNode | null {
  if (service.endpoints.length === 0 && service.rejected.length === 0) return null;
  return (
    <section class="panel" aria-labelledby="endpoints">
      <div class="panel-head">
        <h2 id="endpoints">Versions</h2>
      </div>
      <dl class="facts">
        {service.endpoints.map((reach) => (
          <div key={`${reach.role} ${reach.version}`}>
            <dt>
              <span class={`chip ${reach.role}`} aria-hidden="true" /> {reach.role} {reach.version}
            </dt>
            <dd>
              {WORDS[reach.standing] ?? reach.standing}
              {reach.endpoints.map(({ endpoint, state }) => (
                <span class="endpoint" key={endpoint}>
                  {endpoint}
                  {state === "in" ? "" : ` (${state})`}
                </span>
              ))}
            </dd>
          </div>
        ))}
        {service.way_back === undefined || (service.way_back.policy === "at_once" && service.way_back.room !== "short") ? null : (
          <div>
            <dt>Way back</dt>
            <dd>{service.way_back.sentence}</dd>
          </div>
        )}
        {service.rejected.length === 0 ? null : (
          <div>
            <dt>Rejected</dt>
            <dd>{service.rejected.join(", ")}</dd>
          </div>
        )}
      </dl>
    </section>
  );
}

// The list of services: where each stands at a glance.

import type { VNode } from "preact";
import { weight } from "../format.js";
import { chosen, projects, services, showsStages } from "../store.js";
import { canaryShare, isOver, standing } from "../words.js";
import type { Service } from "../wire.js";
import { Badge } from "./badge.js";

export function Services(): VNode | null {
  if (services.value.length < 2 && projects.value === null) return null;
  return (
    <nav class="side" aria-label="Services">
      {projects.value === null ? null : (
        <ul>
          <li>
            <a href="#stages" aria-current={showsStages.value ? "page" : undefined}>
              <span class="side-name">Stages</span>
              <span class="side-state">{projects.value.length === 1 ? projects.value[0]?.project : `${projects.value.length} projects`}</span>
            </a>
          </li>
        </ul>
      )}
      <ul>
        {services.value.map((service) => (
          <li key={service.name}>
            <a href={`#/${encodeURIComponent(service.name)}`} aria-current={!showsStages.value && chosen.value?.name === service.name ? "page" : undefined}>
              <span class="side-name">{service.name}</span>
              <State service={service} />
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function State({ service }: { readonly service: Service }): VNode {
  const rollout = service.rollout;
  const stands = standing(service);
  if (rollout === null) {
    const waits = typeof service.waits === "string" ? <Badge tone={stands.tone}>{stands.word}</Badge> : null;
    return (
      <span class="side-state">
        {service.owner.name} {waits}
      </span>
    );
  }
  const share = isOver(rollout.phase) ? "" : ` ${weight(canaryShare(rollout))}`;
  return (
    <span class="side-state">
      {rollout.canary.name}
      {share} <Badge tone={stands.tone}>{stands.word}</Badge>
    </span>
  );
}

// How the two versions are marked: solid and hatched, thin and thick, never by colour alone.

import type { VNode } from "preact";
import { UNKNOWN } from "../format.js";

export type Role = "stable" | "canary";

export function Swatch({ role }: { readonly role: Role }): VNode {
  return (
    <svg class={`swatch ${role}`} width="22" height="10" viewBox="0 0 22 10" aria-hidden="true" focusable="false">
      {role === "stable" ? <path d="M1 5h20" stroke-width="2" /> : <path d="M1 5h7m4 0h7" stroke-width="3" />}
    </svg>
  );
}

export function Legend({ stable, canary }: { readonly stable: string; readonly canary: string | null }): VNode {
  return (
    <ul class="legend">
      <li>
        <Swatch role="stable" />
        <span>
          stable <b>{stable}</b>
        </span>
      </li>
      {canary === null ? null : (
        <li>
          <Swatch role="canary" />
          <span>
            canary <b>{canary}</b>
          </span>
        </li>
      )}
    </ul>
  );
}

/** The value of one version at the moment that is shown. */
export function Reading({ role, value, bounds }: { readonly role: Role; readonly value: string; readonly bounds: string }): VNode {
  return (
    <div class={`reading ${role}${value === UNKNOWN ? " none" : ""}`}>
      <span class="reading-role">
        <Swatch role={role} />
        {role}
      </span>
      <span class="reading-value">{value}</span>
      <span class="reading-bounds">{bounds}</span>
    </div>
  );
}

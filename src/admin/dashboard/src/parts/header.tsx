// The bar at the top: the name, whether what is shown is of now, and how it is shown.

import type { VNode } from "preact";
import { link, heard, now, snapshot, theme, token } from "../store.js";
import type { Theme } from "../store.js";
import { span, time } from "../format.js";
import { access } from "./access.js";

const THEMES: readonly { readonly value: Theme; readonly name: string }[] = [
  { value: "auto", name: "Auto" },
  { value: "light", name: "Light" },
  { value: "dark", name: "Dark" },
];

export function Header(): VNode {
  return (
    <header class="top">
      <a class="brand" href="#">
        <svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
          <rect width="32" height="32" rx="7" class="brand-plate" />
          <path d="M8 7v15.5l1.8 2.8 1.8-2.8V7m2.6 0v15.5l1.8 2.8 1.8-2.8V7m2.6 0v15.5l1.8 2.8 1.8-2.8V7M6 11.5h20M6 17.5h20" class="brand-bars" />
        </svg>
        Portcullis
      </a>
      <Connection />
      <div class="top-tools">
        <button type="button" class="quiet" onClick={() => access.value?.showModal()}>
          {token.value === "" ? "Access" : "Access: token set"}
        </button>
        <fieldset class="segments">
          <legend class="hidden">Colours</legend>
          {THEMES.map(({ value, name }) => (
            <label key={value}>
              <input type="radio" name="theme" checked={theme.value === value} onChange={() => (theme.value = value)} />
              <span>{name}</span>
            </label>
          ))}
        </fieldset>
      </div>
    </header>
  );
}

function Connection(): VNode {
  const state = link.value;
  const draining = snapshot.value?.draining === true;
  const word = state === "live" ? (draining ? "Draining" : "Live") : state === "lost" ? "Disconnected" : "Connecting";
  return (
    <p class={`link ${state}`}>
      <span class="link-dot" aria-hidden="true" />
      {word}
    </p>
  );
}

/** Says that what is shown is old, and since when. */
export function Lost(): VNode | null {
  if (link.value !== "lost") return null;
  const since = Math.max(1, (now.value - heard.value) / 1_000);
  const at = snapshot.value === null ? null : time(snapshot.value.at_ms);
  return (
    <p class="banner bad" role="alert">
      <b>No connection to the proxy.</b>{" "}
      {at === null ? "Nothing has been received yet." : <span>What is shown is from {at}, {span(since)} ago. The proxy judges and rolls back without this page.</span>}{" "}
      Trying again.
    </p>
  );
}

/** Says that the controller does not judge: then nothing goes up, and the data plane falls back to stable. */
export function Silent(): VNode | null {
  const silent = snapshot.value?.judged_ms ?? 0;
  if (link.value !== "live" || silent < 2_000) return null;
  return (
    <p class="banner warn" role="alert">
      <b>The controller has not judged for {span(silent / 1_000)}.</b> Nothing is raised meanwhile; when it stays silent, the stable version gets everything.
    </p>
  );
}

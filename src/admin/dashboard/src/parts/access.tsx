// Where an operator says who they are, and gives a token where one is needed. Nothing of it outlives the tab.

import { signal } from "@preact/signals";
import type { VNode } from "preact";
import { useId, useState } from "preact/hooks";
import { actor, token } from "../store.js";

export const access = signal<HTMLDialogElement | null>(null);

export function Access(): VNode {
  const [given, setGiven] = useState(token.value);
  const [name, setName] = useState(actor.value);
  const id = useId();
  const close = (): void => access.value?.close();
  const save = (event: Event): void => {
    event.preventDefault();
    token.value = given.trim();
    actor.value = name.trim();
    close();
  };
  return (
    <dialog
      ref={(dialog) => {
        access.value = dialog;
      }}
      class="dialog"
      aria-labelledby={`${id}-title`}
    >
      <form onSubmit={save}>
        <h2 id={`${id}-title`}>Access</h2>
        <p class="dialog-lead">Kept in this tab only, and sent to this proxy alone.</p>
        <label class="field">
          <span>Your name</span>
          <input
            type="text"
            maxLength={100}
            autocomplete="off"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
            placeholder="operator"
          />
          <small>Stands in the journal beside what you decide.</small>
        </label>
        <label class="field">
          <span>Token</span>
          <input type="password" autocomplete="off" value={given} onInput={(event) => setGiven(event.currentTarget.value)} />
          <small>Only where the proxy asks for one.</small>
        </label>
        <div class="dialog-acts">
          <button type="button" class="plain" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary">
            Save
          </button>
        </div>
      </form>
    </dialog>
  );
}

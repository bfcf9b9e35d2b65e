// A command that has to be confirmed by typing a name: what it does, why, and what became of it.

import { signal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { command } from "../stream.js";
import type { Outcome } from "../stream.js";
import { spoken, token } from "../store.js";

/** One of several values a command may have, and what happens then. */
export interface Option {
  readonly value: string;
  readonly name: string;
  readonly effect: string;
}

/** A command that waits for its confirmation. */
export interface Wish {
  readonly title: string;
  readonly path: string;
  /** What happens, in plain sentences. */
  readonly effect: string;
  /** What has to be typed. */
  readonly name: string;
  readonly verb: string;
  readonly dangerous: boolean;
  /** The state of the rollout that was shown when it was wished; a command about another one is refused. */
  readonly tag?: string;
  /** How it is sent, by POST where nothing is said. */
  readonly method?: "PUT";
  /** What else is sent along, such as what the command is about. */
  readonly fields?: Readonly<Record<string, string>>;
  /** A value that has to be chosen, and the field it is sent in. */
  readonly choice?: { readonly label: string; readonly field: string; readonly options: readonly Option[] };
}

export const wish = signal<Wish | null>(null);
/** What became of the last command, and where it was sent. */
export const outcome = signal<{ readonly path: string; readonly message: string } | null>(null);

export function Confirm(): VNode {
  const current = wish.value;
  const dialog = useRef<HTMLDialogElement>(null);
  const opener = useRef<Element | null>(null);
  const carried = useRef(false);
  useEffect(() => {
    if (current === null) return;
    opener.current = document.activeElement;
    carried.current = false;
    dialog.current?.showModal();
  }, [current]);
  const closed = (): void => {
    wish.value = null;
    // A command that was carried out may take its button with it.
    if (!carried.current && opener.current instanceof HTMLElement && opener.current.isConnected) opener.current.focus();
    else document.getElementById("standing")?.focus();
  };
  const id = useId();
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={`${id}-title`} onClose={closed}>
      {current === null ? null : <Form key={current.path} wish={current} title={`${id}-title`} close={(done) => {
            carried.current = done;
            dialog.current?.close();
          }} />}
    </dialog>
  );
}

interface FormProps {
  readonly wish: Wish;
  readonly title: string;
  readonly close: (done: boolean) => void;
}

function Form({ wish: { title, path, effect, name, verb, dangerous, tag, method, fields, choice }, title: id, close }: FormProps): VNode {
  const [picked, setPicked] = useState("");
  const [typed, setTyped] = useState("");
  const [reason, setReason] = useState("");
  const [given, setGiven] = useState("");
  const [sending, setSending] = useState(false);
  const [failed, setFailed] = useState<Outcome | null>(null);
  const option = choice?.options.find((one) => one.value === picked);
  const fits = typed.trim() === name && (choice === undefined || option !== undefined);
  const send = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!fits || sending) return;
    if (given.trim() !== "") token.value = given.trim();
    setSending(true);
    const chosen = choice === undefined || option === undefined ? {} : { [choice.field]: option.value };
    const answer = await command({ path, method: method ?? "POST", fields: { ...fields, ...chosen }, reason, tag });
    setSending(false);
    if (answer.kind === "done") {
      outcome.value = { path, message: answer.message };
      spoken.value = { text: answer.message, urgent: false };
      close(true);
    } else {
      setFailed(answer);
    }
  };
  return (
    <form onSubmit={(event) => void send(event)}>
      <h2 id={id}>{title}</h2>
      <p class="dialog-lead">{option?.effect ?? effect}</p>
      {choice === undefined ? null : (
        <label class="field">
          <span>{choice.label}</span>
          <select autofocus value={picked} onInput={(event) => setPicked(event.currentTarget.value)}>
            <option value="">Choose</option>
            {choice.options.map((one) => (
              <option key={one.value} value={one.value}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
      )}
      <label class="field">
        <span>
          Type <code>{name}</code> to confirm
        </span>
        <input type="text" autocomplete="off" autocapitalize="off" spellcheck={false} autofocus={choice === undefined} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>Reason</span>
        <input type="text" maxLength={500} autocomplete="off" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
        <small>Stands in the journal.</small>
      </label>
      {failed?.kind === "denied" ? (
        <label class="field">
          <span>Token</span>
          <input type="password" autocomplete="off" value={given} onInput={(event) => setGiven(event.currentTarget.value)} />
        </label>
      ) : null}
      {failed === null ? null : (
        <p class="dialog-failed" role="alert">
          {failed.message}
        </p>
      )}
      <div class="dialog-acts">
        <button type="button" class="plain" onClick={() => close(false)}>
          Cancel
        </button>
        <button type="submit" class={dangerous ? "danger" : "primary"} aria-disabled={!fits || sending}>
          {sending ? "Sending" : verb}
        </button>
      </div>
    </form>
  );
}

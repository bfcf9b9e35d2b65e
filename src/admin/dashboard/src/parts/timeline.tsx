// What was decided on a service and what people were told, the newest first.

import type { VNode } from "preact";
import { dayOf, time, weight } from "../format.js";
import { decisionsOf, notices, now } from "../store.js";
import type { Entry, Notice, Service } from "../wire.js";
import { PHASES, VERDICTS } from "../words.js";
import type { Tone } from "../words.js";
import { Badge } from "./badge.js";

/** A notice this near to a decision tells of it. */
const TOGETHER_MS = 1_000;

interface Line {
  readonly key: string;
  readonly at: string;
  readonly tone: Tone;
  readonly word: string;
  readonly text: string;
  readonly entry: Entry | null;
}

export function Timeline({ service }: { readonly service: Service }): VNode {
  const lines = linesOf(service).slice(0, 60);
  return (
    <section class="panel" aria-labelledby="timeline">
      <div class="panel-head">
        <h2 id="timeline">Decisions and events</h2>
        <p class="panel-note">Newest first</p>
      </div>
      {lines.length === 0 ? (
        <p class="empty">Nothing has been decided yet.</p>
      ) : (
        <ol class="timeline">
          {lines.map((line) => (
            <li key={line.key} class={`event ${line.tone}`}>
              <time dateTime={line.at}>
                {time(line.at)}
                <small>{dayOf(line.at, now.value)}</small>
              </time>
              <div class="event-body">
                <p class="event-top">
                  <Badge tone={line.tone}>{line.word}</Badge>
                  {line.entry === null ? null : <Change entry={line.entry} />}
                </p>
                <p class="event-text">{line.text}</p>
                {line.entry === null ? null : <Because entry={line.entry} />}
              </div>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function Change({ entry }: { readonly entry: Entry }): VNode {
  return (
    <span class="event-change">
      {entry.canary ?? "canary"}{" "}
      {entry.from === entry.to ? (
        "at"
      ) : (
        <>
          {weight(entry.from)} <span aria-hidden="true">→</span>
          <span class="hidden">to</span>
        </>
      )}{" "}
      {weight(entry.to)} <span class="event-actor">by {entry.actor}</span>
    </span>
  );
}

function Because({ entry }: { readonly entry: Entry }): VNode | null {
  const evidence = [...(entry.evidence === null ? [] : [entry.evidence]), ...entry.gates];
  if (evidence.length === 0) return null;
  return (
    <details class="because">
      <summary>Evidence</summary>
      <ul>
        {evidence.map((one, index) => (
          <li key={index}>
            <b>{one.gate}</b> {VERDICTS[one.verdict].word.toLowerCase()}: {one.sentence}
          </li>
        ))}
      </ul>
    </details>
  );
}

function linesOf(service: Service): readonly Line[] {
  const decided = decisionsOf(service.name).flatMap(({ sequence, entry }): Line[] => {
    if (entry === undefined) return [];
    const { word, tone } = PHASES[entry.phase];
    return [{ key: `d${sequence}`, at: entry.at ?? "", tone, word: entry.phase === "progressing" && entry.to > entry.from ? "Raised" : word, text: entry.reason, entry }];
  });
  // A decision is told to people too; what the journal holds is shown once.
  const isDecided = (notice: Notice): boolean =>
    decided.some((line) => notice.sentence.startsWith(line.text) || (!notice.alarm && Math.abs(Date.parse(line.at) - Date.parse(notice.at)) < TOGETHER_MS));
  const told = notices.value
    .filter((notice) => notice.service === service.name && !isDecided(notice))
    .map((notice, index): Line => ({
      key: `n${notice.at} ${index}`,
      at: notice.at,
      tone: notice.alarm ? "warn" : "calm",
      word: notice.alarm ? "Alarm" : "Notice",
      text: notice.sentence,
      entry: null,
    }));
  return [...decided, ...told].sort((a, b) => (a.at < b.at ? 1 : -1));
}

// Numbers as people read them: short, aligned, never more digits than are known.

import type { Unit } from "./wire.js";

export const UNKNOWN = "–";
/** Between a number and its unit: never a line break. */
const GAP = "\u00a0";

const grouped = new Intl.NumberFormat("en-US");

export function count(value: number): string {
  return grouped.format(value);
}

/** Three significant digits at most, without trailing noughts. */
function short(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return String(Number(value.toFixed(Math.min(digits, 6))));
}

/** A latency given in microseconds. */
export function latency(us: number): string {
  if (us < 1_000) return `${short(us)}${GAP}µs`;
  if (us < 1_000_000) return `${short(us / 1_000)}${GAP}ms`;
  return `${short(us / 1_000_000)}${GAP}s`;
}

export function weight(basisPoints: number): string {
  return `${short(basisPoints / 100)}${GAP}%`;
}

/** A part of one as a percentage. */
export function share(ratio: number): string {
  const percent = ratio * 100;
  if (percent > 0 && percent < 0.01) return `<${GAP}0.01${GAP}%`;
  return `${short(percent)}${GAP}%`;
}

export function quantity(unit: Unit, value: number): string {
  switch (unit) {
    case "share":
      return share(value);
    case "nanoseconds":
      return latency(value / 1_000);
    case "score":
      return short(value);
  }
}

/** A time to come, rounded up: 8 s, 7 min 20 s, 2 h 5 min. */
export function span(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (large: number, unit: string, small: number, smaller: string): string =>
    small === 0 ? `${large}${GAP}${unit}` : `${large}${GAP}${unit} ${small}${GAP}${smaller}`;
  if (whole < 60) return `${whole}${GAP}s`;
  if (whole < 3_600) return two(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86_400) return two(Math.floor(whole / 3_600), "h", Math.floor((whole % 3_600) / 60), "min");
  return two(Math.floor(whole / 86_400), "d", Math.floor((whole % 86_400) / 3_600), "h");
}

/** Evidence as odds: ln E = 6.9 is 1 in 1,000. Below one it says nothing yet. */
export function odds(logE: number): string {
  const e = Math.exp(Math.min(logE, 700));
  if (e < 1.05) return "none yet";
  if (e < 10) return `1 in ${short(e)}`;
  if (e < 10_000) return `1 in ${grouped.format(Math.round(e))}`;
  const power = Math.floor(Math.log10(e));
  if (power < 9) return `1 in ${grouped.format(Number(e.toPrecision(2)))}`;
  return `1 in 10${superscript(power)}`;
}

function superscript(value: number): string {
  return [...String(value)].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)] ?? "").join("");
}

/** How far evidence has come towards its threshold, from 0 to 1. */
export function progress(logE: number, threshold: number): number {
  if (!(threshold > 0)) return 0;
  return Math.min(1, Math.max(0, logE / threshold));
}

export function rate(perSecond: number): string {
  if (perSecond >= 1) return `${short(perSecond)}/s`;
  if (perSecond * 60 >= 1) return `${short(perSecond * 60)}/min`;
  return perSecond > 0 ? `${short(perSecond * 3_600)}/h` : "0/s";
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export function time(at: number | string): string {
  return clock.format(new Date(at));
}

/** The day of a moment where it is not today's. */
export function dayOf(at: number | string, now: number): string {
  const then = day.format(new Date(at));
  return then === day.format(new Date(now)) ? "" : then;
}

// The history of a service cut to a stretch of time, and its figures as columns.

import { signal } from "@preact/signals";
import { decisionsOf, pointsOf } from "../store.js";
import type { Figures, Point, Service } from "../wire.js";
import type { Mark } from "./axes.js";

export interface Stretch {
  readonly name: string;
  readonly ms: number;
}

export const STRETCHES: readonly Stretch[] = [
  { name: "5 min", ms: 300_000 },
  { name: "30 min", ms: 1_800_000 },
  { name: "4 h", ms: 14_400_000 },
];

export const stretch = signal<Stretch>({ name: "5 min", ms: 300_000 });
/** The moment the pointer is at, the same in every chart; null for the newest. */
export const pointed = signal<number | null>(null);

let last: { readonly key: string; readonly points: readonly Point[] } = { key: "", points: [] };

/** The points of the chosen stretch, which ends with the newest; the same list for as long as no point is added. */
export function recent(service: string): readonly Point[] {
  const all = pointsOf(service);
  const newest = all[all.length - 1]?.at_ms ?? 0;
  const key = [service, stretch.value.ms, newest, all.length].join(" ");
  if (key !== last.key) {
    const from = newest - stretch.value.ms;
    last = { key, points: all.filter((point) => point.at_ms >= from) };
  }
  return last.points;
}

/** The moments of the points in seconds. A gap of more than a minute is kept as a gap by the values. */
export function times(points: readonly Point[]): number[] {
  return points.map((point) => point.at_ms / 1_000);
}

export function column(points: readonly Point[], role: "stable" | "canary", value: (figures: Figures) => number | null): (number | null)[] {
  return points.map((point) => {
    const figures = point[role];
    return figures === null ? null : value(figures);
  });
}

/** About twenty rows over a stretch, the newest first. */
export function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.max(1, Math.ceil(points.length / 20));
  return points.filter((_, index) => (points.length - 1 - index) % every === 0).reverse();
}

/** The least stretch of a time axis, in seconds. */
const LEAST = 60;

/** The beginning and the end of the time axis: the chosen stretch, or what there is of it. */
export function window(points: readonly Point[]): [number, number] {
  const newest = (points[points.length - 1]?.at_ms ?? Date.now()) / 1_000;
  const oldest = (points[0]?.at_ms ?? 0) / 1_000;
  return [Math.min(Math.max(newest - stretch.value.ms / 1_000, oldest), newest - LEAST), newest];
}

/** When decisions on a service fell. */
export function marks(service: Service): readonly Mark[] {
  return decisionsOf(service.name).flatMap(({ entry }) => {
    if (entry === undefined || entry.at === null) return [];
    return [{ at: Date.parse(entry.at) / 1_000, bad: entry.phase === "braked" || entry.phase === "rolled_back" }];
  });
}

/** The point that is shown in figures: the one under the pointer, or the newest. */
export function shown(points: readonly Point[]): Point | null {
  const at = pointed.value;
  return (at === null ? undefined : points[at]) ?? points[points.length - 1] ?? null;
}

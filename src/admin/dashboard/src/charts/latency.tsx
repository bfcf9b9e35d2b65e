// Response times of both versions over time: one chart for each percentile, with its confidence band.

import type { VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { latency, time, UNKNOWN } from "../format.js";
import { limitOf } from "../words.js";
import type { Bounded, Figures, Point, Service } from "../wire.js";
import { drawings, latencyAxis, latencyRange, lines, timeAxis } from "./axes.js";
import { Reading } from "./legend.js";
import { Plot } from "./plot.js";
import type { Ink } from "./plot.js";
import { column, marks, pointed, recent, shown, thinned, times, window } from "./series.js";

type Percentile = "p50" | "p95" | "p99";

const NAMES: Readonly<Record<Percentile, string>> = { p50: "median", p95: "95th percentile", p99: "99th percentile" };

function of(percentile: Percentile): (figures: Figures) => Bounded | null {
  return (figures) => figures[`${percentile}_us`];
}

function data(points: readonly Point[], percentile: Percentile): uPlot.AlignedData {
  const read = of(percentile);
  const part = (role: "stable" | "canary", index: 0 | 1 | 2): (number | null)[] =>
    column(points, role, (figures) => read(figures)?.[index] ?? null);
  return [
    times(points),
    part("stable", 0),
    part("stable", 1),
    part("stable", 2),
    part("canary", 0),
    part("canary", 1),
    part("canary", 2),
  ];
}

export function Latency({ service, percentile }: { readonly service: Service; readonly percentile: Percentile }): VNode {
  const points = recent(service.name);
  const limit = service.rollout?.gates.map((gate) => limitOf(gate.gate)).find((found) => found?.percentile === percentile) ?? null;
  const live = useRef({ points, service, limit });
  live.current = { points, service, limit };
  const columns = useMemo(() => data(points, percentile), [points, percentile]);
  const options = (ink: Ink): Omit<uPlot.Options, "width" | "height"> => {
    const { stable, canary, bound } = lines(ink);
    return {
      padding: [8, 18, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false }, sync: { key: "time" } },
      scales: {
        x: { time: true, range: () => window(live.current.points) },
        y: {
          distr: 3,
          range: (_, low, high) => {
            const top = live.current.limit?.us ?? null;
            return latencyRange(low, top === null ? high : Math.max(high ?? top, top));
          },
        },
      },
      axes: [timeAxis(ink), latencyAxis(ink)],
      series: [{}, bound, stable, bound, bound, canary, bound],
      bands: [
        { series: [3, 1], fill: ink.stableBand },
        { series: [6, 4], fill: ink.canaryBand },
      ],
      hooks: drawings(ink, () => live.current.limit?.us ?? null, () => marks(live.current.service)),
    };
  };
  const here = shown(points);
  const read = of(percentile);
  const stable = here?.stable ? read(here.stable) : null;
  const canary = here?.canary ? read(here.canary) : null;
  return (
    <Plot
      title={percentile}
      note={NAMES[percentile]}
      summary={summary(percentile, stable, canary)}
      data={columns}
      options={options}
      shape={`${service.name} ${percentile}`}
      height={172}
      table={() => table(points, read)}
      empty={points.some((point) => point.stable !== null || point.canary !== null) ? null : "No requests in this time."}
      onCursor={(index) => {
        pointed.value = index;
      }}
    >
      <div class="readings">
        <Reading role="stable" value={stable === null ? UNKNOWN : latency(stable[1])} bounds={bounds(stable)} />
        {service.rollout === null ? null : (
          <Reading role="canary" value={canary === null ? UNKNOWN : latency(canary[1])} bounds={bounds(canary)} />
        )}
      </div>
    </Plot>
  );
}

function bounds(value: Bounded | null): string {
  return value === null || value[0] === value[2] ? "" : `${latency(value[0])} to ${latency(value[2])}`;
}

function summary(percentile: Percentile, stable: Bounded | null, canary: Bounded | null): string {
  const told = (name: string, value: Bounded | null): string =>
    value === null ? `${name} has no requests` : `${name} ${latency(value[1])}, between ${latency(value[0])} and ${latency(value[2])}`;
  return `${NAMES[percentile]} of the response times over time. Now: ${told("stable", stable)}; ${told("canary", canary)}.`;
}

function table(points: readonly Point[], read: (figures: Figures) => Bounded | null): { heads: string[]; rows: string[][] } {
  const cell = (figures: Figures | null): string => {
    const value = figures === null ? null : read(figures);
    return value === null ? UNKNOWN : `${latency(value[1])} (${latency(value[0])} to ${latency(value[2])})`;
  };
  return {
    heads: ["Time", "Stable", "Canary"],
    rows: thinned(points).map((point) => [time(point.at_ms), cell(point.stable), cell(point.canary)]),
  };
}


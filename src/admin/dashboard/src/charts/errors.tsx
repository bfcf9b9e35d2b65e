// The share of failed requests of both versions over time.

import type { VNode } from "preact";
import { useMemo, useRef } from "preact/hooks";
import type uPlot from "uplot";
import { count, share, time, UNKNOWN } from "../format.js";
import { errorRate, errorText } from "../words.js";
import type { Figures, Point, Service } from "../wire.js";
import { drawings, lines, timeAxis, valueAxis } from "./axes.js";
import { Reading } from "./legend.js";
import { Plot } from "./plot.js";
import type { Ink } from "./plot.js";
import { column, marks, pointed, recent, shown, thinned, times, window } from "./series.js";

function ratio(figures: Figures): number | null {
  return errorRate(figures.errors, figures.requests);
}

export function Errors({ service }: { readonly service: Service }): VNode {
  const points = recent(service.name);
  const limit = service.rollout?.gates.find((gate) => gate.gate.startsWith("errors") && gate.unit === "share")?.limit ?? null;
  const live = useRef({ points, service, limit });
  live.current = { points, service, limit };
  const columns = useMemo<uPlot.AlignedData>(
    () => [times(points), column(points, "stable", ratio), column(points, "canary", ratio)],
    [points],
  );
  const options = (ink: Ink): Omit<uPlot.Options, "width" | "height"> => {
    const { stable, canary } = lines(ink);
    return {
      padding: [8, 18, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false }, sync: { key: "time" } },
      scales: {
        x: { time: true, range: () => window(live.current.points) },
        y: { range: (_, __, high) => [0, Math.min(1, Math.max((high ?? 0) * 1.15, (live.current.limit ?? 0) * 2, 0.02))] },
      },
      axes: [timeAxis(ink), valueAxis(ink, share)],
      series: [{}, stable, canary],
      hooks: drawings(ink, () => live.current.limit, () => marks(live.current.service)),
    };
  };
  const here = shown(points);
  return (
    <Plot
      title="Errors"
      note="5xx and incomplete answers"
      summary={`Share of failed requests over time. Now: stable ${told(here?.stable ?? null)}; canary ${told(here?.canary ?? null)}.`}
      data={columns}
      options={options}
      shape={service.name}
      height={190}
      table={() => table(points)}
      empty={points.some((point) => point.stable !== null || point.canary !== null) ? null : "No requests in this time."}
      onCursor={(index) => {
        pointed.value = index;
      }}
    >
      <div class="readings">
        <Reading role="stable" value={text(here?.stable ?? null)} bounds={flight(here?.stable ?? null)} />
        {service.rollout === null ? null : (
          <Reading role="canary" value={text(here?.canary ?? null)} bounds={flight(here?.canary ?? null)} />
        )}
      </div>
    </Plot>
  );
}

function text(figures: Figures | null): string {
  const value = figures === null ? null : ratio(figures);
  return value === null ? UNKNOWN : share(value);
}

function flight(figures: Figures | null): string {
  return figures === null ? "" : `${count(figures.errors)} of ${count(figures.requests)}, ${count(figures.in_flight)} in flight`;
}

function told(figures: Figures | null): string {
  return figures === null ? "no requests" : errorText(figures.errors, figures.requests);
}

function table(points: readonly Point[]): { heads: string[]; rows: string[][] } {
  const cell = (figures: Figures | null): string =>
    figures === null ? UNKNOWN : `${text(figures)} (${count(figures.errors)} of ${count(figures.requests)})`;
  return {
    heads: ["Time", "Stable", "Canary"],
    rows: thinned(points).map((point) => [time(point.at_ms), cell(point.stable), cell(point.canary)]),
  };
}

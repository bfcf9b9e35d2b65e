// The percentile spectrum: every percentile of both versions since the rollout began, the rare ones as wide as the common.

import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import type uPlot from "uplot";
import { count, latency, UNKNOWN } from "../format.js";
import { spectraOf } from "../store.js";
import type { Service, Spectra, Spectrum } from "../wire.js";
import { latencyAxis, latencyRange, lines, valueAxis } from "./axes.js";
import { Plot } from "./plot.js";
import type { Ink } from "./plot.js";

const NONE: Spectrum = { requests: 0, points: [] };
/** The percentiles that are labelled. */
const LABELS: readonly number[] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/** The place of a percentile on the axis: 1 / (1 − q), which is logarithmic. */
function place(q: number): number {
  return 1 / (1 - q);
}

function name(q: number): string {
  return q === 0 ? "min" : `p${Number((q * 100).toPrecision(6))}`;
}

function data(spectra: Spectra): uPlot.AlignedData {
  const places = [...new Set([...spectra.stable.points, ...spectra.canary.points].map(([q]) => q))].sort((a, b) => a - b);
  const values = (spectrum: Spectrum): (number | null | undefined)[] => {
    const known = new Map(spectrum.points.map(([q, us]) => [q, us]));
    // What one version has no point for is no gap of its line.
    return places.map((q) => known.get(q));
  };
  return [places.map(place), values(spectra.stable), values(spectra.canary)];
}

export function SpectrumChart({ service }: { readonly service: Service }): VNode {
  const spectra = spectraOf(service.name) ?? { stable: NONE, canary: NONE };
  const columns = useMemo(() => data(spectra), [spectra]);
  const options = (ink: Ink): Omit<uPlot.Options, "width" | "height"> => {
    const { stable, canary } = lines(ink);
    return {
      padding: [8, 26, 0, 0],
      cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, distr: 3, range: (_, __, high) => [1, Math.max(high ?? 100, 100)] },
        y: { distr: 3, range: (_, low, high) => latencyRange(low, high) },
      },
      axes: [
        {
          ...valueAxis(ink, () => ""),
          size: 26,
          splits: (_, __, low, high) => LABELS.map(place).filter((at) => at >= low && at <= high),
          values: (_, splits) => splits.map((at) => name(1 - 1 / at)),
          filter: (_, splits) => splits,
        },
        latencyAxis(ink),
      ],
      series: [{}, { ...stable, spanGaps: true }, { ...canary, spanGaps: true }],
    };
  };
  const { stable, canary } = spectra;
  return (
    <Plot
      title="Percentile spectrum"
      note={service.rollout === null ? "since the start" : "since the rollout began"}
      summary={`Every percentile of the response times: ${said("stable", stable)}; ${said("canary", canary)}.`}
      data={columns}
      options={options}
      shape={service.name}
      height={232}
      table={() => table(spectra)}
      empty={stable.requests + canary.requests === 0 ? "No requests yet." : null}
    >
      <p class="counts">
        stable {count(stable.requests)} requests
        {service.rollout === null ? "" : `, canary ${count(canary.requests)} requests`}
      </p>
    </Plot>
  );
}

function said(role: string, spectrum: Spectrum): string {
  const last = spectrum.points[spectrum.points.length - 1];
  return last === undefined ? `${role} has no requests` : `${role} at most ${latency(last[1])} in ${count(spectrum.requests)} requests`;
}

function table(spectra: Spectra): { heads: string[]; rows: string[][] } {
  const qs = [0.5, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 0.9995, 0.9999];
  const at = (spectrum: Spectrum, q: number): string => {
    const found = spectrum.points.find(([known]) => known === q);
    return found === undefined ? UNKNOWN : latency(found[1]);
  };
  const most = (spectrum: Spectrum): string => {
    const last = spectrum.points[spectrum.points.length - 1];
    return last === undefined ? UNKNOWN : latency(last[1]);
  };
  const rows = qs.map((q) => [name(q), at(spectra.stable, q), at(spectra.canary, q)]);
  const known = rows.filter((row) => row[1] !== UNKNOWN || row[2] !== UNKNOWN);
  return { heads: ["Percentile", "Stable", "Canary"], rows: [...known, ["maximum", most(spectra.stable), most(spectra.canary)]] };
}

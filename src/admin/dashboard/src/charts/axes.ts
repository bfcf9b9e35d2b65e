// Axes and lines that the charts have in common.

import type uPlot from "uplot";
import { latency, time } from "../format.js";
import type { Ink } from "./plot.js";

/** A decision that is marked on a time axis. */
export interface Mark {
  readonly at: number;
  readonly bad: boolean;
}

export function timeAxis(ink: Ink): uPlot.Axis {
  return {
    stroke: ink.text,
    font: ink.font,
    grid: { show: false },
    ticks: { stroke: ink.grid, size: 4, width: 1 },
    size: 26,
    space: 64,
    incrs: [5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200],
    values: (_, splits) => splits.map((at) => time(at * 1_000).replace(/:00$/, "")),
  };
}

export function valueAxis(ink: Ink, values: (value: number) => string): uPlot.Axis {
  return {
    stroke: ink.text,
    font: ink.font,
    grid: { stroke: ink.grid, width: 1 },
    ticks: { show: false },
    size: 58,
    gap: 6,
    space: 28,
    values: (_, splits) => splits.map(values),
  };
}

/** Latencies in microseconds on a logarithmic scale: lines at the decades, and between them where there is room. */
export function latencyAxis(ink: Ink): uPlot.Axis {
  return { ...valueAxis(ink, latency), splits: (_, __, low, high) => logarithmic(low, high), filter: (_, splits) => splits };
}

function logarithmic(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const firsts = decades > 2.6 ? [1] : decades > 1.4 ? [1, 3] : [1, 2, 5];
  const splits: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const first of firsts) {
      const value = first * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) splits.push(value);
    }
  }
  return splits;
}

/** The span of a logarithmic scale: whole halves of decades around what is shown, never less than one decade. */
export function latencyRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || !(low > 0)) return [1_000, 100_000];
  const floor = Math.floor(Math.log10(low) * 2 - 0.2) / 2;
  const ceiling = Math.max(Math.ceil(Math.log10(high) * 2 + 0.2) / 2, floor + 1);
  return [10 ** floor, 10 ** ceiling];
}

/** The stable version's line is solid, the canary's is thicker and dashed: told apart without colour. */
export function lines(ink: Ink): { readonly stable: uPlot.Series; readonly canary: uPlot.Series; readonly bound: uPlot.Series } {
  const points = { show: false };
  return {
    stable: { stroke: ink.stable, width: 1.75, points, spanGaps: false },
    canary: { stroke: ink.canary, width: 2.25, dash: [7, 3], points, spanGaps: false },
    bound: { stroke: "transparent", width: 0, points, spanGaps: false },
  };
}

/** Draws a limit as a dotted line with its name, and decisions as thin upright lines. */
export function drawings(ink: Ink, limit: () => number | null, marks: () => readonly Mark[]): uPlot.Hooks.Arrays {
  return {
    draw: [
      (plot) => {
        const { ctx, bbox } = plot;
        const ratio = devicePixelRatio;
        ctx.save();
        ctx.beginPath();
        ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
        ctx.clip();
        for (const mark of marks()) {
          const x = plot.valToPos(mark.at, "x", true);
          ctx.strokeStyle = mark.bad ? ink.bad : ink.text;
          ctx.lineWidth = ratio;
          ctx.setLineDash(mark.bad ? [] : [2 * ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
        const at = limit();
        if (at !== null) {
          const y = plot.valToPos(at, "y", true);
          ctx.strokeStyle = ink.limit;
          ctx.lineWidth = ratio;
          ctx.setLineDash([ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
          ctx.fillStyle = ink.limit;
          ctx.font = `${11 * ratio}px ${ink.font.replace(/^\S+ /, "")}`;
          ctx.textAlign = "left";
          ctx.fillText("limit", bbox.left + 4 * ratio, y - 4 * ratio);
        }
        ctx.restore();
      },
    ],
  };
}

// One chart: a canvas with a title, its newest figures, and a table that says the same.

import type { ComponentChildren, VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { theme } from "../store.js";

export interface Table {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface PlotProps {
  readonly title: string;
  readonly note?: string;
  /** What the chart shows, in one sentence, for those who do not see it. */
  readonly summary: string;
  readonly data: uPlot.AlignedData;
  readonly options: (ink: Ink) => Omit<uPlot.Options, "width" | "height">;
  /** Changes when the options do. */
  readonly shape: string;
  readonly height: number;
  readonly table: () => Table;
  readonly empty: string | null;
  readonly onCursor?: (index: number | null) => void;
  readonly children?: ComponentChildren;
}

/** The colours of the theme that holds now, for canvases. */
export interface Ink {
  readonly text: string;
  readonly grid: string;
  readonly stable: string;
  readonly canary: string;
  readonly stableBand: string;
  readonly canaryBand: string;
  readonly limit: string;
  readonly bad: string;
  readonly font: string;
}

export function ink(): Ink {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: of("--ink-3"),
    grid: of("--line"),
    stable: of("--stable"),
    canary: of("--canary"),
    stableBand: of("--stable-band"),
    canaryBand: of("--canary-band"),
    limit: of("--ink-2"),
    bad: of("--bad"),
    font: `11px ${of("--sans")}`,
  };
}

const dark = matchMedia("(prefers-color-scheme: dark)");

export function Plot(props: PlotProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [open, setOpen] = useState(false);
  const [scheme, setScheme] = useState(dark.matches);
  const cursor = useRef(props.onCursor);
  cursor.current = props.onCursor;
  const chosenTheme = theme.value;

  useEffect(() => {
    const changed = (): void => setScheme(dark.matches);
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);

  useEffect(() => {
    const target = box.current;
    if (target === null) return;
    const options = props.options(ink());
    const hooks = { setCursor: [(u: uPlot) => cursor.current?.(u.cursor.idx ?? null)] };
    const made = new uPlot(
      {
        legend: { show: false },
        ...options,
        width: Math.max(target.clientWidth, 120),
        height: props.height,
        hooks: { ...options.hooks, setCursor: [...hooks.setCursor, ...(options.hooks?.setCursor ?? [])] },
      },
      props.data,
      target,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(target.clientWidth, 120), height: props.height }));
    observer.observe(target);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [props.shape, props.height, chosenTheme, scheme]);

  useEffect(() => {
    plot.current?.setData(props.data);
  }, [props.data]);

  const table = open ? props.table() : null;
  return (
    <figure class="plot">
      <figcaption class="plot-head">
        <span class="plot-title">{props.title}</span>
        {props.note === undefined ? null : <span class="plot-note">{props.note}</span>}
      </figcaption>
      {props.children}
      <div class="plot-box">
        <div ref={box} role="img" aria-label={props.summary} class="plot-canvas" />
        {props.empty === null ? null : <p class="plot-empty">{props.empty}</p>}
      </div>
      <details class="twin" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          Table<span class="hidden"> of {props.title}</span>
        </summary>
        {table === null ? null : <Twin title={props.title} table={table} />}
      </details>
    </figure>
  );
}

function Twin({ title, table }: { readonly title: string; readonly table: Table }): VNode {
  return (
    <div class="twin-scroll" tabIndex={0} role="region" aria-label={`Table of ${title}`}>
      <table class="figures">
        <thead>
          <tr>
            {table.heads.map((head) => (
              <th scope="col" key={head}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {table.rows.map((row, index) => (
            <tr key={index}>
              {row.map((cell, column) => (column === 0 ? <th scope="row">{cell}</th> : <td>{cell}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

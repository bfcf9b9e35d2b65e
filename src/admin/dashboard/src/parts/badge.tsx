// A word with a shape before it: told apart without colour.

import type { VNode } from "preact";
import type { Tone } from "../words.js";

const SHAPES: Readonly<Record<Tone, string>> = {
  calm: "M6 2.2a3.8 3.8 0 1 1 0 7.6 3.8 3.8 0 0 1 0-7.6Z",
  good: "m2.2 6.4 2.6 2.6 5-5.6",
  warn: "M6 1.6 11 10.4H1ZM6 4.8v2.4M6 8.7v.4",
  bad: "m2.8 2.8 6.4 6.4m0-6.4L2.8 9.2",
};

export function Badge({ tone, children, large = false }: { readonly tone: Tone; readonly children: string; readonly large?: boolean }): VNode {
  return (
    <span class={`badge ${tone}${large ? " large" : ""}`}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" focusable="false">
        <path d={SHAPES[tone]} />
      </svg>
      {children}
    </span>
  );
}

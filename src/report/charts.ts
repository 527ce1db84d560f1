/**
 * The charts of an experiment, each from plain data.
 *
 * @module
 */

import * as Plot from "@observablehq/plot";
import { drawn, type Series } from "./plot.ts";

/** A line. */
export interface Line extends Series {
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** Axes of a chart of lines. */
export interface Axes {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** Dots at the points, where they are few. */
  readonly dots?: boolean;
  /** A level to compare with. */
  readonly reference?: number;
  /** The y axis begins at zero. */
  readonly zero?: boolean;
  readonly height?: number;
}

/** A mean with its standard error, and the values behind it. */
export interface Interval extends Series {
  readonly mean: number;
  readonly standardError: number | null;
  readonly values: readonly number[];
}

/** Lines over a common x axis. */
export function lineChart(
  lines: readonly Line[],
  { title, x, y, dots = false, zero = false, reference, height = 300 }: Axes,
): string {
  const rowsOf = (some: readonly Line[]) =>
    some.flatMap(({ label, color, points }) => points.map(([px, py]) => ({ label, color, px, py })));
  const channels = { x: "px", y: "py", stroke: "color", z: "label", strokeWidth: 1.8 } as const;
  const [solid, dashed] = [false, true].map((wanted) => rowsOf(lines.filter(({ dashed = false }) => dashed === wanted)));
  return drawn(title, lines.flatMap(({ points }) => points.flat()), {
    height,
    x: { label: x },
    y: { label: y, zero },
    color: { type: "identity" },
    marks: [
      ...reference === undefined ? [] : [Plot.ruleY([reference], { stroke: "currentColor", strokeDasharray: "2 3" })],
      Plot.line(solid, channels),
      Plot.line(dashed, { ...channels, strokeDasharray: "5 3" }),
      ...dots ? [Plot.dot([...solid, ...dashed], { x: "px", y: "py", fill: "color", r: 2.5 })] : [],
    ],
  });
}

/** Room for the longest label: a letter is 6.5 units wide on average. */
const labelMargin = (rows: readonly Series[]): number => 20 + 6.5 * Math.max(...rows.map(({ label }) => label.length));

/** Means with bars of one standard error to each side, and each value as a ring. `reference` is a line to compare with. */
export function intervalChart(
  intervals: readonly Interval[],
  { title, x, reference }: { readonly title: string; readonly x: string; readonly reference?: number },
): string {
  const rows = intervals.map(({ label, color, mean, standardError }) => ({
    label,
    color,
    mean,
    low: mean - (standardError ?? 0),
    high: mean + (standardError ?? 0),
  }));
  const values = intervals.flatMap(({ label, color, values }) => values.map((value) => ({ label, color, value })));
  return drawn(title, [...rows.flatMap(({ low, high }) => [low, high]), ...values.map(({ value }) => value)], {
    height: 60 + 30 * intervals.length,
    marginLeft: labelMargin(intervals),
    x: { label: x, inset: 8 },
    y: { label: null, domain: rows.map(({ label }) => label) },
    color: { type: "identity" },
    marks: [
      ...reference === undefined ? [] : [Plot.ruleX([reference], { stroke: "currentColor", strokeDasharray: "4 3" })],
      Plot.dot(values, { x: "value", y: "label", stroke: "color", r: 3, strokeOpacity: 0.55 }),
      Plot.ruleY(rows, { y: "label", x1: "low", x2: "high", stroke: "color", strokeWidth: 3 }),
      Plot.dot(rows, { x: "mean", y: "label", fill: "color", r: 5 }),
    ],
  });
}

/** A bar for each entry. */
export function barChart(
  bars: readonly (Series & { readonly value: number })[],
  { title, x }: { readonly title: string; readonly x: string },
): string {
  return drawn(title, bars.map(({ value }) => value), {
    height: 60 + 30 * bars.length,
    marginLeft: labelMargin(bars),
    marginRight: 50,
    x: { label: x, inset: 8 },
    y: { label: null, domain: bars.map(({ label }) => label) },
    color: { type: "identity" },
    marks: [
      Plot.barX([...bars], { x: "value", y: "label", fill: "color" }),
      Plot.text([...bars], { x: "value", y: "label", text: ({ value }) => value.toFixed(1), dx: 5, textAnchor: "start" }),
      Plot.ruleX([0]),
    ],
  });
}

/** Shares of weights by bin: an area, over the outline of what it was before. */
export function histogramChart(
  { title, limit, before, after, color }: {
    readonly title: string;
    readonly limit: number;
    readonly before: readonly number[];
    readonly after: readonly number[];
    readonly color: string;
  },
): string {
  const rows = (counts: readonly number[]) => {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const width = 2 * limit / counts.length;
    return counts.map((count, bin) => ({
      left: bin * width - limit,
      right: (bin + 1) * width - limit,
      share: 100 * count / total,
    }));
  };
  const outline = rows(before).flatMap(({ left, right, share }) => [{ x: left, share }, { x: right, share }]);
  return drawn(title, [...rows(after), ...rows(before)].map(({ share }) => share), {
    width: 300,
    height: 190,
    marginLeft: 44,
    x: { label: "w / s", domain: [-limit, limit] },
    y: { label: "% of weights", zero: true },
    marks: [
      Plot.rectY(rows(after), { x1: "left", x2: "right", y: "share", fill: color, inset: 0.25 }),
      Plot.line(outline, { x: "x", y: "share", stroke: "currentColor", strokeWidth: 1 }),
      Plot.ruleX([-0.5, 0.5], { stroke: "currentColor", strokeDasharray: "3 3", strokeOpacity: 0.6 }),
    ],
  });
}

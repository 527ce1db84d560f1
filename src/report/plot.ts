/**
 * Plots as text: SVG that a page holds, in colours that the page defines.
 *
 * @module
 */

import * as Plot from "@observablehq/plot";
import { escaped, SvgDocument } from "./svg_document.ts";

/** Colours of series, as the page's style sheet defines them for light and dark: names are distinguishable also without colour vision. */
export const seriesColors: readonly string[] = Array.from({ length: 8 }, (_, index) => `var(--series-${index + 1})`);

/** Colour of what is not quantized or is only there to compare with. */
export const quietColor = "var(--quiet)";

/** Draws a plot of `numbers`. Throws where one is not finite, since it would be left out without a word. */
export function drawn(title: string, numbers: readonly number[], options: Plot.PlotOptions): string {
  const broken = numbers.find((value) => !Number.isFinite(value));
  if (broken !== undefined) throw new RangeError(`Cannot draw "${title}": one of its numbers is ${broken}`);
  const document = new SvgDocument() as never;
  const size = { width: 760, height: 300, marginLeft: 56, marginBottom: 40, style: { fontSize: "12px" } };
  const element = Plot.plot({ document, ...size, grid: true, ...options }) as { outerHTML: string };
  return element.outerHTML.replace("<svg ", `<svg role="img" aria-label="${escaped(title)}" `);
}

/** What a chart calls a series, and how it is drawn. */
export interface Series {
  readonly label: string;
  readonly color: string;
  /** Drawn in dashes: where there are more series than colours. */
  readonly dashed?: boolean;
}

/** A legend: a sample of each line and what it stands for. */
export function legend(entries: readonly Series[]): string {
  const sample = ({ color, dashed }: Series) =>
    dashed ? `repeating-linear-gradient(90deg,${color} 0 .35em,transparent .35em .55em)` : color;
  const items = entries.map((entry) => `<li><span style="background:${sample(entry)}"></span>${escaped(entry.label)}</li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}

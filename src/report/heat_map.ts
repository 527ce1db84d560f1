/**
 * Hessian traces as a picture: layers across, components down, colours on a logarithmic scale.
 *
 * @module
 */

/** Settings of `traceHeatMap`. */
export interface HeatMapOptions {
  /** Standard errors, by tensor name: a trace below its own is drawn as it, marked "<". */
  readonly standardErrors?: Readonly<Record<string, number>>;
  /** Heading; "Hessian traces" by default. */
  readonly title?: string;
}

/** One weight's place and value. */
interface Cell {
  readonly row: number;
  readonly column: number;
  readonly name: string;
  readonly value: number;
  /** Whether the value is an upper bound. */
  readonly bound: boolean;
}

/** Colours from flat to curved, of even steps in lightness (the map "viridis" of matplotlib, in the public domain, at nine places). */
const colours = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

const size = { cell: 46, height: 30, left: 92, top: 58, bar: 14, gap: 24, right: 64, bottom: 24 };

/**
 * Heat map of the traces of a Llama's weights, as a self-contained SVG that is readable on light and on dark pages.
 *
 * @param traces by tensor name, such as `model.layers.0.mlp.up_proj.weight`; other names are left out
 * @returns an `<svg>` element with its own style, as text
 * @throws RangeError where no weight of a layer is among them
 *
 * @example
 * ```ts
 * import { traceHeatMap } from "@hestia/hestia";
 * const svg = traceHeatMap({ "model.layers.0.mlp.up_proj.weight": 2.5, "model.layers.0.mlp.down_proj.weight": 40 });
 * console.log(svg.startsWith("<svg ")); // true
 * ```
 */
export function traceHeatMap(
  traces: Readonly<Record<string, number>>,
  { standardErrors = {}, title = "Hessian traces" }: HeatMapOptions = {},
): string {
  const { cells, components, layers } = placed(traces, standardErrors);
  const logs = cells.filter(({ value }) => value > 0).map(({ value }) => Math.log10(value));
  const [low, high] = logs.length > 0 ? [Math.min(...logs), Math.max(...logs)] : [0, 0];
  const place = ({ value }: Cell) => value > 0 ? high > low ? (Math.log10(value) - low) / (high - low) : 0.5 : 0;
  const [plotWidth, plotHeight] = [layers.length * size.cell, components.length * size.height];
  const width = size.left + plotWidth + size.gap + size.bar + size.right;
  const height = size.top + plotHeight + size.bottom;
  const parts = [
    text({ x: size.left, y: 20, style: "title" }, title),
    text({ x: size.left + plotWidth / 2, y: size.top - 22 }, "layer"),
    ...layers.map((layer, column) => text({ x: size.left + (column + 0.5) * size.cell, y: size.top - 7 }, `${layer}`)),
    ...components.map((name, row) => text({ x: size.left - 8, y: size.top + (row + 0.64) * size.height, style: "row" }, name)),
    ...cells.map((cell) => cellOf(cell, place(cell))),
    colourBar({ x: size.left + plotWidth + size.gap, height: plotHeight, low, high }),
  ];
  const labelled = `role="img" aria-label="${escaped(title)}: trace of each weight's own block, by layer and component"`;
  return `<svg class="hestia-heat-map" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" ${labelled}>${style}${
    parts.join("")
  }</svg>`;
}

const rules = (colour: string) =>
  `.hestia-heat-map text{fill:${colour}}.hestia-heat-map .pale{fill:#fff}.hestia-heat-map .dark{fill:#111}`;

/** Follows the page or the reader's system between light and dark. */
const style =
  "<style>.hestia-heat-map{color-scheme:light dark}.hestia-heat-map text{font:12px system-ui,sans-serif;text-anchor:middle}" +
  ".hestia-heat-map .title{font-size:14px;font-weight:600;text-anchor:start}.hestia-heat-map .row{text-anchor:end}" +
  ".hestia-heat-map .tick{text-anchor:start}.hestia-heat-map .value{font-size:11px}" +
  `${rules("#222")}@media (prefers-color-scheme:dark){${rules("#ddd")}}</style>`;

const escaped = (value: string) => value.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);

const text = ({ x, y, style = "" }: { readonly x: number; readonly y: number; readonly style?: string }, content: string) =>
  `<text x="${x}" y="${+y.toFixed(1)}"${style && ` class="${style}"`}>${escaped(content)}</text>`;

/** Rows and columns in the order of the names. */
function placed(traces: Readonly<Record<string, number>>, standardErrors: Readonly<Record<string, number>>) {
  const found = Object.entries(traces).flatMap(([name, trace]) => {
    const [, layer, component] = name.match(/^model\.layers\.(\d+)\.(?:\w+\.)?(\w+)\.weight$/) ?? [];
    return component === undefined ? [] : [{ name, trace, layer: Number(layer), component }];
  });
  if (found.length === 0) throw new RangeError("Cannot draw traces: wanted some of model.layers.N.….weight");
  const components = [...new Set(found.map(({ component }) => component))];
  const layers = [...new Set(found.map(({ layer }) => layer))].sort((a, b) => a - b);
  const cells = found.map(({ name, trace, layer, component }): Cell => {
    const error = standardErrors[name] || 0;
    const at = { row: components.indexOf(component), column: layers.indexOf(layer) };
    return { ...at, name, value: Math.max(trace, error), bound: trace < error };
  });
  return { cells, components, layers };
}

/** The colour at a place from 0 to 1. */
function colourAt(place: number): string {
  const at = Math.min(Math.max(place, 0), 1) * (colours.length - 1);
  const index = Math.min(Math.floor(at), colours.length - 2);
  const channels = (colour: string) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
  const [from, to] = [channels(colours[index]), channels(colours[index + 1])];
  return `rgb(${from.map((channel, c) => Math.round(channel + (to[c] - channel) * (at - index))).join(" ")})`;
}

/** A number in a few characters. */
function short(value: number): string {
  const digits = value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(2);
  return digits.length <= 5 ? digits : value.toExponential(0).replace("e+", "e");
}

function cellOf({ row, column, name, value, bound }: Cell, place: number): string {
  const [x, y] = [size.left + column * size.cell, size.top + row * size.height];
  const label = `${bound ? "<" : ""}${short(value)}`;
  const box = `<rect x="${x}" y="${y}" width="${size.cell - 1}" height="${size.height - 1}" fill="${colourAt(place)}"/>`;
  const shade = place < 0.6 ? "value pale" : "value dark";
  const at = { x: x + (size.cell - 1) / 2, y: y + 0.62 * size.height, style: shade };
  return `<g><title>${escaped(`${name}: ${label}`)}</title>${box}${text(at, label)}</g>`;
}

/** What the colours mean, with a tick at each power of ten, or at the ends where there are too few. */
function colourBar({ x, height, low, high }: { x: number; height: number; low: number; high: number }): string {
  const stops = colours.map((colour, index) => `<stop offset="${index / (colours.length - 1)}" stop-color="${colour}"/>`);
  const gradient = `<linearGradient id="hestia-heat-map-scale" x1="0" y1="1" x2="0" y2="0">${stops.join("")}</linearGradient>`;
  const bar = `<rect x="${x}" y="${size.top}" width="${size.bar}" height="${height - 1}" fill="url(#hestia-heat-map-scale)"/>`;
  const tens = Array.from({ length: Math.max(0, Math.floor(high) - Math.ceil(low) + 1) }, (_, index) => Math.ceil(low) + index);
  const ticks = high === low ? [low] : tens.length > 1 ? tens : [low, high];
  const y = (log: number) => size.top + height * (high > low ? 1 - (log - low) / (high - low) : 0.5) + 4;
  const labels = ticks.map((log) => text({ x: x + size.bar + 6, y: y(log), style: "tick" }, short(10 ** log)));
  return gradient + bar + labels.join("");
}

/**
 * Tables and numbers for people.
 *
 * @module
 */

import { columnsOf, cutTo } from "./progress_line.ts";

/** A cell: text is aligned to the left, numbers (as text of one's own making, or raw) to the right. */
export type Cell = string | number;

/** Columns that a table takes at most, as long as its numbers and the words of its heading fit: those of a terminal as it opens. */
const WIDEST = 80;

const GAP = 2;

/**
 * Lay out rows in columns. A column is aligned to the right where every cell under the heading starts with a digit or a sign. A table that
 * would be wider than 80 columns has a heading of several lines, then gaps of one column, and then the middle is left out of long texts,
 * never anything of a number.
 *
 * @example
 * ```ts
 * import { table } from "./table.ts";
 *
 * console.log(table(["model", "loss"], [["full precision", "1.69"], ["packed", "1.75"]]));
 * ```
 */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => heading.map((_, column) => String(row[column] ?? "")));
  const numeric = heading.map((_, column) => cells.every((row) => /^([<>]?[-+]?\d|∞|NaN|–|$)/.test(row[column])));
  const content = heading.map((_, column) => Math.max(0, ...cells.map((row) => columnsOf(row[column]))));
  const widths = heading.map((title, column) => Math.max(columnsOf(title), content[column]));
  const total = (gap: number) => widths.reduce((sum, width) => sum + width + gap, -gap);
  const narrow = (gap: number, least: (column: number) => number): void => {
    while (total(gap) > WIDEST) {
      const spare = widths.map((width, column) => width - least(column));
      const most = Math.max(...spare);
      if (most <= 0) return;
      widths[spare.indexOf(most)]--;
    }
  };
  narrow(GAP, (column) => Math.max(wordWidth(heading[column]), content[column]));
  const gap = total(GAP) > WIDEST ? 1 : GAP;
  narrow(gap, (column) => numeric[column] ? widths[column] : Math.max(24, wordWidth(heading[column])));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => {
      const space = " ".repeat(Math.max(0, widths[column] - columnsOf(cell)));
      return numeric[column] ? space + cell : cell + space;
    }).join(" ".repeat(gap)).trimEnd();
  return [
    ...headingLines(heading, widths).map(line),
    widths.map((width) => "─".repeat(width)).join(" ".repeat(gap)),
    ...cells.map((row) => line(row.map((cell, column) => numeric[column] ? cell : cutMiddle(cell, widths[column])))),
  ].join("\n");
}

/** Columns of the longest word. */
const wordWidth = (title: string): number => Math.max(0, ...title.split(" ").map(columnsOf));

/** The heading in as many lines as its longest title needs, standing on the rule. */
function headingLines(heading: readonly string[], widths: readonly number[]): string[][] {
  const titles = heading.map((title, column) => {
    const lines: string[] = [];
    for (const word of title.split(" ")) {
      const joined = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
      if (lines.length > 0 && columnsOf(joined) <= widths[column]) lines[lines.length - 1] = joined;
      else lines.push(word);
    }
    return lines;
  });
  const height = Math.max(1, ...titles.map(({ length }) => length));
  return Array.from({ length: height }, (_, at) => titles.map((lines) => lines[at - height + lines.length] ?? ""));
}

/** A text in so many columns at most: names differ at their ends, so the middle is left out. */
function cutMiddle(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  const characters = [...text];
  const front = cutTo(text, Math.ceil(columns / 3)).replace(/…$/, "");
  let back = "";
  for (const character of characters.reverse()) {
    if (columnsOf(front + character + back) > columns - 1) break;
    back = character + back;
  }
  return `${front}…${back}`;
}

/** Bytes as people read them: `formatBytes(1536)` is "1.5 KiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${power === 0 ? bytes : (bytes / 1024 ** power).toFixed(1)} ${units[power]}`;
}

/** A time span as people read it: "0.8 s", "42 s", "3 min 05 s", "2 h 10 min". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor(whole % 3600 / 60))} min`;
}

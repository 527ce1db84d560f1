/**
 * Tables and numbers for people.
 *
 * @module
 */

/** A cell: text is aligned to the left, numbers (as text of one's own making, or raw) to the right. */
export type Cell = string | number;

/**
 * Lay out rows in columns. A column is aligned to the right where every cell under the heading starts with a digit or a sign.
 *
 * @example
 * ```ts ignore
 * console.log(table(["model", "loss"], [["full precision", "1.69"], ["packed", "1.75"]]));
 * ```
 */
export function table(heading: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = rows.map((row) => heading.map((_, column) => String(row[column] ?? "")));
  const widths = heading.map((title, column) => Math.max(title.length, ...cells.map((row) => row[column].length)));
  const numeric = heading.map((_, column) => cells.every((row) => /^([-+]?\d|∞|NaN|–|$)/.test(row[column])));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => numeric[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])).join("  ").trimEnd();
  return [line(heading), widths.map((width) => "─".repeat(width)).join("  "), ...cells.map(line)].join("\n");
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

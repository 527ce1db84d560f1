/**
 * The tables of an experiment, as cells: for the terminal, for Markdown, for the page.
 *
 * @module
 */

import type { Arm } from "./arms.ts";
import type { StepCost } from "./cost.ts";
import { type ArmSummary, standardErrorsBelow } from "./summary.ts";
import type { Estimate } from "./statistics.ts";

/** Headings and rows. */
export interface Table {
  readonly heading: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** "1.234 ± 0.005"; without a standard error the mean alone; a dash for what is not known. */
export function formatEstimate(value: Estimate | null, { digits, scale = 1 }: { digits: number; scale?: number }): string {
  if (!value) return "–";
  const { mean, standardError } = value;
  const text = (mean * scale).toFixed(digits);
  return standardError === null ? text : `${text} ± ${(standardError * scale).toFixed(digits)}`;
}

/** What each arm reached, and how far it is from the arm of that label; the gap is left out where no arm has one. */
export function outcomeTable(summaries: readonly ArmSummary[], { label: baseline }: Pick<Arm, "label">): Table {
  const hasGap = summaries.some(({ gapClosed }) => gapClosed !== null);
  const difference = `less ${baseline} (nats)`;
  return {
    heading: [
      "arm",
      "held-out loss (nats)",
      "perplexity",
      ...(hasGap ? ["gap closed (%)"] : []),
      difference,
      "standard errors below",
    ],
    rows: summaries.map(({ label, lossNats, perplexity, gapClosed, difference }) => {
      const below = difference ? standardErrorsBelow(difference) : null;
      return [
        label,
        formatEstimate(lossNats, { digits: 4 }),
        formatEstimate(perplexity, { digits: 3 }),
        ...(hasGap ? [formatEstimate(gapClosed, { digits: 1, scale: 100 })] : []),
        formatEstimate(difference, { digits: 4 }),
        below === null ? "–" : farText(below),
      ];
    }),
  };
}

/** A number of standard errors; beyond ten of them, how many says nothing more. */
function farText(below: number): string {
  return Math.abs(below) <= 10 ? below.toFixed(1) : below > 0 ? ">10" : "<-10";
}

/** What the columns of {@linkcode outcomeTable} mean. */
export const outcomeNotes: readonly string[] = [
  "gap closed: 0 is the base rounded without training, 100 the base itself; above that, an arm is better than its base, since it was",
  "trained on. standard errors below: by how many of its standard errors the difference is negative; above 2, chance is unlikely.",
];

/** What a step of each arm costs. */
export function costTable(costs: readonly StepCost[]): Table {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return {
    heading: ["arm", "tokens a step", "wall time of a step", "over full precision", "CPU time", "over full precision"],
    rows: costs.map(({ label, tokens, wallSeconds, wallOverhead, cpuSeconds, cpuOverhead }) => [
      label,
      String(tokens),
      `${(1000 * wallSeconds).toFixed(1)} ms`,
      percent(wallOverhead),
      `${(1000 * cpuSeconds).toFixed(1)} ms`,
      percent(cpuOverhead),
    ]),
  };
}

/** A table in Markdown. */
export function markdown({ heading, rows }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rule = heading.map((_, column) => column === 0 ? "---" : "--:");
  return [line(heading), line(rule), ...rows.map(line)].join("\n") + "\n";
}

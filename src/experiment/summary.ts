/**
 * From the results of seeds and arms to what an experiment says.
 *
 * @module
 */

import { type Arm, baselineArm, fullPrecisionArm, roundedArm } from "./arms.ts";
import type { ArmResult } from "./run.ts";
import { type Estimate, estimate, gapClosed, pairedDifference } from "./statistics.ts";

/** What is said of one arm, over its seeds. Losses in nats a token, of the model as it would be packed. */
export interface ArmSummary {
  readonly arm: string;
  readonly label: string;
  readonly lossNats: Estimate;
  readonly perplexity: Estimate;
  /** 1 reaches full precision, 0 is rounding without training; null where one of the two was not run. */
  readonly gapClosed: Estimate | null;
  /** Loss less that of the baseline with the same seed; null without it, and for the baseline itself. */
  readonly difference: Estimate | null;
}

/**
 * One summary for each arm that has results, in the order of `arms`.
 *
 * @param baseline name of the arm that others are compared with, in pairs of equal seed
 */
export function summarize(results: readonly ArmResult[], arms: readonly Arm[], baseline: string = baselineArm): ArmSummary[] {
  const lossesOf = (name: string) =>
    new Map(results.filter(({ arm }) => arm === name).map(({ seed, heldOut }) => [seed, heldOut.lossNats]));
  const [rounded, fullPrecision, compared] = [roundedArm, fullPrecisionArm, baseline].map(lossesOf);
  return arms.filter(({ name }) => lossesOf(name).size > 0).map(({ name, label }) => {
    const losses = lossesOf(name);
    const shares = [...losses].filter(([seed]) => rounded.has(seed) && fullPrecision.has(seed)).map(([seed, arm]) =>
      gapClosed({ arm, rounded: rounded.get(seed)!, fullPrecision: fullPrecision.get(seed)! })
    );
    return {
      arm: name,
      label,
      lossNats: estimate([...losses.values()]),
      perplexity: estimate([...losses.values()].map(Math.exp)),
      gapClosed: shares.length > 0 ? estimate(shares) : null,
      difference: name === baseline ? null : pairedDifference(losses, compared) ?? null,
    };
  });
}

/**
 * How many of its standard errors a difference lies below zero; null with a single seed. Above 2, chance is an unlikely explanation.
 */
export function standardErrorsBelow({ mean, standardError }: Estimate): number | null {
  return standardError ? -mean / standardError : null;
}

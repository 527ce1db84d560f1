/**
 * Hessian guidance: how the curvature of the loss along each tensor becomes the scale of its temperature.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";

/** Settings of the guidance. */
export interface GuidanceOptions {
  /** Strength: scales lie between exp(-alpha) and 1 (between 1 and exp(-alpha) when negative). 0.5 by default. */
  readonly alpha?: number;
  /** Slope of the score at an average curvature; 1 by default. */
  readonly kappa?: number;
}

/** Scores and scales, by tensor name. */
export interface Guidance {
  /** 0 (flat) to 1 (sharply curved); 0.5 is average. */
  readonly scores: Record<string, number>;
  /** Factor of each tensor's temperature. */
  readonly temperatureScales: Record<string, number>;
  /** Mean of the logarithms of the traces. */
  readonly logMean: number;
  /** Standard deviation (of the population) of the logarithms of the traces. */
  readonly logDeviation: number;
  /** Tensors whose trace was below {@linkcode minimumTrace} and counted as it: their estimate says "flat", not how flat. */
  readonly clamped: readonly string[];
}

/** Smallest trace that is told from zero. */
export const minimumTrace = 1e-8;

/** Added to the standard deviation, so that equal traces divide by something. */
const deviationOffset = 1e-8;

/**
 * Temperature scales from the Hessian traces of the tensors that will be quantized:
 * z = (log trace - mean) / (std + 1e-8) over tensors, score = sigmoid(kappa z), scale = exp(-alpha score).
 *
 * A curved tensor gets a lower temperature, as in the published code (the paper's text says the opposite; a negative `alpha` does that).
 * A logarithm has no place for traces of zero and below, which estimates of indefinite Hessians can give: they count as 1e-8 and are listed
 * in `clamped`. Each of them moves the mean and the deviation of all; with several, more probes or another granularity are the remedy.
 *
 * @param traces by tensor name
 * @throws RangeError when there is no trace, or one is not finite
 *
 * @example
 * ```ts
 * import { temperatureScales } from "@hestia/hestia";
 * const guidance = temperatureScales({ flat: 0.1, curved: 10 });
 * console.log(guidance.temperatureScales); // flat 0.874…, curved 0.693…
 * ```
 */
export function temperatureScales(traces: Readonly<Record<string, number>>, options: GuidanceOptions = {}): Guidance {
  const { alpha = 0.5, kappa = 1 } = options;
  const entries = Object.entries(traces);
  if (entries.length === 0) throw atCaller(new RangeError("Cannot guide temperatures: wanted at least one trace"));
  for (const [name, trace] of entries) {
    if (!Number.isFinite(trace)) {
      throw atCaller(new RangeError(`Cannot guide the temperature of "${name}" by a trace of ${trace}: wanted a finite number`));
    }
  }
  const logs = entries.map(([, trace]) => Math.log(Math.max(trace, minimumTrace)));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const logMean = mean(logs);
  const logDeviation = Math.sqrt(mean(logs.map((value) => (value - logMean) ** 2)));
  const scores = logs.map((value) => 1 / (1 + Math.exp(-kappa * (value - logMean) / (logDeviation + deviationOffset))));
  const named = (values: readonly number[]) => Object.fromEntries(entries.map(([name], index) => [name, values[index]]));
  return {
    scores: named(scores),
    temperatureScales: named(scores.map((score) => Math.exp(-alpha * score))),
    logMean,
    logDeviation,
    clamped: entries.flatMap(([name, trace]) => trace < minimumTrace ? [name] : []),
  };
}

/**
 * Standard errors of the temperature scales, to first order in the relative standard errors of all traces, as if these were independent:
 * each trace moves its own score, and the mean and the deviation that all scores are measured by.
 *
 * @param traces by name, as {@linkcode temperatureScales} is given them
 * @param standardErrors of the traces, by name
 */
export function temperatureScaleErrors(
  traces: Readonly<Record<string, number>>,
  standardErrors: Readonly<Record<string, number>>,
  options: GuidanceOptions = {},
): Record<string, number> {
  const { alpha = 0.5, kappa = 1 } = options;
  const { scores, temperatureScales: scales, logMean, logDeviation } = temperatureScales(traces, options);
  const names = Object.keys(traces);
  const deviation = logDeviation + deviationOffset;
  const floored = names.map((name) => Math.max(traces[name], minimumTrace));
  const z = floored.map((trace) => (Math.log(trace) - logMean) / deviation);
  const relative = names.map((name, index) => standardErrors[name] / floored[index]);
  const error = (i: number) =>
    Math.hypot(...names.map((_, j) => ((i === j ? 1 : 0) - (1 + z[i] * z[j]) / names.length) * relative[j])) / deviation;
  return Object.fromEntries(names.map((name, index) => {
    const slope = alpha * kappa * scores[name] * (1 - scores[name]) * scales[name];
    return [name, Math.abs(slope) * error(index)];
  }));
}

/** Scale of one tensor. Throws a RangeError when it is missing: a tensor without guidance is a mistake, not a scale of 1. */
export function temperatureScaleOf(scales: Readonly<Record<string, number>>, name: string): number {
  if (Object.hasOwn(scales, name)) return scales[name];
  const known = Object.keys(scales);
  const list = known.length > 3 ? `${known.slice(0, 3).join(", ")} and ${known.length - 3} more` : known.join(", ");
  throw atCaller(
    new RangeError(`Cannot scale the temperature of "${name}": there are scales for ${list || "no tensor"}; calibrate again`),
  );
}

/**
 * Hessian guidance: how the curvature of the loss along each tensor becomes the scale of its temperature.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { type GuidanceRules, type RuleOptions, rulesOf } from "../recipes.ts";

/** Settings of the guidance. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface GuidanceOptions extends RuleOptions<GuidanceRules> {
  /**
   * Names of the quantized tensors; all that have a trace by default. One without a trace keeps the scale 1 and is listed in `missing`; traces of
   * others count for mean and deviation where `statistics` is "all".
   */
  readonly names?: readonly string[];
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
  /** Tensors whose trace was below the least one and counted as it: their estimate says "flat", not how flat. */
  readonly clamped: readonly string[];
  /** Quantized tensors without a trace: they have no score, and the scale 1. */
  readonly missing: readonly string[];
}

/** Added to the standard deviation, so that equal traces divide by something. */
const deviationOffset = 1e-8;

/**
 * Temperature scales from the Hessian traces of the tensors that will be quantized:
 * z = (log trace - mean) / (std + 1e-8) over tensors, score = sigmoid(kappa z), scale = exp(alpha score).
 *
 * A curved tensor gets a higher temperature, as the paper says and the release of 2026 does; the code of 2025 has exp(-alpha score), which
 * `sensitive: "cooler"` or the recipe "hestia-2025" gives. A logarithm has no place for traces of zero and below, which estimates of indefinite
 * Hessians can give: they count as the least trace (1e-12) and are listed in `clamped`. Each of them moves the mean and the deviation of all;
 * with several, more probes or another granularity are the remedy.
 *
 * @param traces by tensor name
 * @throws RangeError when there is no trace, or one is not finite
 *
 * @example
 * ```ts
 * import { temperatureScales } from "@hestia/hestia";
 * console.log(temperatureScales({ flat: 0.1, curved: 10 }).temperatureScales); // flat 1.113…, curved 1.339…
 * console.log(temperatureScales({ flat: 0.1, curved: 10 }, { recipe: "hestia-2025" }).temperatureScales); // flat 0.874…, curved 0.693…
 * ```
 */
export function temperatureScales(traces: Readonly<Record<string, number>>, options: GuidanceOptions = {}): Guidance {
  const { kappa, minimumTrace, statistics } = rulesOf("guidance", options);
  const { names = Object.keys(traces) } = options;
  const quantized = new Set(names);
  const entries = Object.entries(traces).filter(([name]) => statistics === "all" || quantized.has(name));
  if (entries.length === 0) throw atCaller(new RangeError("Cannot guide temperatures: wanted at least one trace"));
  for (const [name, trace] of entries) {
    if (!Number.isFinite(trace)) {
      throw atCaller(new RangeError(`Cannot guide the temperature of "${name}" by a trace of ${trace}: wanted a finite number`));
    }
  }
  const log = (trace: number) => Math.log(Math.max(trace, minimumTrace));
  const logs = entries.map(([, trace]) => log(trace));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const logMean = mean(logs);
  const logDeviation = Math.sqrt(mean(logs.map((value) => (value - logMean) ** 2)));
  const score = (name: string) => 1 / (1 + Math.exp(-kappa * (log(traces[name]) - logMean) / (logDeviation + deviationOffset)));
  const known = names.filter((name) => Object.hasOwn(traces, name));
  const scores = Object.fromEntries(known.map((name) => [name, score(name)]));
  return {
    scores,
    temperatureScales: Object.fromEntries(
      names.map((name) => [name, scaleOfScore(Object.hasOwn(scores, name) ? scores[name] : undefined, options)]),
    ),
    logMean,
    logDeviation,
    clamped: known.filter((name) => traces[name] < minimumTrace),
    missing: names.filter((name) => !Object.hasOwn(traces, name)),
  };
}

/** Scale of a tensor's temperature from its score, 0 to 1: exp(±alpha score). A tensor without a score keeps the scale 1. */
export function scaleOfScore(score: number | undefined, options: GuidanceOptions = {}): number {
  return score === undefined ? 1 : Math.exp(strengthOf(options) * score);
}

/** Factor of a score in the exponent of its scale. */
function strengthOf(options: GuidanceOptions): number {
  const { alpha, sensitive } = rulesOf("guidance", options);
  return sensitive === "hotter" ? alpha : -alpha;
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
  const { kappa, minimumTrace } = rulesOf("guidance", options);
  const { scores, temperatureScales: scales, logMean, logDeviation } = temperatureScales(traces, options);
  const names = Object.keys(traces);
  const deviation = logDeviation + deviationOffset;
  const floored = names.map((name) => Math.max(traces[name], minimumTrace));
  const z = floored.map((trace) => (Math.log(trace) - logMean) / deviation);
  const relative = names.map((name, index) => standardErrors[name] / floored[index]);
  const error = (i: number) =>
    Math.hypot(...names.map((_, j) => ((i === j ? 1 : 0) - (1 + z[i] * z[j]) / names.length) * relative[j])) / deviation;
  return Object.fromEntries(names.map((name, index) => {
    const slope = strengthOf(options) * kappa * scores[name] * (1 - scores[name]) * scales[name];
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

/**
 * Calibration: the curvature of a trained model along each weight that will be quantized.
 *
 * @module
 */

import type { LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { type GuidanceOptions, temperatureScales } from "../quant/guidance.ts";
import { hessianTraces, type TensorTrace } from "../quant/traces.ts";
import type { Batch } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import { languageModelLoss, tokenTensors } from "./data.ts";

/** Settings of calibration. */
export interface CalibrationOptions extends GuidanceOptions {
  /** Hessian-vector products at most; 64 by default. */
  readonly probes?: number;
  /** Stops once every temperature scale is known to this standard error; by default all probes are spent. */
  readonly tolerance?: number;
  /** Of the probes: an integer, 0 by default. */
  readonly seed?: number;
  /** Ends after the probe at hand, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each probe. */
  readonly onProgress?: (progress: { readonly probes: number; readonly of: number }) => void;
}

/** What calibration found, by tensor name. */
export interface Calibration {
  /** Estimated trace of each weight's own Hessian block. */
  readonly traces: Record<string, number>;
  /** Standard error of each trace. Scores are computed from the larger of the two. */
  readonly standardErrors: Record<string, number>;
  /** 0 (flat) to 1 (sharply curved). */
  readonly scores: Record<string, number>;
  /** Factor of each weight's temperature, for `train`. */
  readonly temperatureScales: Record<string, number>;
  /** Hessian-vector products spent. */
  readonly probes: number;
}

/** Standard error of each temperature scale, to first order in that of its own trace. */
function scaleErrors(traces: readonly TensorTrace[], options: GuidanceOptions): number[] {
  const { alpha = 0.5, kappa = 1 } = options;
  const used = significant(traces);
  const { scores, temperatureScales: scales, logDeviation } = temperatureScales(used, options);
  return traces.map(({ name, standardError }) => {
    const slope = alpha * kappa * scores[name] * (1 - scores[name]) * scales[name] / logDeviation;
    return Math.abs(slope) * standardError / Math.max(used[name], 1e-8);
  });
}

const byName = (traces: readonly TensorTrace[], field: "trace" | "standardError") =>
  Object.fromEntries(traces.map((entry) => [entry.name, entry[field]]));

/**
 * Traces as the guidance is given them: at least their standard error. An estimate below it, negative ones above all, says "small" and not
 * how small, and its logarithm would move the mean and the deviation of all.
 */
function significant(traces: readonly TensorTrace[]): Record<string, number> {
  return Object.fromEntries(traces.map(({ name, trace, standardError }) => [name, Math.max(trace, standardError || 0)]));
}

/**
 * Measures the Hessian trace of every weight that will be quantized, on the model in full precision, and turns the traces into
 * temperature scales.
 *
 * @param model in full precision
 * @param batches at least one, all of one shape; their Hessians are averaged
 *
 * @example
 * ```ts
 * import { batchAt, calibrate, initialModel } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const tokens = new TextEncoder().encode("It is a way I have of driving off the spleen.");
 * const batches = [batchAt(tokens, { batchSize: 2, sequenceLength: 8, seed: 1, step: 0 })];
 * const { temperatureScales } = await calibrate(model, batches, { probes: 2 });
 * console.log(temperatureScales["model.layers.0.mlp.up_proj.weight"] < 1); // true
 * ```
 */
export async function calibrate(
  model: LlamaModel,
  batches: readonly Batch[],
  options: CalibrationOptions = {},
): Promise<Calibration> {
  const { probes = 64, tolerance = 0, seed, signal, onProgress } = options;
  const tensors = batches.map(tokenTensors);
  const names = quantizedNames(model.config);
  const enough = (traces: readonly TensorTrace[]) =>
    tolerance > 0 && scaleErrors(traces, options).every((error) => error < tolerance);
  const loss = (parameters: LlamaModel["parameters"], batch: LlamaModel["parameters"]) =>
    languageModelLoss(model.config, parameters, batch);
  let found: readonly TensorTrace[] = [];
  let spent = 0;
  const inputs = { parameters: model.parameters, batches: tensors };
  for await (const progress of hessianTraces(loss, inputs, { names, probes, seed, enough, signal })) {
    ({ traces: found, probes: spent } = progress);
    onProgress?.({ probes: spent, of: probes });
  }
  disposeAll(tensors);
  signal?.throwIfAborted();
  const { scores, temperatureScales: scales } = temperatureScales(significant(found), options);
  return {
    traces: byName(found, "trace"),
    standardErrors: byName(found, "standardError"),
    scores,
    temperatureScales: scales,
    probes: spent,
  };
}

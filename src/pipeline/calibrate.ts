/**
 * Calibration: the curvature of a trained model along each weight that will be quantized.
 *
 * @module
 */

import type { LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { type GuidanceOptions, temperatureScaleErrors, temperatureScales } from "../quant/guidance.ts";
import type { TensorTrace, TraceState } from "../quant/trace_state.ts";
import { hessianTraces, type TraceProgress } from "../quant/traces.ts";
import type { Batch } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import { languageModelLoss, tokenTensors } from "./data.ts";

/** What shares a trace, and so a temperature scale. */
export type CalibrationGranularity = "tensor" | "layer" | "component";

/** Every granularity: each weight for itself, those of a layer, or those of a kind (all `q_proj`, …). */
export const calibrationGranularities = ["tensor", "layer", "component"] as const satisfies readonly CalibrationGranularity[];

/** Where a calibration stands. */
export interface CalibrationProgress {
  /** Hessian-vector products spent. */
  readonly probes: number;
  /** Hessian-vector products at most. */
  readonly of: number;
  /** Largest standard error of a temperature scale: NaN after the first probe. */
  readonly scaleError: number;
  /** Plain data to go on from, bit by bit. */
  readonly state: TraceState;
}

/** Settings of calibration. */
export interface CalibrationOptions extends GuidanceOptions {
  /**
   * Hessian-vector products at most; 256 by default. Each batch gets equally many, so the last ones that make no round are not spent; fewer
   * than there are batches use the first batches.
   */
  readonly probes?: number;
  /** Stops once every temperature scale is known to this standard error; 0.01 by default, 0 to spend all probes. */
  readonly tolerance?: number;
  /** What shares a trace: "tensor" by default. Traces of a layer or component are the sums over their weights. */
  readonly granularity?: CalibrationGranularity;
  /** Of the probes: an integer, 0 by default. */
  readonly seed?: number;
  /** State of a calibration with the same model, batches and seed, to go on from. */
  readonly resume?: TraceState;
  /** Ends after the probe at hand, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each probe, and waited for. */
  readonly onProgress?: (progress: CalibrationProgress) => void | Promise<void>;
}

/** What calibration found, by tensor name. */
export interface Calibration {
  /** Estimated trace of each weight's own Hessian block. */
  readonly traces: Record<string, number>;
  /** Standard error of each trace. Scores are computed from the larger of the two. */
  readonly standardErrors: Record<string, number>;
  /** 0 (flat) to 1 (sharply curved); the same for weights that share a trace. */
  readonly scores: Record<string, number>;
  /** Factor of each weight's temperature, for `train`. */
  readonly temperatureScales: Record<string, number>;
  /** Standard error of each temperature scale, to first order. */
  readonly temperatureScaleErrors: Record<string, number>;
  /** What shared a trace. */
  readonly granularity: CalibrationGranularity;
  /** Hessian-vector products spent. */
  readonly probes: number;
}

/** The group of a weight: itself, `model.layers.3`, or `self_attn.q_proj.weight`. */
function groupOf(name: string, granularity: CalibrationGranularity): string {
  const [, layer, component] = granularity === "tensor" ? [] : name.match(/^(model\.layers\.\d+)\.(.+)$/) ?? [];
  return (granularity === "layer" ? layer : component) ?? name;
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

/** Standard errors of the temperature scales of the groups. */
function scaleErrors(groups: readonly TensorTrace[], options: GuidanceOptions): Record<string, number> {
  return temperatureScaleErrors(significant(groups), byName(groups, "standardError"), options);
}

/**
 * Measures the Hessian trace of every weight that will be quantized, on the model in full precision, and turns the traces into
 * temperature scales.
 *
 * Memory, on paper: besides what a first derivative of the loss takes, a probe holds its signs and the products, 8 bytes for each quantized weight,
 * and the tangents of the activations, about as much again as the activations. For Llama-3.2-1B (973 M quantized weights among
 * 1236 M): 4.9 GB of parameters and 7.8 GB of signs and products.
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
  const { probes = 256, tolerance = 0.01, granularity = "tensor", onProgress, seed, resume, signal } = options;
  const names = quantizedNames(model.config);
  const groups: Record<string, string[]> = {};
  for (const name of names) (groups[groupOf(name, granularity)] ??= []).push(name);
  const largestError = (progress: TraceProgress) => Math.max(...Object.values(scaleErrors(progress.groups, options)));
  const enough = (progress: TraceProgress) => largestError(progress) < tolerance;
  const loss = (parameters: LlamaModel["parameters"], batch: LlamaModel["parameters"]) =>
    languageModelLoss(model.config, parameters, batch);
  const inputs = { parameters: model.parameters, batches: batches.map(tokenTensors) };
  let found: TraceProgress | undefined;
  try {
    for await (const progress of hessianTraces(loss, inputs, { names, groups, probes, seed, resume, enough, signal })) {
      found = progress;
      await onProgress?.({
        probes: progress.probes,
        of: probes,
        scaleError: largestError(progress),
        state: progress.state,
      });
    }
  } finally {
    disposeAll(inputs.batches);
  }
  signal?.throwIfAborted();
  return calibrationOf(found!, { groups, granularity }, options);
}

function calibrationOf(
  found: TraceProgress,
  { groups, granularity }: {
    readonly groups: Readonly<Record<string, readonly string[]>>;
    readonly granularity: CalibrationGranularity;
  },
  options: GuidanceOptions,
): Calibration {
  const shared = (values: Readonly<Record<string, number>>) => {
    const entries = Object.entries(groups).flatMap(([group, names]) => names.map((name) => [name, values[group]] as const));
    const known = new Map(entries);
    return Object.fromEntries(found.traces.map(({ name }) => [name, known.get(name)!]));
  };
  const { scores, temperatureScales: scales } = temperatureScales(significant(found.groups), options);
  return {
    traces: byName(found.traces, "trace"),
    standardErrors: byName(found.traces, "standardError"),
    scores: shared(scores),
    temperatureScales: shared(scales),
    temperatureScaleErrors: shared(scaleErrors(found.groups, options)),
    granularity,
    probes: found.probes,
  };
}

/**
 * Calibration: the curvature of a trained model along each weight that will be quantized.
 *
 * @module
 */

import { checkOptions, notNegative, oneOf, seed as anySeed, whole } from "../core/options.ts";
import type { ProgramBytes } from "../core/program.ts";
import { llamaHidden, type LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { type GuidanceOptions, temperatureScaleErrors, temperatureScales } from "../quant/guidance.ts";
import { compileSquares, gaussNewtonTraces, type LogitPiecesFunction } from "../quant/gauss_newton.ts";
import type { TensorTrace, TraceState } from "../quant/trace_state.ts";
import { hutchTraces } from "../quant/hutch_traces.ts";
import { compileProducts, hessianTraces, type LossFunction, type TraceOptions, type TraceProgress } from "../quant/traces.ts";
import { tensor } from "../create.ts";
import { requireFinite } from "../finite.ts";
import { constant, type Tensor } from "../tensor.ts";
import { realize } from "../trace.ts";
import { type Batch, checkedBatch, type GivenBatch, ignoredTarget, requireTarget } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import { languageModelLoss, logitsInPieces, type TokenTensors, tokenTensors } from "./data.ts";

/** What shares a trace, and so a temperature scale. */
export type CalibrationGranularity = "tensor" | "layer" | "component";

/** Every granularity: each weight for itself, those of a layer, or those of a kind (all `q_proj`, …). */
export const calibrationGranularities = ["tensor", "layer", "component"] as const satisfies readonly CalibrationGranularity[];

/** What a trace is the trace of. */
export type Curvature = "hessian" | "gauss-newton";

/** Every curvature: the Hessian of the loss, or its Gauss-Newton part, which is never negative and costs gradients. */
export const curvatures = ["hessian", "gauss-newton"] as const satisfies readonly Curvature[];

/** What is traced where nobody asks for another: the one that a few dozen probes know, whatever the model. */
export const defaultCurvature: Curvature = "gauss-newton";

/** How traces are measured. */
export type Estimator = "joint" | "hutch++";

/** Every estimator: probes of all tensors at once, or Hutch++ of one tensor after another, as in both releases of the method. */
export const estimators = ["joint", "hutch++"] as const satisfies readonly Estimator[];

/** What an estimator measures where nobody asks for another curvature. */
export function curvatureOf(estimator: Estimator): Curvature {
  return estimator === "hutch++" ? "hessian" : defaultCurvature;
}

/** Headings of what was measured. */
export const curvatureTitles = {
  hessian: "Hessian traces",
  "gauss-newton": "Gauss-Newton traces",
} as const satisfies Record<Curvature, string>;

/** What a probe of each curvature is called. */
export const probeNames = {
  hessian: "Hessian-vector products",
  "gauss-newton": "gradients",
} as const satisfies Record<Curvature, string>;

/** Where a calibration stands. */
export interface CalibrationProgress {
  /** Probes spent; by Hutch++, tensors done. */
  readonly probes: number;
  /** Probes at most; by Hutch++, tensors. */
  readonly of: number;
  /** Largest standard error of a temperature scale: NaN after the first probe, and by Hutch++. */
  readonly scaleError: number;
  /** Plain data to go on from, bit by bit; by Hutch++ there is none. */
  readonly state?: TraceState;
}

/** Settings of calibration. */
export interface CalibrationOptions extends GuidanceOptions {
  /**
   * "gauss-newton" by default: it leaves out the parts of the Hessian that may be negative, and knows every scale after a few dozen
   * gradients. "hessian" is as published; where its traces are sums of parts that cancel, as in deep narrow models, hundreds of products do
   * not tell them from zero.
   */
  readonly curvature?: Curvature;
  /**
   * "joint" by default: each probe serves all tensors, and their number is known to suffice by `tolerance`. "hutch++", as released, measures the
   * Hessian of one tensor after another by `sketch` and `queries`, on signs that depend on `seed` and names alone; `probes`, `tolerance` and
   * `resume` mean nothing to it, and estimates below zero count as the least trace. `recipes[name].calibration` asks for it as it is.
   */
  readonly estimator?: Estimator;
  /** Columns of the sketch of Hutch++; 10 by default. */
  readonly sketch?: number;
  /** Probes of what the sketch of Hutch++ leaves; 20 by default. */
  readonly queries?: number;
  /**
   * Probes at most, Hessian-vector products or gradients by curvature; 256 by default. Each batch gets equally many, so the last ones that make no round are not spent; fewer
   * than there are batches use the first batches.
   */
  readonly probes?: number;
  /** Stops once every temperature scale is known to this standard error; 0.01 by default, 0 to spend all probes. */
  readonly tolerance?: number;
  /** What shares a trace: "tensor" by default. Traces of a layer or component are the sums over their weights. */
  readonly granularity?: CalibrationGranularity;
  /** Of the probes: an integer, 0 by default. */
  readonly seed?: number;
  /**
   * Saves memory: the inner results of every so-manieth layer are computed again rather than kept. 1 for all layers, 0 (the default) for
   * none. Every layer's leaves a third of the activations of a Hessian-vector product, for 1.4 times the work and half as much again for each
   * weight, so that it pays where tokens are many.
   */
  readonly recomputeEvery?: number;
  /** State of a calibration with the same model, batches and seed, to go on from. */
  readonly resume?: TraceState;
  /** Ends after the probe at hand, with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called after each probe, and waited for. */
  readonly onProgress?: (progress: CalibrationProgress) => void | Promise<void>;
}

/** What calibration found, by tensor name. */
export interface Calibration {
  /** Estimated trace of each weight's own block. */
  readonly traces: Record<string, number>;
  /** Standard error of each trace. Scores are computed from the larger of the two. */
  readonly standardErrors: Record<string, number>;
  /** 0 (flat) to 1 (sharply curved); the same for weights that share a trace. */
  readonly scores: Record<string, number>;
  /** Factor of each weight's temperature, for `train`. */
  readonly temperatureScales: Record<string, number>;
  /** Standard error of each temperature scale, to first order. */
  readonly temperatureScaleErrors: Record<string, number>;
  /** What the traces are of. */
  readonly curvature: Curvature;
  /** How they were measured. */
  readonly estimator: Estimator;
  /** What shared a trace. */
  readonly granularity: CalibrationGranularity;
  /** Probes spent. */
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
 * Measures the trace of every weight that will be quantized, on the model in full precision, and turns the traces into temperature scales.
 *
 * Memory beyond the parameters: a probe of the Hessian holds its directions and the products, 8 bytes at most for each quantized weight,
 * and about 20 bytes × (7 hidden + 3 intermediate) for each token and layer, five times what gradients hold. With `recomputeEvery` 1 the
 * latter falls to 60 % or less where tokens are many. A probe of the Gauss-Newton matrix holds what gradients hold, 4 bytes × (7 hidden + 3 intermediate), and a sixteenth of that with
 * `recomputeEvery` 1. For Llama-3.2-1B (973 M quantized weights among 1236 M, 4.9 GB) on 512 tokens, on paper, logits aside: 7.8 + 6.4 GB for
 * the Hessian, 1.3 GB for the Gauss-Newton matrix.
 *
 * @param model in full precision
 * @param batches at least one, all of one shape; their curvatures are averaged
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
  batches: readonly GivenBatch[],
  options: CalibrationOptions = {},
): Promise<Calibration> {
  const { probes = 256, tolerance = 0.01, granularity = "tensor", onProgress, seed, resume, signal } = options;
  checkOptions("Cannot calibrate with the", options, {
    curvature: oneOf(...curvatures),
    estimator: oneOf(...estimators),
    granularity: oneOf(...calibrationGranularities),
    seed: anySeed,
    tolerance: notNegative,
    recomputeEvery: whole(0),
    sketch: whole(1),
    queries: whole(0),
  });
  const names = quantizedNames(model.config);
  const groups: Record<string, string[]> = {};
  for (const name of names) (groups[groupOf(name, granularity)] ??= []).push(name);
  const largestError = (progress: TraceProgress) => Math.max(...Object.values(scaleErrors(progress.groups, options)));
  const enough = (progress: TraceProgress) => largestError(progress) < tolerance;
  const checked = batches.map((batch) => checkedBatch(batch, model.config.vocabularySize, "Cannot calibrate"));
  for (const batch of checked) requireTarget(batch, "Cannot calibrate");
  realize(Object.values(model.parameters));
  await requireFinite(model.parameters, "calibrate");
  const isMasked = checked.some(({ targets }) => targets.includes(ignoredTarget));
  const data = checked.map((batch) => ({ ...tokenTensors(batch), ...isMasked && { counts: countedTargets(batch) } }));
  let found: TraceProgress | undefined;
  try {
    if (options.estimator === "hutch++") return await calibrateAlone(model, data, { names, groups, granularity }, options);
    for await (const progress of measured(model, data, { ...options, names, groups, probes, seed, resume, enough, signal })) {
      found = progress;
      await onProgress?.({
        probes: progress.probes,
        of: probes,
        scaleError: largestError(progress),
        state: progress.state,
      });
    }
  } finally {
    disposeAll(data);
  }
  signal?.throwIfAborted();
  return calibrationOf(found!, { groups, granularity, estimator: "joint" }, options);
}

/** By Hutch++, one tensor after another. */
async function calibrateAlone(
  { config, parameters }: LlamaModel,
  batches: readonly TokenTensors[],
  { names, groups, granularity }: Pick<Grouping, "groups" | "granularity"> & { readonly names: readonly string[] },
  options: CalibrationOptions,
): Promise<Calibration> {
  const { recomputeEvery, sketch = 10, queries = 20, onProgress, curvature = curvatureOf("hutch++") } = options;
  if (curvature !== "hessian") {
    throw new RangeError(`Cannot measure the curvature "${curvature}" by Hutch++: wanted "hessian"`);
  }
  const loss: LossFunction = (each, batch) => languageModelLoss(config, each, batch, { recomputeEvery });
  const traces: TensorTrace[] = [];
  for await (const trace of hutchTraces(loss, { parameters, batches }, { ...options, names, sketch, queries })) {
    traces.push(trace);
    await onProgress?.({ probes: traces.length, of: names.length, scaleError: NaN });
  }
  const shared = Object.entries(groups).map(([group, members]): TensorTrace => {
    const own = traces.filter(({ name }) => members.includes(name));
    const trace = own.reduce((sum, each) => sum + each.trace, 0);
    return { name: group, trace, standardError: Math.hypot(...own.map(({ standardError }) => standardError)) };
  });
  const found = { traces, groups: shared, probes: (2 * sketch + queries) * batches.length };
  return calibrationOf(found, { groups, granularity, estimator: "hutch++" }, { ...options, curvature });
}

/** Ones where a prediction counts. */
function countedTargets({ targets, shape }: Batch): Tensor {
  return tensor(targets.map((target) => target === ignoredTarget ? 0 : 1), { shape });
}

/** What is differentiated for each curvature. */
function functionsOf({ config }: LlamaModel, { recomputeEvery }: Pick<CalibrationOptions, "recomputeEvery">) {
  const loss: LossFunction = (parameters, batch) => languageModelLoss(config, parameters, batch, { recomputeEvery });
  const logits: LogitPiecesFunction = (parameters, { inputs, documents }) => {
    const model = { config, parameters };
    return logitsInPieces(model, llamaHidden(model, inputs, { recomputeEvery, documents }));
  };
  return { loss, logits };
}

function measured(
  model: LlamaModel,
  batches: readonly TokenTensors[],
  { curvature = defaultCurvature, recomputeEvery, ...options }:
    & TraceOptions
    & Pick<CalibrationOptions, "curvature" | "recomputeEvery">,
): AsyncGenerator<TraceProgress> {
  const inputs = { parameters: model.parameters, batches };
  const { loss, logits } = functionsOf(model, { recomputeEvery });
  return curvature === "hessian" ? hessianTraces(loss, inputs, options) : gaussNewtonTraces(logits, inputs, options);
}

/**
 * Device memory of a probe of {@linkcode calibrate}, before anything is allocated; undefined on the reference backend.
 *
 * @param model its tensors may be placeholders
 * @param shape of a batch
 */
export async function calibrationBytes(
  model: LlamaModel,
  shape: Batch["shape"],
  options: CalibrationOptions = {},
): Promise<ProgramBytes | undefined> {
  const names = quantizedNames(model.config);
  const { parameters } = model;
  const { loss, logits } = functionsOf(model, options);
  const batch = { inputs: constant(0, shape, "uint32"), targets: constant(0, shape, "uint32") };
  const seed = constant(0, [], "uint32");
  if ((options.curvature ?? defaultCurvature) !== "hessian") {
    return await compileSquares(logits, names).bytes({ parameters, batch, seed });
  }
  const ofEach = <T>(value: T) => Object.fromEntries(names.map((name) => [name, value]));
  return await compileProducts(loss, names).bytes({ parameters, batch, seeds: ofEach(seed), lengths: ofEach(1) });
}

/** What shares traces, and how they were measured. */
interface Grouping {
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly granularity: CalibrationGranularity;
  readonly estimator: Estimator;
}

function calibrationOf(
  found: Pick<TraceProgress, "traces" | "groups" | "probes">,
  { groups, granularity, estimator }: Grouping,
  options: CalibrationOptions,
): Calibration {
  const told = estimator === "joint" ? significant(found.groups) : byName(found.groups, "trace");
  const shared = (values: Readonly<Record<string, number>>) => {
    const entries = Object.entries(groups).flatMap(([group, names]) => names.map((name) => [name, values[group]] as const));
    const known = new Map(entries);
    return Object.fromEntries(found.traces.map(({ name }) => [name, known.get(name)!]));
  };
  const { scores, temperatureScales: scales } = temperatureScales(told, options);
  return {
    traces: byName(found.traces, "trace"),
    standardErrors: byName(found.traces, "standardError"),
    scores: shared(scores),
    temperatureScales: shared(scales),
    temperatureScaleErrors: shared(scaleErrors(found.groups, options)),
    curvature: options.curvature ?? defaultCurvature,
    estimator,
    granularity,
    probes: found.probes,
  };
}

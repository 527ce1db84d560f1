/**
 * Training of a Llama model, in full precision or with a quantizer.
 *
 * @module
 */

import { ownerOf } from "../core/names.ts";
import { checkOptions, notNegative, oneOf, whole } from "../core/options.ts";
import { requireFinite } from "../finite.ts";
import type { ProgramBytes } from "../core/program.ts";
import type { Quantization } from "../llama/checkpoint.ts";
import type { LlamaModel } from "../llama/model.ts";
import { type Parameters, quantizedNames } from "../llama/parameters.ts";
import { initialMoments } from "../optim/adamw.ts";
import type { ScheduleOptions } from "../optim/schedule.ts";
import type { AnnealingOptions } from "../quant/annealing.ts";
import { learnedParameters } from "../quant/project.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { type QuantizerName, quantizerNamed } from "../quant/registry.ts";
import { differingRules, type RuleOptions, type WeightRules } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { compile, realize } from "../trace.ts";
import { type Batch, type BatchReader, type GivenBatch, readBatches } from "../train/data.ts";
import {
  disposeAll,
  initialState,
  type OptimizerOptions,
  stepBytes,
  type StepResult,
  type TrainingState,
  trainSteps,
} from "../train/trainer.ts";
import type { Distillation } from "./distillation.ts";
import type { HeldOutPlan, HeldOutPoint } from "./held_out_points.ts";
import type { ObjectiveOptions } from "./objective.ts";
import { phasePlan } from "./phase_plan.ts";
import type { StatisticsPlan } from "./tensor_statistics.ts";
import { watching } from "./watching.ts";

/**
 * Settings of `train`. Rules that are not given are those of the `recipe`, "hestia-2026" by default: those of the weights here, those of
 * temperatures in `annealing`, those of the learning rate in `schedule`.
 */
export interface TrainOptions extends RuleOptions<WeightRules> {
  /** Optimizer steps. */
  readonly steps: number;
  /** "none" (the default) trains in full precision; or one of your own, by the name it was registered under. */
  readonly quantizer?: QuantizerName | string & Record<never, never>;
  /** Weights that share a scale: 0 the whole tensor, -1 an output channel, n blocks of n inputs; 128 by default. */
  readonly groupSize?: number;
  /** "float16" rounds scales in the forward pass as packed formats store them, so that packing loses nothing; "float32" by default. */
  readonly scaleDtype?: "float32" | "float16";
  /** Factor of each weight's temperature, as `calibrate` finds them; 1 for all by default. */
  readonly temperatureScales?: Readonly<Record<string, number>>;
  /** How pressure and temperature go; `totalSteps` is `steps`. */
  readonly annealing?: Omit<AnnealingOptions, "totalSteps">;
  /** Peak learning rate; 1e-3 by default. */
  readonly learningRate?: number;
  /** How the learning rate goes; `totalSteps` is `steps`. */
  readonly schedule?: Omit<ScheduleOptions, "totalSteps">;
  /** Learn from a teacher's predictions too; `lossNats` of the steps is then the mixture. */
  readonly distillation?: Distillation;
  /**
   * Pieces of equal size in which a step goes through its batch, for batches whose activations do not fit; 1 by default. Weights are
   * quantized once for all of them, or in each where layers are computed again.
   */
  readonly microBatches?: number;
  /** What is predicted, and what the loss is divided by. `lossNats` of the steps is the mean over what is predicted in any case. */
  readonly objective?: ObjectiveOptions;
  /** Of AdamW. What a quantizer learns is not decayed, nor what `undecayed` names. */
  readonly optimizer?: Omit<OptimizerOptions, "decays">;
  /** Regular expressions: parameters whose names contain a match are not decayed. Norms and biases by default. */
  readonly undecayed?: readonly string[];
  /**
   * Sees the latent model after each step. The next step overwrites its tensors: what is computed from them must be on its way when the
   * promise resolves. Its time does not count as that of a step.
   */
  readonly observe?: (moment: { readonly step: number; readonly model: TrainedModel }) => Promise<void> | void;
  /**
   * Measures the model as it would ship while it is trained, and may end the training by patience. What is trained does not change by it,
   * and its time does not count as that of a step.
   */
  readonly heldOut?: HeldOutPlan;
  /** Is told of each evaluation; waited for. */
  readonly onEvaluation?: (point: HeldOutPoint) => Promise<void> | void;
  /** Takes statistics of each tensor while it is trained. */
  readonly statistics?: StatisticsPlan;
  /** Layers whose inner results are computed again rather than kept: every so-manieth, 1 for all, 0 (the default) for none. */
  readonly recomputeEvery?: number;
  /** Takes over the tensors of the model, which cannot be used afterwards: 4 bytes less for each parameter. */
  readonly donate?: boolean;
  /** Is told what a step needs of the device's memory, once for the soft and once for the hard phase. */
  readonly onMemory?: (bytes: ProgramBytes) => void;
  /**
   * Where an earlier training with the same settings stood, as `onCheckpoint` was given it: losses and weights are then those of a training
   * that went on, to the last bit. Its tensors are used up. `data` begins with the batch of the next step.
   */
  readonly state?: TrainingState;
  /**
   * Is given the whole state after those steps that `checkpointEvery` names, after the last one, and where `signal` ends the training. All
   * events up to that step have been told. The next step overwrites its tensors: they must be read when the promise resolves.
   */
  readonly onCheckpoint?: (state: TrainingState) => Promise<void> | void;
  /** Every so many steps, or whether after this one (counted from 1); never in between by default. */
  readonly checkpointEvery?: number | ((step: number) => boolean);
  /**
   * Steps in a row that may be skipped since their loss or gradient is NaN or infinite; such a step changes nothing, and one more ends the
   * training. 2 by default.
   */
  readonly mostSkips?: number;
  /** Ends after the step at hand. */
  readonly signal?: AbortSignal;
}

/** A model, and how its weights are trained to be quantized; absent in full precision. */
export type TrainedModel = LlamaModel & { readonly quantization?: Quantization };

/** What `train` tells: each step, and the trained model at the end. */
export type TrainEvent =
  | {
    readonly type: "step";
    /** Counted from 1. */
    readonly step: number;
    readonly lossNats: number;
    readonly gradientNorm: number;
    readonly learningRate: number;
    /** 0 to 1; absent in full precision, and where nothing follows it. */
    readonly pressure?: number;
    /** Mean over the quantized weights; absent where nothing anneals. */
    readonly temperature?: number;
    readonly tokensPerSecond: number;
    /** The loss or the gradient was NaN or infinite, and the step changed nothing. */
    readonly skipped?: true;
  }
  | { readonly type: "end"; readonly model: LlamaModel; readonly quantization?: Quantization };

/** Copies on the device, so that training does not overwrite the model it starts from. */
const copy = compile(({ parameters }: { parameters: LlamaModel["parameters"] }) => ({ ...parameters }));

/**
 * Trains a copy of a model, or the model itself where `donate` says so, on batches of tokens.
 *
 * With a quantizer, the linear maps of the layers are quantized in every forward pass, and the latent weights are trained. A quantizer
 * that anneals runs a soft phase, with pressure and temperature from the schedule, and a hard phase at temperature zero. What a quantizer
 * learns besides the weights is trained with them, and given back in `quantization`. Whoever leaves the loop before the end frees what
 * was trained.
 *
 * @param model where to start
 * @param data batches, one for each step; it may be endless. Those of an `AsyncIterable` are asked for one step ahead
 * @throws Error where losses are not finite (see `mostSkips`) or a parameter is not, RangeError where a temperature scale is missing or, after the end, where the data ended early
 *
 * @example
 * ```ts
 * import { batches, initialModel, train } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const tokens = new TextEncoder().encode("Call me Ishmael. Some years ago, never mind how long precisely.");
 * const data = batches(tokens, { batchSize: 2, sequenceLength: 8, seed: 1 });
 * for await (const event of train(model, data, { quantizer: "hestia", groupSize: 16, steps: 4 })) {
 *   if (event.type === "step") console.log(event.step, event.lossNats);
 * }
 * ```
 */
export async function* train(
  model: LlamaModel,
  data: Iterable<GivenBatch> | AsyncIterable<GivenBatch>,
  options: TrainOptions,
): AsyncGenerator<TrainEvent> {
  const { steps, quantizer: name = "none", groupSize = 128, onMemory } = options;
  const quantizer = quantizerNamed(name);
  check(options, quantizer);
  const hardSteps = quantizer.anneals ? options.annealing?.hardSteps ?? 0 : 0;
  const plan = phasePlan(model, quantizer, options);
  await requireFinite(options.distillation?.teacher.parameters ?? {}, "distil");
  let state = firstState(model, quantizer, { ...options, groupSize });
  const reader = readBatches(data, steps - state.step);
  const trainedModel = ({ parameters }: TrainingState) => latentModel(model, parameters, options);
  const checkpoint = checkpoints(options);
  const { signal, observe, begin } = watching(model, quantizer, options, trainedModel);
  try {
    await requireSound(state, options);
    await begin?.(state);
    for (const { hard, end } of [{ hard: false, end: steps - hardSteps }, { hard: true, end: steps }]) {
      const count = end - state.step;
      if (count <= 0 || signal?.aborted) continue;
      const run = trainSteps(state, {
        ...plan(hard, reader, state.step),
        steps: count,
        checkpoint,
        mostSkips: options.mostSkips ?? 2,
        signal,
        onMemory,
        observe,
      });
      try {
        let next = await run.next();
        for (; !next.done; next = await run.next()) yield stepEvent(next.value, quantizer);
        state = next.value;
      } finally {
        await run.return(state);
      }
    }
    await checkpoint?.end(state);
    disposeAll([state.moments, state.norm]);
    const { quantization, ...trained } = trainedModel(state);
    yield { type: "end", model: trained, ...(quantization ? { quantization } : {}) };
    if (state.step < steps && !signal?.aborted) {
      throw new RangeError(`Cannot train for ${steps} steps: the data ended after ${state.step}`);
    }
  } finally {
    await reader.close();
  }
}

/** Throws a RangeError that names the first number of a state that is not finite. */
async function requireSound({ parameters, moments }: TrainingState, options: TrainOptions): Promise<void> {
  await requireFinite(parameters, "train");
  for (const each of options.state ? Object.values(moments) : []) await requireFinite(each, "go on (moments)");
}

function check(options: TrainOptions, { name, roundsScales }: Quantizer): void {
  checkOptions("Cannot train with the", options, {
    steps: whole(0),
    learningRate: notNegative,
    recomputeEvery: whole(0),
    scaleDtype: oneOf("float32", "float16"),
    ...typeof options.checkpointEvery === "number" ? { checkpointEvery: whole(1) } : {},
  });
  checkOptions("Cannot train with the optimizer's", options.optimizer ?? {}, {
    moments: oneOf("float32", "bfloat16"),
    clipBy: oneOf("step", "before"),
  });
  if (options.scaleDtype === "float16" && !roundsScales) {
    throw new RangeError(`Cannot train with scales in float16: the quantizer "${name}" keeps them in float32`);
  }
}

/**
 * Device memory of a step of {@linkcode train}, the larger of the soft and the hard phase, before anything is allocated: what `onMemory` is
 * told. Undefined on the reference backend.
 *
 * @param model its tensors may be placeholders
 * @param shape of a batch
 */
export async function trainingBytes(
  model: LlamaModel,
  shape: Batch["shape"],
  options: TrainOptions,
): Promise<ProgramBytes | undefined> {
  const quantizer = quantizerNamed(options.quantizer ?? "none");
  const zeros = () => new Uint32Array(shape[0] * shape[1]);
  const value: Batch = { inputs: zeros(), targets: zeros(), shape };
  const reader: BatchReader = { next: () => ({ done: false, value }), close: async () => {} };
  const plan = phasePlan(model, quantizer, options);
  const settings = { names: quantizedNames(model.config), groupSize: options.groupSize ?? 128 };
  const state = initialState(
    { ...model.parameters, ...learnedParameters(model.parameters, quantizer, settings) },
    options.optimizer,
  );
  const hardSteps = quantizer.anneals ? options.annealing?.hardSteps ?? 0 : 0;
  const phases = hardSteps > 0 ? [false, true] : [false];
  const bytes = await Promise.all(phases.map((hard) => stepBytes(state, { ...plan(hard, reader, 0), steps: 1 })));
  return bytes.reduce((most, each) => each && most && each.total > most.total ? each : most);
}

/** The state that was given, or that before the first step. Throws a `RangeError` where it is of other parameters. */
function firstState(
  model: LlamaModel,
  quantizer: Quantizer,
  { state, steps, groupSize, optimizer, donate }: Pick<TrainOptions, "state" | "steps" | "optimizer" | "donate"> & {
    readonly groupSize: number;
  },
): TrainingState {
  const settings = { names: quantizedNames(model.config), groupSize };
  const narrow = Object.entries(model.parameters).find(([, { dtype }]) => dtype !== "float32");
  if (narrow) {
    throw new RangeError(
      `Cannot train "${narrow[0]}", which is ${narrow[1].dtype}: load the model with its parameters in float32`,
    );
  }
  if (!state) {
    const weights = donate ? realized(model.parameters) : copy({ parameters: model.parameters });
    return initialState({ ...weights, ...realized(learnedParameters(weights, quantizer, settings)) }, optimizer);
  }
  const refuse = (reason: string) => new RangeError(`Cannot go on from a state of step ${state.step}: ${reason}`);
  if (!(state.step <= steps)) throw refuse(`wanted at most ${steps}, the steps of the training`);
  if (!Number.isInteger(state.step) || state.step < 0) throw refuse("wanted a whole number of at least 0");
  const wanted = { ...model.parameters, ...learnedParameters(model.parameters, quantizer, settings) };
  const moments = initialMoments(wanted, { dtype: optimizer?.moments });
  const inOrder = (tensors: Parameters, like: Parameters): Record<string, Tensor> => { // of a training that was left alone: sums follow it
    const names = [...new Set([...Object.keys(like), ...Object.keys(tensors)])];
    const wrong = names.find((name) => `${like[name]}` !== `${tensors[name]}`);
    if (wrong === undefined) return Object.fromEntries(names.map((name) => [name, tensors[name]]));
    throw refuse(`"${wrong}" is ${tensors[wrong]}, wanted ${like[wrong]}`);
  };
  if (donate) disposeAll(Object.values(model.parameters).filter((value) => !Object.values(state.parameters).includes(value)));
  const [first, second] = [inOrder(state.moments.first, moments.first), inOrder(state.moments.second, moments.second)];
  return { ...state, parameters: inOrder(state.parameters, wanted), moments: { first, second } };
}

/** When the state is told, and to whom; once for a step. */
function checkpoints({ onCheckpoint, checkpointEvery = () => false, state }: TrainOptions) {
  if (!onCheckpoint) return undefined;
  let saved = state?.step;
  const save = async (now: TrainingState): Promise<void> => {
    await requireFinite(now.parameters, `keep the state of step ${now.step}`);
    saved = now.step;
    await onCheckpoint(now);
  };
  return {
    due: typeof checkpointEvery === "number" ? (step: number) => step % checkpointEvery === 0 : checkpointEvery,
    save,
    async end(now: TrainingState): Promise<void> {
      if (now.step !== saved) await save(now);
    },
  };
}

/** The model of latent parameters, and what the quantizer learned set apart. */
function latentModel(
  { config }: LlamaModel,
  state: Readonly<Record<string, Tensor>>,
  { quantizer = "none", groupSize = 128, scaleDtype, ...options }: TrainOptions,
): TrainedModel {
  const entries = Object.entries(state);
  const [own, others] = [true, false].map((isOwn) => entries.filter(([key]) => (ownerOf(key) === undefined) === isOwn));
  const model = { config, parameters: Object.fromEntries(own) };
  if (quantizer === "none") return model;
  const rounding = scaleDtype === "float16" ? { scaleDtype } : {};
  const parameters = others.length > 0 ? { parameters: Object.fromEntries(others) } : {};
  return { ...model, quantization: { quantizer, groupSize, ...rounding, ...differingRules("weights", options), ...parameters } };
}

/** Tensors with memory of their own, which a step may overwrite. */
function realized(tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
  const values = realize(Object.values(tensors));
  return Object.fromEntries(Object.keys(tensors).map((name, index) => [name, values[index]]));
}

function stepEvent(result: StepResult, quantizer: Quantizer): TrainEvent {
  const { step, gradientNorm, learningRate, controls, items, seconds } = result;
  const { pressure, meanTemperature, lossShare } = controls;
  const lossNats = result.lossNats / lossShare;
  const state = quantizer.anneals ? { pressure, temperature: meanTemperature } : pressure === undefined ? {} : { pressure };
  const skipped = result.skipped ? { skipped: result.skipped } : {};
  return { type: "step", step, lossNats, gradientNorm, learningRate, ...state, tokensPerSecond: items / seconds, ...skipped };
}

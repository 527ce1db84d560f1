/**
 * What training a model takes of a device's memory, before anything is allocated.
 *
 * @module
 */

import type { ProgramBytes } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import type { LlamaConfig } from "../llama/config.ts";
import type { LlamaModel } from "../llama/model.ts";
import { parameterShapes, quantizedNames } from "../llama/parameters.ts";
import { placeholder } from "../trace.ts";
import type { BatchSize } from "../train/data.ts";
import { calibrationBytes, type CalibrationOptions } from "./calibrate.ts";
import { evaluationBytes } from "./evaluate.ts";
import { trainingBytes, type TrainOptions } from "./train.ts";

/** What is planned. */
export interface PlanOptions extends BatchSize {
  /** Settings of `train`. */
  readonly training?: Omit<TrainOptions, "steps">;
  /** Settings of `calibrate`; no calibration where absent. */
  readonly calibration?: CalibrationOptions;
  /** Sequences at a time in an evaluation; as many as in training by default. */
  readonly evaluationBatchSize?: number;
  /** Which phases are planned; by default all, calibration where it has settings. */
  readonly phases?: readonly PhaseName[];
}

/** What runs on the device. */
export type PhaseName = "calibration" | "training" | "evaluation";

/** The memory of one phase, in bytes. */
export interface PhasePlan {
  /** What runs. */
  readonly phase: PhaseName;
  /** Of the program that runs again and again. */
  readonly program: ProgramBytes;
  /** Parameters of the model that it started from, which stay beside. */
  readonly base: number;
  /** All of it. */
  readonly total: number;
}

/** What training a model takes. */
export interface Plan {
  /** Number of parameters. */
  readonly parameters: number;
  /** Number of those that are quantized. */
  readonly quantized: number;
  /** Bytes of the parameters, in float32. */
  readonly parameterBytes: number;
  /** Bytes of the optimizer's moments. */
  readonly momentBytes: number;
  /** Bytes of all gradients, where they are held together; `training.optimizer.clipBy` "before" frees each in turn. */
  readonly gradientBytes: number;
  /** In their order. */
  readonly phases: readonly PhasePlan[];
  /** Bytes of the phase that takes most. */
  readonly peak: number;
}

/** A model whose tensors have shapes and no values. */
function placeholderModel(config: LlamaConfig): LlamaModel {
  const shapes = Object.entries(parameterShapes(config));
  return {
    config,
    parameters: Object.fromEntries(shapes.map(([name, shape]) => [name, placeholder({ shape, dtype: "float32" })])),
  };
}

/**
 * Plans calibration, training and evaluation of a model on the device in use: each phase is compiled and its memory planned, as it will be
 * when it runs, and nothing is allocated.
 *
 * @param config of the model
 * @param options batch and settings, as `train` and `calibrate` take them
 * @throws Error on the reference backend, which plans no memory
 *
 * @example
 * ```ts
 * import { initialModel, planTraining } from "@hestia/hestia";
 * const sizes = { vocabularySize: 256, hiddenSize: 64, layers: 2, heads: 2, keyValueHeads: 1, intermediateSize: 64 };
 * const { config } = initialModel(sizes, { seed: 1 });
 * const { peak } = await planTraining(config, { batchSize: 2, sequenceLength: 32, training: { quantizer: "hestia", groupSize: 64 } });
 * console.log(peak > 0); // bytes
 * ```
 */
export async function planTraining(config: LlamaConfig, options: PlanOptions): Promise<Plan> {
  const { batchSize, sequenceLength, training = {}, calibration, evaluationBatchSize = batchSize } = options;
  const model = placeholderModel(config);
  const parameterBytes = bytesOf(Object.keys(model.parameters), model);
  const shape = [batchSize, sequenceLength] as const;
  const steps = 1 + (training.annealing?.hardSteps ?? 0);
  const planners: Record<PhaseName, () => Promise<ProgramBytes | undefined>> = {
    calibration: () => calibrationBytes(model, shape, calibration),
    training: () => trainingBytes(model, shape, { ...training, steps }),
    evaluation: () => evaluationBytes(model, { batchSize: evaluationBatchSize, sequenceLength }),
  };
  const wanted = options.phases ??
    (["calibration", "training", "evaluation"] as const).filter((phase) => phase !== "calibration" || calibration);
  const phases: PhasePlan[] = [];
  for (const phase of wanted) {
    const program = await planners[phase]();
    if (!program) throw new Error("Cannot plan memory on the reference backend: it has no device, wanted WebGPU");
    const base = phase === "training" && !training.donate ? parameterBytes : 0; // it trains a copy
    phases.push({ phase, program, base, total: program.total + base });
  }
  const counted = (names: readonly string[]) => bytesOf(names, model) / 4;
  return {
    parameters: counted(Object.keys(model.parameters)),
    quantized: counted(quantizedNames(config)),
    parameterBytes,
    momentBytes: parameterBytes * (training.optimizer?.moments === "bfloat16" ? 1 : 2),
    gradientBytes: parameterBytes,
    phases,
    peak: Math.max(...phases.map(({ total }) => total)),
  };
}

function bytesOf(names: readonly string[], { parameters }: LlamaModel): number {
  return names.reduce((sum, name) => sum + 4 * sizeOf(parameters[name].shape), 0);
}

/**
 * What each step of `train` computes: rates, temperatures and pressures of the schedules, quantized weights, and the loss.
 *
 * @module
 */

import { ownerOf } from "../core/names.ts";
import { tensor } from "../create.ts";
import { type LlamaModel, plainProject, type Project } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { learningRateMultiplier } from "../optim/schedule.ts";
import { annealing } from "../quant/annealing.ts";
import { temperatureScaleOf } from "../quant/guidance.ts";
import type { Quantizer } from "../quant/quantizer.ts";
import { givenRules, isDecayed, recipeNamed, type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import { type BatchReader, checkedBatch, type GivenBatch, requireTarget } from "../train/data.ts";
import type { Prepare, StepInputs, TrainerOptions } from "../train/trainer.ts";
import { microBatches } from "./data.ts";
import { teacherConstants, trainingLoss } from "./distillation.ts";
import { weighed, weighedPieces } from "./objective.ts";
import { quantizedParameters } from "./rounded.ts";
import type { TrainOptions } from "./train.ts";

/** The trainer's settings for the soft and for the hard phase. */
export function phasePlan(model: LlamaModel, quantizer: Quantizer, options: TrainOptions) {
  const { recipe, steps, learningRate = 1e-3, temperatureScales, distillation } = options;
  const { undecayed = recipeNamed(recipe).undecayed } = options;
  const names = quantizedNames(model.config);
  const scaleOf = (name: string) => temperatureScales ? temperatureScaleOf(temperatureScales, name) : 1;
  const meanScale = names.reduce((sum, name) => sum + scaleOf(name), 0) / names.length;
  const rate = (step: number) => learningRate * learningRateMultiplier(step, { recipe, ...options.schedule, totalSteps: steps });
  const anneal = annealing({ recipe, ...options.annealing, totalSteps: steps });
  // scales are inputs, so that weights of one shape share one kernel
  const scales = quantizer.anneals ? Object.fromEntries(names.map((name) => [name, tensor(scaleOf(name))])) : {};
  const teacher = teacherConstants(distillation);
  return (
    hard: boolean,
    data: BatchReader,
    begun: number,
  ): Pick<TrainerOptions, "loss" | "prepare" | "inputs" | "constants" | "optimizer"> => {
    let done = begun;
    const inputsOf = (next: IteratorResult<GivenBatch, unknown>): StepInputs | undefined => {
      if (next.done) return undefined;
      const whole = checkedBatch(next.value, model.config.vocabularySize, "Cannot train");
      requireTarget(whole, "Cannot train");
      const { temperature, pressure } = anneal.at(done);
      const step = done++;
      const annealed = { pressure, temperature, meanTemperature: temperature * meanScale };
      const pieces = microBatches(whole, options.microBatches);
      const { batch, lossShare } = weighedPieces(pieces, { recipe, ...options.objective });
      return {
        batch,
        items: next.value.inputs.length,
        learningRate: rate(step),
        controls: { lossShare, ...(quantizer.anneals ? annealed : mixes(quantizer, options) ? { pressure } : {}) },
      };
    };
    return {
      constants: hard ? teacher : { ...scales, ...teacher },
      optimizer: { ...options.optimizer, decays: (name) => ownerOf(name) === undefined && isDecayed(name, undecayed) },
      ...lossOf(model, names, quantizer, { ...options, hard }),
      inputs() {
        const next = data.next();
        return next instanceof Promise ? next.then(inputsOf) : inputsOf(next);
      },
    };
  };
}

/**
 * The loss, and what it is prepared by. Where layers are computed again, each quantizes its own weights, so that quantized weights are not
 * kept; else all weights are quantized once a step.
 */
function lossOf(
  { config }: LlamaModel,
  names: readonly string[],
  quantizer: Quantizer,
  options: TrainOptions & { readonly hard: boolean },
): Pick<TrainerOptions, "loss" | "prepare"> {
  const { distillation, recomputeEvery = 0 } = options;
  if (quantizer.name === "none" || recomputeEvery === 0) {
    return {
      loss: (parameters, { batch, constants }) =>
        weighed(trainingLoss(config, parameters, { batch, constants, distillation, recomputeEvery }), batch),
      ...(quantizer.name === "none" ? {} : { prepare: preparation(names, quantizer, options) }),
    };
  }
  return {
    loss(parameters, { batch, ...inputs }) {
      const project: Project = (name, x) => {
        const isQuantized = names.includes(name);
        return plainProject(isQuantized ? preparation([name], quantizer, options)(parameters, inputs) : parameters)(name, x);
      };
      const { constants } = inputs;
      return weighed(trainingLoss(config, parameters, { batch, constants, distillation, recomputeEvery, project }), batch);
    },
  };
}

/** Whether a quantizer without a temperature follows the pressure of the schedule nevertheless. */
function mixes(quantizer: Quantizer, options: RuleOptions<WeightRules>): boolean {
  return quantizer.mixes === true && rulesOf("weights", options).baselinePressure;
}

/** Quantized weights in place of the latent ones. */
function preparation(
  names: readonly string[],
  quantizer: Quantizer,
  { hard, groupSize = 128, scaleDtype, ...options }: Omit<TrainOptions, "steps"> & { readonly hard: boolean },
): Prepare {
  const settings = { groupSize, scaleDtype, ...givenRules("weights", options) };
  const followsPressure = quantizer.anneals || mixes(quantizer, options);
  return (parameters, { controls, constants }) =>
    quantizedParameters(parameters, quantizer, names, (name) => {
      if (hard || !followsPressure) return { ...settings, hard: true };
      const { pressure } = controls;
      return quantizer.anneals
        ? { ...settings, temperature: controls.temperature.mul(constants[name]), pressure }
        : { ...settings, pressure };
    });
}

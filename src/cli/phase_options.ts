/**
 * What a configuration says to the functions of the library.
 *
 * @module
 */

import type { TrainOptions } from "../pipeline/train.ts";
import { rulesOf } from "../recipes.ts";
import type { RunConfig } from "./config.ts";

/** Settings of a phase of training that full precision has too. */
export function phaseOptions(
  { recipe, optimizer: { undecayed, ...optimizer }, objective }: RunConfig,
  phase: RunConfig["pretrain"],
) {
  const { steps, learningRate, warmupSteps, decayRatio, minLearningRateRatio: minRatio, style } = phase;
  const { warmupStart, decayAfterWarmup } = phase;
  const schedule = { style, warmupSteps, decayRatio, minRatio, warmupStart, decayAfterWarmup };
  return { recipe, steps, learningRate, schedule, optimizer, undecayed, objective } satisfies TrainOptions;
}

/** How weights are quantized. */
export function weightOptions({ recipe, quantize }: RunConfig) {
  const { groupSize, scaleDtype } = quantize;
  return {
    groupSize,
    ...(scaleDtype === "float16" ? { scaleDtype } : {}),
    recipe,
    ...rulesOf("weights", { recipe, ...quantize }),
  };
}

/** How pressure and temperature go in the quantized phase. */
export function annealingOptions({ quantize }: RunConfig) {
  const { initialTemperature, compressRatio, annealRatio, annealStyle: style, endTemperature, hardSteps } = quantize;
  return { initialTemperature, compressRatio, annealRatio, style, endTemperature, hardSteps };
}

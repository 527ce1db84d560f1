/**
 * Runs an experiment: one base for each seed, then every arm from it, with the same batches in the same order.
 *
 * @module
 */

import { roundedModel } from "../pipeline/rounded.ts";
import type { TrainedModel } from "../pipeline/train.ts";
import type { Calibration, Curvature } from "../pipeline/calibrate.ts";
import { type GuidanceOptions, scaleOfScore } from "../quant/guidance.ts";
import { givenRules } from "../recipes.ts";
import { seedFor } from "../train/data.ts";
import { disposeAll } from "../train/trainer.ts";
import type { Arm } from "./arms.ts";
import { type Base, baseOf, type BaseResult, calibrationOf, type HeldOut, heldOutOf, trainLogged } from "./base.ts";
import { armOptions, curvatureOf, curvaturesOf, type Experiment, guidanceOf } from "./settings.ts";
import { median } from "./statistics.ts";
import type { Store } from "./store.ts";
import { type Histogram, weightHistogram, type WeightStatistics, WeightWatch } from "./weights.ts";

/** What one arm gave with one seed. */
export interface ArmResult {
  readonly arm: string;
  readonly seed: number;
  /** Of the model as it would be packed. */
  readonly heldOut: HeldOut;
  /** Loss of each step, in nats. */
  readonly trainingLosses: readonly number[];
  /** Pressure and mean temperature of each step; empty where nothing anneals. */
  readonly pressures: readonly number[];
  readonly temperatures: readonly number[];
  /** Held-out loss on the way, of the model as it would be packed at that step. */
  readonly curve: readonly { readonly step: number; readonly lossNats: number }[];
  readonly weights: readonly WeightStatistics[];
  /** Latent weights at the end. */
  readonly histogram: Histogram;
  /** Wall time of a step, the median; null where there is none. */
  readonly secondsPerStep: number | null;
}

/** Of one base, as far as arms asked for them. */
export type Calibrations = Readonly<Partial<Record<Curvature, Calibration>>>;

/** All that an experiment has found. */
export interface ExperimentResults {
  readonly bases: readonly BaseResult[];
  readonly calibrations: Readonly<Record<number, Calibrations>>;
  readonly arms: readonly ArmResult[];
}

/** Runs what is not stored yet. Throws the signal's reason where it is ended; what was finished is stored. */
export async function runExperiment(experiment: Experiment, store: Store): Promise<ExperimentResults> {
  const bases: BaseResult[] = [];
  const calibrations: Record<number, Calibrations> = {};
  const results: ArmResult[] = [];
  for (const seed of experiment.seeds) {
    experiment.signal?.throwIfAborted();
    const base = await baseOf(seed, experiment, store);
    calibrations[seed] = await calibrationsOf(base, experiment, store);
    for (const arm of experiment.arms) {
      experiment.signal?.throwIfAborted();
      const settings = armSettings(arm, experiment);
      results.push(
        await store.result(`seed-${seed}/${arm.name}`, settings, () => runArm(arm, base, calibrations[seed], experiment)),
      );
    }
    const { model, ...told } = base;
    bases.push(told);
    disposeAll(model.parameters);
  }
  return { bases, calibrations, arms: results };
}

/** What the arms need of it. */
async function calibrationsOf(base: Base, experiment: Experiment, store: Store): Promise<Calibrations> {
  const calibrations: { -readonly [curvature in Curvature]?: Calibration } = {};
  for (const curvature of curvaturesOf(experiment)) {
    calibrations[curvature] = await calibrationOf(base, { ...experiment, curvature }, store);
  }
  return calibrations;
}

/** The settings that the result of an arm depends on: those of the experiment without what concerns other arms. */
export function armSettings(arm: Arm, { settings }: Experiment): unknown {
  const { learningRates: _, distillation, calibration, ...shared } = settings;
  const { name, alpha, untrained, quantizer } = arm;
  return {
    ...shared,
    ...(distillation && quantizer !== "none" && !untrained ? { distillation } : {}),
    ...(alpha === undefined
      ? {}
      : { calibration: { ...calibration, curvature: curvatureOf(arm, settings), ...guidanceOf(arm, settings) } }),
    arm: { ...armOptions(arm, settings), name, alpha, untrained },
  };
}

/** What the training of an arm is called. */
export const armTitle = (seed: number, { label }: Pick<Arm, "label">): string => `seed ${seed}, ${label}`;

async function runArm(arm: Arm, base: Base, calibrations: Calibrations, experiment: Experiment): Promise<ArmResult> {
  const { settings } = experiment;
  const options = armOptions(arm, settings);
  const { groupSize } = options;
  const told = { arm: arm.name, seed: base.seed };
  const ofWeights = { groupSize: arm.quantizer === "none" ? settings.arm.groupSize : groupSize };
  if (arm.untrained) {
    const model = { ...base.model, quantization: { quantizer: arm.quantizer, groupSize, ...givenRules("weights", options) } };
    const heldOut = await heldOutRounded(model, experiment, settings.evaluation.batches);
    const histogram = await weightHistogram(model, ofWeights);
    const nothing = { trainingLosses: [], pressures: [], temperatures: [], curve: [], weights: [], secondsPerStep: null };
    return { ...told, heldOut, histogram, ...nothing };
  }
  const watch = new WeightWatch(ofWeights.groupSize);
  const curve: { step: number; lossNats: number }[] = [];
  const points = pointsOf(options.steps, settings.evaluation.points);
  const { model, steps } = await trainLogged(armTitle(base.seed, arm), base.model, {
    ...options,
    ...(arm.alpha !== undefined
      ? { temperatureScales: scalesOf(calibrations[curvatureOf(arm, settings)]!, guidanceOf(arm, settings)) }
      : {}),
    ...(settings.distillation && arm.quantizer !== "none"
      ? { distillation: { ...settings.distillation, teacher: base.model } }
      : {}),
    observe: async ({ step, model }) => {
      if (points.has(step) || points.has(step + 1)) watch.observe(step, model);
      if (!points.has(step) || step === options.steps) return;
      const { lossNats } = await heldOutRounded(model, experiment, settings.evaluation.curveBatches);
      curve.push({ step, lossNats });
    },
  }, { ...experiment, seed: seedFor(base.seed, "quantize") });
  const result = {
    ...told,
    heldOut: await heldOutRounded(model, experiment, settings.evaluation.batches),
    trainingLosses: steps.map(({ lossNats }) => lossNats),
    pressures: steps.flatMap(({ pressure }) => pressure ?? []),
    temperatures: steps.flatMap(({ temperature }) => temperature ?? []),
    curve,
    weights: (await watch.read()).filter(({ flips }) => flips !== null),
    histogram: await weightHistogram(model, ofWeights),
    secondsPerStep: median(steps.map(({ tokensPerSecond }) => settings.batchSize * settings.sequenceLength / tokensPerSecond)),
  };
  disposeAll(model.parameters);
  return result;
}

/** Held-out loss of the model that would be packed. */
async function heldOutRounded(model: TrainedModel, experiment: Experiment, batches: number): Promise<HeldOut> {
  const rounded = roundedModel(model);
  const heldOut = await heldOutOf(rounded, experiment, batches);
  const made = Object.entries(rounded.parameters).filter(([name, value]) => value !== model.parameters[name]);
  made.forEach(([, value]) => value.dispose());
  return heldOut;
}

/** Evenly spaced steps, the last one included. */
function pointsOf(steps: number, points: number): ReadonlySet<number> {
  return new Set(Array.from({ length: points }, (_, point) => Math.round(steps * (point + 1) / points)));
}

/** Temperature scales of a strength, from the scores of a calibration. */
export function scalesOf({ scores }: Calibration, guidance: GuidanceOptions): Record<string, number> {
  return Object.fromEntries(Object.entries(scores).map(([name, score]) => [name, scaleOfScore(score, guidance)]));
}

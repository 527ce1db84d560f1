/**
 * Learning rates over the steps of training.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";

/** Shape of a learning rate after its warm-up. */
export type ScheduleStyle = "wsd" | "cosine" | "linear" | "constant" | "twoStage" | "twoStageLinear";

/** Every style, for messages and commands. */
export const scheduleStyles: readonly ScheduleStyle[] = ["wsd", "cosine", "linear", "constant", "twoStage", "twoStageLinear"];

/** Settings of a learning-rate schedule. */
export interface ScheduleOptions {
  /**
   * - `wsd` (the default): warm-up, stable, decay (Hu et al., "MiniCPM", 2024): one until the last `decayRatio` of the steps, then half a cosine
   *   down to `minRatio`
   * - `cosine`: half a cosine down to `minRatio` (Loshchilov and Hutter, "SGDR", 2017)
   * - `linear`: a line down to `minRatio`
   * - `constant`: one
   * - `twoStage`: the cosine times `firstScale`, from `stageBoundary` on times `secondScale`
   * - `twoStageLinear`: a line that would reach zero `totalSteps` after the warm-up, times `firstScale`; from `stageBoundary` on the line from
   *   one at step zero to zero at the end, times `secondScale` (BitNet b1.58 trains in such stages)
   */
  readonly style?: ScheduleStyle;
  /** Steps of training, the warm-up included. */
  readonly totalSteps: number;
  /** Steps of a linear rise from zero: the multiplier of step s is s / warmupSteps. 0 by default. */
  readonly warmupSteps?: number;
  /** Share of all steps, the last ones, in which `wsd` decays; 0.1 by default. */
  readonly decayRatio?: number;
  /** Multiplier at the end of `wsd`, `cosine`, `linear` and `twoStage`; 0.1 by default. */
  readonly minRatio?: number;
  /** Share of all steps after which the second stage begins; 0.5 by default. */
  readonly stageBoundary?: number;
  /** Multiplier of the first stage; 1 by default. */
  readonly firstScale?: number;
  /** Multiplier of the second stage; 2/3 by default. */
  readonly secondScale?: number;
}

type Settings = Required<ScheduleOptions>;
type Shape = (step: number, settings: Settings) => number;

/** Share of the steps after the warm-up that are over, 0 to 1. */
const progressOf = (step: number, { totalSteps, warmupSteps }: Settings) =>
  Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));

/** From 1 at progress 0 to `minRatio` at progress 1. */
const halfCosine = (progress: number, { minRatio }: Settings) =>
  minRatio + (1 - minRatio) * (1 + Math.cos(Math.PI * Math.min(1, progress))) / 2;

const inSecondStage = (step: number, { totalSteps, stageBoundary }: Settings) => step >= totalSteps * stageBoundary;

const shapes: Readonly<Record<ScheduleStyle, Shape>> = {
  wsd: (step, settings) => {
    const decaySteps = settings.totalSteps * settings.decayRatio;
    const left = settings.totalSteps - step;
    return left >= decaySteps ? 1 : halfCosine(1 - left / decaySteps, settings);
  },
  cosine: (step, settings) => halfCosine(progressOf(step, settings), settings),
  linear: (step, settings) => 1 - (1 - settings.minRatio) * progressOf(step, settings),
  constant: () => 1,
  twoStage: (step, settings) =>
    halfCosine(progressOf(step, settings), settings) *
    (inSecondStage(step, settings) ? settings.secondScale : settings.firstScale),
  twoStageLinear: (step, settings) => {
    const { totalSteps, warmupSteps, firstScale, secondScale } = settings;
    const second = inSecondStage(step, settings);
    return Math.max(0, 1 - (step - (second ? 0 : warmupSteps)) / totalSteps) * (second ? secondScale : firstScale);
  },
};

/**
 * Multiplier of the peak learning rate at a step, 0 to 1. A pure function.
 *
 * @param step counted from 0: with a warm-up, the first step's multiplier is zero
 * @throws RangeError for an unknown style
 *
 * @example
 * ```ts
 * import { learningRateMultiplier } from "@hestia/hestia";
 * const rate = 1e-3 * learningRateMultiplier(50, { totalSteps: 1000, warmupSteps: 100 }); // 5e-4
 * ```
 */
export function learningRateMultiplier(step: number, options: ScheduleOptions): number {
  const {
    style = "wsd",
    totalSteps,
    warmupSteps = 0,
    decayRatio = 0.1,
    minRatio = 0.1,
    stageBoundary = 0.5,
    firstScale = 1,
    secondScale = 2 / 3,
  } = options;
  if (!Object.hasOwn(shapes, style)) {
    throw atCaller(
      new RangeError(`Cannot schedule the learning rate in the style "${style}": wanted one of ${scheduleStyles.join(", ")}`),
    );
  }
  const settings = { style, totalSteps, warmupSteps, decayRatio, minRatio, stageBoundary, firstScale, secondScale };
  return step < warmupSteps ? step / warmupSteps : shapes[style](step, settings);
}

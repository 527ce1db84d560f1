/**
 * Learning rates over the steps of training.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { checkOptions, notNegative, share } from "../core/options.ts";
import { type RuleOptions, rulesOf, type ScheduleRules } from "../recipes.ts";

/** Shape of a learning rate after its warm-up. */
export type ScheduleStyle = "wsd" | "cosine" | "linear" | "constant" | "twoStage" | "twoStageLinear";

/** Every style, for messages and commands. */
export const scheduleStyles: readonly ScheduleStyle[] = ["wsd", "cosine", "linear", "constant", "twoStage", "twoStageLinear"];

/** Settings of a learning-rate schedule. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface ScheduleOptions extends RuleOptions<ScheduleRules> {
  /**
   * - `wsd` (the default): warm-up, stable, decay (Hu et al., "MiniCPM", 2024): one until the last `decaySteps`, then half a cosine down to
   *   `minRatio`
   * - `cosine`: half a cosine down to `minRatio` (Loshchilov and Hutter, "SGDR", 2017)
   * - `linear`: a line down to `minRatio`
   * - `constant`: one
   * - `twoStage`: warm-up and cosine times `firstScale`, from `stageBoundary` on the cosine times `secondScale`
   * - `twoStageLinear`: a line that would reach zero `totalSteps` after the warm-up, times `firstScale`; from `stageBoundary` on the line from
   *   one at step zero to zero at the end, times `secondScale` (BitNet b1.58 trains in such stages)
   */
  readonly style?: ScheduleStyle;
  /** Steps of training, the warm-up included. */
  readonly totalSteps: number;
  /** Steps of a linear rise to one from where `warmupStart` says. By default the share `warmupRatio` of all steps, made whole. */
  readonly warmupSteps?: number;
  /** Share of all steps, the first ones, in which the rate rises; 0 by default. */
  readonly warmupRatio?: number;
  /** Last steps, in which `wsd` decays. By default the share `decayRatio` of all steps, rounded down. */
  readonly decaySteps?: number;
  /** Share of all steps, the last ones, in which `wsd` decays; 0.1 by default. */
  readonly decayRatio?: number;
  /** Multiplier at the end of `wsd`, `cosine`, `linear` and `twoStage`; 0.1 by default. */
  readonly minRatio?: number;
  /** Share of all steps after which the second stage begins, in `twoStage` rounded down; 0.5 by default. */
  readonly stageBoundary?: number;
  /** Multiplier of the first stage; 1 by default. */
  readonly firstScale?: number;
  /** Multiplier of the second stage; 2/3 by default. */
  readonly secondScale?: number;
}

type Settings =
  & ScheduleRules
  & Required<Omit<ScheduleOptions, keyof ScheduleRules | "recipe" | "warmupRatio" | "decayRatio">>;
type Shape = (step: number, settings: Settings) => number;

/** Share of the steps after the warm-up that are over, 0 to 1. */
const progressOf = (step: number, { totalSteps, warmupSteps }: Settings) =>
  Math.min(1, (step - warmupSteps) / Math.max(1, totalSteps - warmupSteps));

/** From 1 at progress 0 to `minRatio` at progress 1. */
const halfCosine = (progress: number, { minRatio }: Settings) =>
  minRatio + (1 - minRatio) * (1 + Math.cos(Math.PI * Math.min(1, progress))) / 2;

const shapes: Readonly<Record<ScheduleStyle, Shape>> = {
  wsd: (step, settings) => {
    const { totalSteps, warmupSteps, decaySteps, decayAfterWarmup, minRatio } = settings;
    if (step >= totalSteps) return minRatio;
    const start = Math.max(totalSteps - decaySteps, decayAfterWarmup ? warmupSteps : 0);
    return step < start ? 1 : halfCosine((step - start) / Math.max(1, totalSteps - start), settings);
  },
  cosine: (step, settings) => halfCosine(progressOf(step, settings), settings),
  linear: (step, settings) => 1 - (1 - settings.minRatio) * progressOf(step, settings),
  constant: () => 1,
  twoStage: (step, settings) => {
    const { totalSteps, stageBoundary, firstScale, secondScale } = settings;
    const scale = step < Math.floor(totalSteps * stageBoundary) ? firstScale : secondScale;
    return halfCosine(progressOf(step, settings), settings) * scale;
  },
  twoStageLinear: (step, settings) => {
    const { totalSteps, warmupSteps, stageBoundary, firstScale, secondScale } = settings;
    const second = step >= totalSteps * stageBoundary;
    return Math.max(0, 1 - (step - (second ? 0 : warmupSteps)) / totalSteps) * (second ? secondScale : firstScale);
  },
};

/**
 * Multiplier of the peak learning rate at a step, 0 to 1. A pure function.
 *
 * The recipe "hestia-2026" schedules as Hugging Face's trainer does: a warm-up begins at `minRatio`, not at zero, and one that is given as a share
 * is rounded up; decays are rounded down. In the recipe "hestia-2025" warm-ups begin at zero and are rounded down.
 *
 * @param step counted from 0
 * @throws RangeError for an unknown style
 *
 * @example
 * ```ts
 * import { learningRateMultiplier } from "@hestia/hestia";
 * const schedule = { totalSteps: 1000, warmupSteps: 100, minRatio: 0.1 };
 * const rate = 1e-3 * learningRateMultiplier(50, schedule); // 5.5e-4: half of the way from 1e-4
 * const other = 1e-3 * learningRateMultiplier(50, { ...schedule, warmupStart: "zero" }); // 5e-4
 * ```
 */
export function learningRateMultiplier(step: number, options: ScheduleOptions): number {
  checkOptions("Cannot schedule the learning rate at the", { step }, { step: notNegative });
  const settings = settingsOf(options);
  const { style, warmupSteps, warmupStart, minRatio, firstScale } = settings;
  if (step >= warmupSteps) return shapes[style](step, settings);
  const first = warmupStart === "minimum" ? minRatio : 0;
  return (first + (1 - first) * step / warmupSteps) * (style === "twoStage" ? firstScale : 1);
}

/** What numbers may be. */
const numbers = {
  totalSteps: notNegative,
  warmupSteps: notNegative,
  decaySteps: notNegative,
  warmupRatio: share,
  decayRatio: share,
  stageBoundary: share,
  minRatio: notNegative,
  firstScale: notNegative,
  secondScale: notNegative,
};

function settingsOf(options: ScheduleOptions): Settings {
  checkOptions("Cannot schedule the learning rate by the", options, numbers);
  const { style = "wsd", totalSteps, minRatio = 0.1, warmupRatio = 0, decayRatio = 0.1 } = options;
  if (!Object.hasOwn(shapes, style)) {
    throw atCaller(
      new RangeError(`Cannot schedule the learning rate in the style "${style}": wanted one of ${scheduleStyles.join(", ")}`),
    );
  }
  const rules = rulesOf("schedule", options);
  const whole = rules.warmupRounding === "up" ? Math.ceil : Math.floor;
  const { warmupSteps = whole(totalSteps * warmupRatio) } = options;
  const { decaySteps = Math.floor(totalSteps * decayRatio) } = options;
  const { stageBoundary = 0.5, firstScale = 1, secondScale = 2 / 3 } = options;
  return { ...rules, style, totalSteps, minRatio, warmupSteps, decaySteps, stageBoundary, firstScale, secondScale };
}

/**
 * Pressure and temperature over the steps of training.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { checkOptions, notNegative } from "../core/options.ts";
import { type AnnealingRules, type RuleOptions, rulesOf } from "../recipes.ts";

/** Shape of the temperature's way from its start to its end. */
export type AnnealingStyle = "cosine" | "linear";

/** Every style, for messages and commands. */
export const annealingStyles: readonly AnnealingStyle[] = ["cosine", "linear"];

/** Settings of an annealing schedule. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface AnnealingOptions extends RuleOptions<AnnealingRules> {
  /** Steps of training, the hard ones included. */
  readonly totalSteps: number;
  /** Steps at the end that run hard: temperature zero, full pressure. 0 by default; the soft schedule takes the steps before them. */
  readonly hardSteps?: number;
  /** Share of the soft steps in which pressure rises from 0 to 1; 0.2 by default. */
  readonly compressRatio?: number;
  /** Share of the soft steps, the last ones, in which temperature falls; all after the pressure has risen by default. */
  readonly annealRatio?: number;
  /** Temperature of the first step; 0.3 by default. `optimalTemperature()` has the least expected error on Gaussian weights. */
  readonly initialTemperature?: number;
  /**
   * Temperature that the soft schedule ends at; 0 by default. Below 0.05 hardly a weight still changes its code, so that where much is left
   * to learn, as from scratch, 0.05 to 0.1 ends better, though the weights are then rounded a little: see docs/RESULTS.md.
   */
  readonly endTemperature?: number;
  /** "cosine" (the default) or "linear". */
  readonly style?: AnnealingStyle;
}

/** State of the annealing at one step: what a quantizer is given. */
export interface AnnealingState {
  /** At least 0, in units of the squared scale of a weight. */
  readonly temperature: number;
  /** 0 to 1. */
  readonly pressure: number;
  /** Whether the temperature has reached zero, where weights are rounded. */
  readonly hard: boolean;
}

/** A schedule: a pure function of the step. */
export interface Annealing {
  /**
   * State at a step counted from 0. `scale` multiplies the temperature throughout: the guidance that a tensor's curvature gives.
   */
  at(step: number, options?: { readonly scale?: number }): AnnealingState;
}

/**
 * Annealing schedule. With progress r = step / soft steps, pressure rises as r / compressRatio up to 1, and the temperature keeps its
 * initial value while r <= 1 - annealRatio, then falls to the end temperature along a line or half a cosine.
 *
 * The code of 2025 applies a tensor's scale to its linear and cosine schedules only before the fall begins, where the temperature then
 * jumps, and has a third style, `hessian`, which is a cosine that keeps the scale. Here every style keeps it, as the release of 2026 does.
 *
 * @throws RangeError for a setting outside of its range
 *
 * @example
 * ```ts
 * import { annealing } from "@hestia/hestia";
 * const schedule = annealing({ totalSteps: 2000, hardSteps: 100 });
 * console.log(schedule.at(0), schedule.at(1000, { scale: 0.78 }), schedule.at(1999).hard); // …, …, true
 * ```
 */
export function annealing(options: AnnealingOptions): Annealing {
  const { totalSteps, hardSteps = 0, endTemperature = 0 } = options;
  const { initialTemperature, compressRatio, style, ...rules } = rulesOf("annealing", options);
  const { annealRatio = 1 - compressRatio } = rules;
  if (!(Number.isInteger(totalSteps) && totalSteps >= 0)) {
    throw atCaller(new RangeError(`Cannot anneal over totalSteps ${totalSteps}: wanted an integer of at least 0`));
  }
  checkRange({ compressRatio, annealRatio }, { maximum: 1 });
  checkRange({ initialTemperature, endTemperature }, { maximum: Infinity });
  checkRange({ hardSteps }, { maximum: totalSteps });
  if (rules.annealRatio === undefined && compressRatio === 1) {
    throw atCaller(
      new RangeError("Cannot anneal with compressRatio 1: wanted less, or an annealRatio, so that the temperature can fall"),
    );
  }
  if (!annealingStyles.includes(style)) {
    throw atCaller(new RangeError(`Cannot anneal in the style "${style}": wanted one of ${annealingStyles.join(", ")}`));
  }
  const softSteps = totalSteps - hardSteps;
  return {
    at(step, { scale = 1 } = {}) {
      checkOptions("Cannot anneal at the", { step, scale }, { step: notNegative, scale: notNegative });
      if (hardSteps > 0 && step >= softSteps) return { temperature: 0, pressure: 1, hard: true };
      const progress = step < softSteps ? step / softSteps : 1;
      const share = remaining(progress, { annealRatio, style });
      const temperature = scale * (endTemperature + (initialTemperature - endTemperature) * share);
      return { temperature, pressure: compressRatio === 0 ? 1 : Math.min(progress / compressRatio, 1), hard: temperature === 0 };
    },
  };
}

/** Share of the way that the temperature has still to fall, 1 to 0. */
function remaining(
  progress: number,
  { annealRatio, style }: { readonly annealRatio: number; readonly style: AnnealingStyle },
): number {
  const start = 1 - annealRatio;
  if (progress <= start) return 1;
  return style === "linear" ? (1 - progress) / annealRatio : (1 + Math.cos(Math.PI * (progress - start) / annealRatio)) / 2;
}

function checkRange(values: Readonly<Record<string, number>>, { maximum }: { maximum: number }): void {
  for (const [name, value] of Object.entries(values)) {
    if (value >= 0 && value <= maximum && Number.isFinite(value)) continue;
    const wanted = maximum === Infinity ? "a finite number of at least 0" : `0 to ${maximum}`;
    throw atCaller(new RangeError(`Cannot anneal with ${name} ${value}: wanted ${wanted}`));
  }
}

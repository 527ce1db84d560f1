/**
 * Groups of weights that share one scale.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import { requireFloat, type Tensor } from "../tensor.ts";

/** Smallest scale of a group where it is learned, so that it divides by something. */
export const minimumScale = 1e-5;

/** How precise scales are. */
export type ScaleDType = "float32" | "float16";

/** A weight shaped so that each group lies along whole axes. */
export interface GroupView {
  /** The weight's elements in their order. */
  readonly values: Tensor;
  /** Axes of `values` that one group spans; a reduction over them, with its dimensions kept, broadcasts back. */
  readonly axes: readonly number[];
}

/** The way weights are grouped, and what they become: integers and the scale of each group. */
export interface Codes {
  /** int32, of the weight's shape. */
  readonly codes: Tensor;
  /** float32 `[groups]`, in row-major order of the groups. The quantized weight is code times scale. */
  readonly scales: Tensor;
}

/**
 * Sees a weight as groups. A view: nothing is copied.
 *
 * @param weight floating-point, output channels along the first axis
 * @param groupSize 0: the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis
 * @throws TypeError for integers; RangeError when the groups do not divide the weight
 */
export function groupView(weight: Tensor, groupSize: number): GroupView {
  requireFloat(weight, "quantize");
  const { shape } = weight;
  const fail = (why: string) => atCaller(new RangeError(`Cannot quantize ${weight} in groups of ${groupSize}: ${why}`));
  if (!Number.isInteger(groupSize) || groupSize < -1) {
    throw fail("wanted 0 (whole tensor), -1 (one per output channel) or a positive integer");
  }
  if (weight.size === 0) throw fail("there is no element");
  const axes = [...shape.keys()];
  if (groupSize === 0) return { values: weight, axes };
  if (groupSize === -1) {
    if (shape.length < 2) throw fail("wanted at least two axes, of which the first counts output channels");
    return { values: weight, axes: axes.slice(1) };
  }
  const length = shape.at(-1) ?? 1;
  if (length % groupSize !== 0) throw fail(`the last length must be a multiple of the group size, got ${length}`);
  return { values: weight.reshape([...shape.slice(0, -1), length / groupSize, groupSize]), axes: [shape.length] };
}

/** How scales are made of magnitudes. */
export type ScaleOptions = RuleOptions<Pick<WeightRules, "scaleRule" | "scaleEpsilon">> & {
  /** "float16" rounds scales to half precision; "float32" by default. */
  readonly scaleDtype?: ScaleDType;
};

/**
 * Scale of each group: the mean magnitude plus a small number, or at least that number, by the rule of the recipe. Differentiable; the
 * gradient is zero where the least scale acts, and rounding to float16 passes it straight through.
 *
 * @returns float32, of the rank of `values`, with length 1 along the groups' axes
 */
export function absmeanScale({ values, axes }: GroupView, options: ScaleOptions = {}): Tensor {
  const { scaleRule, scaleEpsilon } = rulesOf("weights", options);
  const mean = values.abs().mean({ axes, keepDims: true });
  const scale = scaleRule === "offset" ? mean.add(scaleEpsilon) : mean.maximum(scaleEpsilon);
  return scale.cast(options.scaleDtype ?? "float32").cast("float32");
}

/**
 * Groups of weights that share one scale.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { requireFloat, type Tensor } from "../tensor.ts";

/** Smallest scale of a group, so that a group of zeros divides by something. */
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

/**
 * Scale of each group: the mean magnitude, at least {@linkcode minimumScale}, in float16 rounded to half precision. Differentiable; the
 * gradient is zero where the minimum acts, and rounding passes it straight through.
 *
 * @returns float32, of the rank of `values`, with length 1 along the groups' axes
 */
export function absmeanScale({ values, axes }: GroupView, { scaleDtype = "float32" }: { scaleDtype?: ScaleDType } = {}): Tensor {
  return values.abs().mean({ axes, keepDims: true }).maximum(minimumScale).cast(scaleDtype).cast("float32");
}

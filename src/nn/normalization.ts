/**
 * Normalisation.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { checkNorm } from "./checks.ts";

/** What {@linkcode rmsNorm} multiplies by, and adds to the mean of the squares. */
export interface RmsNorm {
  /** float32 `[width]`. */
  readonly weight: Tensor;
  /** At least 0. */
  readonly epsilon: number;
}

/**
 * Root-mean-square normalisation over the last axis: `x / sqrt(mean(x²) + epsilon) * weight`
 * (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019).
 *
 * @param x `[…, width]`
 * @param weight `[width]`
 * @returns the shape of `x`
 *
 * @example
 * ```ts
 * import { ones, rmsNorm, tensor } from "@hestia/hestia";
 * console.log(await rmsNorm(tensor([[3, -3]]), ones([2])).data()); // about 1, -1
 * ```
 */
export function rmsNorm(x: Tensor, weight: Tensor, { epsilon = 1e-5 }: { epsilon?: number } = {}): Tensor {
  checkNorm(x, weight, epsilon);
  return x.div(x.square().mean({ axes: -1, keepDims: true }).add(epsilon).sqrt()).mul(weight);
}

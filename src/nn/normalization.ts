/**
 * Normalisation.
 *
 * @module
 */

import { applyFused, type Tensor } from "../tensor.ts";
import { checkNorm } from "./checks.ts";
import { rmsNormForward } from "./fused.ts";

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
  const fits = x.dtype === "float32" && weight.dtype === "float32";
  return fits ? applyFused(rmsNormForward, [x, weight], { epsilon }) : rmsNormForward.compose([x, weight], { epsilon });
}

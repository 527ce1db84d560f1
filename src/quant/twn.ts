/**
 * Ternary weight networks: a threshold, and the scale that fits what lies beyond it.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { straightThrough } from "./estimators.ts";
import { type GroupView, groupView, minimumScale } from "./groups.ts";
import type { Quantizer } from "./quantizer.ts";

/** Threshold in units of the mean magnitude: close to optimal for Gaussian and uniform weights, by the paper. */
const thresholdShare = 0.7;

/** Codes -1, 0, 1 and the scale of each group that goes with them, shaped to broadcast. */
export function thresholded({ values, axes }: GroupView): { readonly codes: Tensor; readonly scale: Tensor } {
  const magnitude = values.abs();
  const reduced = { axes, keepDims: true };
  const beyond = magnitude.mean(reduced).mul(thresholdShare).less(magnitude).cast("float32");
  const scale = magnitude.mul(beyond).sum(reduced).div(beyond.sum(reduced).maximum(1)).maximum(minimumScale);
  return { codes: values.sign().mul(beyond), scale };
}

/**
 * A weight by its sign where its magnitude exceeds 0.7 times the mean magnitude of its group, and zero elsewhere, times the mean magnitude
 * of those that exceed it (TWN: Li, Zhang and Liu, "Ternary weight networks", arXiv 1605.04711, 2016). The gradient is the identity.
 *
 * @param weight floating-point, output channels along the first axis
 * @param options.groupSize as for every quantizer; the paper has one group for a layer
 * @returns float32, of the weight's shape
 * @throws TypeError for integers, RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * console.log(await quantizers.twn.quantize(tensor([[0.5, -1, 0.1, 0]]), { groupSize: 0 }).data()); // 0.75, -0.75, 0, 0
 * ```
 */
export function twn(weight: Tensor, { groupSize = 0 }: { readonly groupSize?: number } = {}): Tensor {
  const view = groupView(weight, groupSize);
  const { codes, scale } = thresholded(view);
  return straightThrough(codes.mul(scale), view.values).reshape(weight.shape);
}

/** TWN as the registry of quantizers lists it. */
export const twnQuantizer: Quantizer = {
  name: "twn",
  summary: "Ternary weight networks: a threshold of 0.7 mean magnitudes, straight-through",
  anneals: false,
  ternary: true,
  quantize: (weight, { groupSize }) => twn(weight, { groupSize }),
  codes(weight, { groupSize }) {
    const { codes, scale } = thresholded(groupView(weight, groupSize));
    return { codes: codes.cast("int32").reshape(weight.shape), scales: scale.reshape([scale.size]) };
  },
};

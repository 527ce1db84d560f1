/**
 * Ternary weights with a straight-through gradient: the baseline that relaxations are measured against.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { absmeanCodes, nearestCode, ternaryCodebook } from "./codebook.ts";
import { absmeanScale, groupView, type ScaleDType } from "./groups.ts";
import type { Quantizer } from "./quantizer.ts";

/** Settings of ternary quantization. */
export interface TernaryOptions {
  /** 0 (the default): the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis. */
  readonly groupSize?: number;
  /** "float16" rounds scales to half precision, as packed formats store them; "float32" by default. */
  readonly scaleDtype?: ScaleDType;
}

/**
 * A weight rounded to {-1, 0, 1} times the mean magnitude of its group (BitNet b1.58, Ma et al., 2024), half to even. The gradient is the
 * identity: the scale counts as a constant, unlike that of `hestia`.
 *
 * @param weight floating-point, output channels along the first axis
 * @returns float32, of the weight's shape
 * @throws RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { ternary, tensor } from "@hestia/hestia";
 * console.log(await ternary(tensor([[0.9, -0.1, -0.8, 0.2]])).data()); // 0.5, 0, -0.5, 0
 * ```
 */
export function ternary(weight: Tensor, { groupSize = 0, scaleDtype }: TernaryOptions = {}): Tensor {
  const view = groupView(weight, groupSize);
  const scale = absmeanScale(view, { scaleDtype });
  const quantized = scale.mul(nearestCode(view.values.div(scale), ternaryCodebook)).stopGradient();
  // the second term is zero, with the derivative of the identity; the sum is exact, as w + (q - w) is not
  return quantized.add(view.values.sub(view.values.stopGradient())).reshape(weight.shape);
}

/** The straight-through baseline as the registry of quantizers lists it. */
export const ternaryQuantizer: Quantizer = {
  name: "ternary",
  summary: "Absmean rounding to ternary with a straight-through gradient",
  anneals: false,
  ternary: true,
  roundsScales: true,
  quantize: (weight, { groupSize, scaleDtype }) => ternary(weight, { groupSize, scaleDtype }),
  codes: (weight, { groupSize, scaleDtype }) => absmeanCodes(weight, { groupSize, scaleDtype }),
};

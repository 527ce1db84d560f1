/**
 * Integer quantization of a few bits, with a straight-through gradient.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Tensor } from "../tensor.ts";
import { type Codes, groupView, minimumScale } from "./groups.ts";
import type { Quantizer } from "./quantizer.ts";

/** Settings of integer quantization. */
export interface IntegerOptions {
  /** Bits of a code, 2 to 8. */
  readonly bits: number;
  /**
   * Symmetric codes reach from -(2^(bits-1) - 1) to 2^(bits-1) - 1 and scale the largest magnitude; asymmetric ones are 2^bits levels
   * between the smallest and the largest weight, one of which is zero. True by default.
   */
  readonly symmetric?: boolean;
  /** 0 (the default): the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis. */
  readonly groupSize?: number;
  /**
   * Widens the range of an asymmetric group of one sign to zero; true by default. The published code does not, so that the zero point is
   * clamped, and most of such a group is cut off.
   */
  readonly includeZero?: boolean;
}

/** Codes (with the zero point taken off, so that code times scale is the weight) and scales, shaped to broadcast. */
function integers(weight: Tensor, { bits, symmetric = true, groupSize = 0, includeZero = true }: IntegerOptions) {
  if (!Number.isInteger(bits) || bits < 2 || bits > 8) {
    throw atCaller(new RangeError(`Cannot quantize ${weight} to ${bits} bits: wanted an integer from 2 to 8`));
  }
  const view = groupView(weight, groupSize);
  const largest = (x: Tensor) => x.max({ axes: view.axes, keepDims: true });
  if (symmetric) {
    const limit = 2 ** (bits - 1) - 1;
    const scale = largest(view.values.abs()).maximum(minimumScale).div(limit);
    return { view, scale, codes: view.values.div(scale).round().maximum(-limit).minimum(limit) };
  }
  const top = 2 ** bits - 1;
  const [low, high] = [largest(view.values.neg()).neg(), largest(view.values)];
  const [from, to] = includeZero ? [low.minimum(0), high.maximum(0)] : [low, high];
  const scale = to.sub(from).maximum(minimumScale).div(top);
  const zero = from.div(scale).neg().round().maximum(0).minimum(top);
  return { view, scale, codes: view.values.div(scale).round().add(zero).maximum(0).minimum(top).sub(zero) };
}

/**
 * A weight rounded to integers times the scale of its group, half to even. The gradient is the identity.
 *
 * @param weight floating-point, output channels along the first axis
 * @returns float32, of the weight's shape
 * @throws RangeError when the bits are out of range, or the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * console.log(await quantizers.w4_sym.quantize(tensor([[7, -2.2, 0.4]]), { groupSize: 0 }).data()); // 7, -2, 0
 * ```
 */
export function integer(weight: Tensor, options: IntegerOptions): Tensor {
  const { view, scale, codes } = integers(weight, options);
  const quantized = codes.mul(scale).stopGradient();
  // the second term is zero, with the derivative of the identity
  return quantized.add(view.values.sub(view.values.stopGradient())).reshape(weight.shape);
}

/** The integers and scales of {@linkcode integer}, for packing. */
export function integerCodes(weight: Tensor, options: IntegerOptions): Codes {
  const { scale, codes } = integers(weight, options);
  return { codes: codes.cast("int32").reshape(weight.shape), scales: scale.reshape([scale.size]) };
}

/** The quantizers that the registry lists, under the names of the published code. */
function integerQuantizer(bits: number, { symmetric }: { readonly symmetric: boolean }): Quantizer {
  return {
    name: `w${bits}_${symmetric ? "sym" : "asym"}`,
    summary: `${bits}-bit ${symmetric ? "symmetric" : "asymmetric"} integers with a straight-through gradient`,
    anneals: false,
    ternary: false,
    quantize: (weight, { groupSize }) => integer(weight, { bits, symmetric, groupSize }),
    codes: (weight, { groupSize }) => integerCodes(weight, { bits, symmetric, groupSize }),
  };
}

/** Name of an integer quantizer: its bits, and whether its codes are symmetric. */
export type IntegerQuantizerName = `w${2 | 3 | 4 | 8}_${"sym" | "asym"}`;

/** Integer quantizers by name. */
export const integerQuantizers: Readonly<Record<IntegerQuantizerName, Quantizer>> = {
  w2_sym: integerQuantizer(2, { symmetric: true }),
  w2_asym: integerQuantizer(2, { symmetric: false }),
  w3_sym: integerQuantizer(3, { symmetric: true }),
  w3_asym: integerQuantizer(3, { symmetric: false }),
  w4_sym: integerQuantizer(4, { symmetric: true }),
  w4_asym: integerQuantizer(4, { symmetric: false }),
  w8_sym: integerQuantizer(8, { symmetric: true }),
  w8_asym: integerQuantizer(8, { symmetric: false }),
};

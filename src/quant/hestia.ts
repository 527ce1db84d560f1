/**
 * The Hestia relaxation: ternary weights that harden as a temperature falls (arXiv 2601.20745).
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { Tensor } from "../tensor.ts";
import { absmeanCodes, checkCodebook, ternaryCodebook } from "./codebook.ts";
import { groupView } from "./groups.ts";
import { fusedRelaxation } from "./hestia_fused.ts";
import type { Quantizer } from "./quantizer.ts";
import { isTernary, type Relaxation, relaxed, sharpnessOf } from "./relaxation.ts";

/** Settings of the relaxation. */
export interface HestiaOptions {
  /**
   * Width of the transitions between codes, in units of the scale: a number of at least 0, or a float32 scalar tensor above 0 (an input of
   * a compiled step). The number 0 stands for `hard`. May be left out when `hard` is set.
   */
  readonly temperature?: number | Tensor;
  /** Share of the quantized weight in the result, 0 (the weight itself) to 1 (the default): a number or a float32 scalar tensor. */
  readonly pressure?: number | Tensor;
  /** 0 (the default): the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis. */
  readonly groupSize?: number;
  /** Values of a weight in units of its scale, ascending; [-1, 0, 1] by default. */
  readonly codebook?: readonly number[];
  /**
   * The limit of temperature zero: weights are rounded, and gradients pass straight through. A graph cannot branch on a tensor, so this
   * is a choice of the caller: a training loop compiles one step for the soft phase and one for the hard phase.
   */
  readonly hard?: boolean;
  /** "float16" rounds scales to half precision (largest 65 504), as packed formats hold them; "float32" by default. */
  readonly scaleDtype?: "float32" | "float16";
  /** Whether gradients flow through the scale, as published (the default); otherwise it counts as a constant. */
  readonly scaleGradient?: boolean;
}

/**
 * Relaxed quantization of a weight, differentiable to any order.
 *
 * With s = max(mean|w|, 1e-5) of the group and x = w / s, the quantized weight is q = s Σ p_c c with p = softmax(-(x - c)² / (T + 1e-6)) over
 * the codes c, and the result is (1 - λ) w + λ q at pressure λ. The scale is differentiated, unless `scaleGradient` is false. Hard: q is s times the
 * nearest code, and its derivative is the identity plus the derivative through s. Rounding s to float16 passes gradients straight through.
 *
 * @param weight floating-point, output channels along the first axis
 * @returns float32, of the weight's shape
 * @throws RangeError when the groups do not divide the weight, or a number lies outside of its range
 *
 * @example
 * ```ts
 * import { hestia, tensor } from "@hestia/hestia";
 * const weight = tensor([[0.9, -0.1, -0.8, 0.2]]);
 * console.log(await hestia(weight, { temperature: 0.35 }).data()); // between the weight and its ternary values
 * console.log(await hestia(weight, { hard: true }).data()); // 0.5, 0, -0.5, 0
 * ```
 */
export function hestia(weight: Tensor, options: HestiaOptions): Tensor {
  const { temperature, pressure = 1, groupSize = 0, codebook = ternaryCodebook, hard = temperature === 0 } = options;
  checkCodebook(codebook);
  checkNumber("pressure", pressure, { maximum: 1 });
  groupView(weight, groupSize); // throws what is wrong with them
  if (!hard) {
    if (temperature === undefined) {
      throw atCaller(new TypeError(`Cannot quantize ${weight}: wanted a temperature, or hard: true for the limit of zero`));
    }
    checkNumber("temperature", temperature, { maximum: Infinity });
  }
  const sharpness = hard ? 1 : sharpnessOf(temperature!);
  const { scaleDtype = "float32", scaleGradient = true } = options;
  const relaxation: Relaxation = { sharpness, pressure, groupSize, codebook, hard, scaleDtype, scaleGradient };
  const fits = isTernary(codebook) && scaleGradient && weight.dtype === "float32";
  return fits ? fusedRelaxation(weight, relaxation) : relaxed(weight, relaxation);
}

/** Throws unless a temperature or a pressure is a number in its range or a float32 scalar. */
export function checkNumber(name: string, value: number | Tensor, { maximum }: { readonly maximum: number }): void {
  if (value instanceof Tensor) {
    if (value.size === 1 && value.dtype === "float32") return;
    throw atCaller(new TypeError(`Cannot quantize at the ${name} ${value}: wanted a number or a float32 scalar`));
  }
  if (value >= 0 && value <= maximum && Number.isFinite(value)) return;
  const wanted = maximum === Infinity ? "a finite number of at least 0" : `a number from 0 to ${maximum}`;
  throw atCaller(new RangeError(`Cannot quantize at ${name} ${value}: wanted ${wanted}`));
}

/** Hestia as the registry of quantizers lists it. */
export const hestiaQuantizer: Quantizer = {
  name: "hestia",
  summary: "Softmax over the ternary codes, hardened by a falling temperature",
  anneals: true,
  ternary: true,
  roundsScales: true,
  quantize: (weight, { temperature, pressure, hard, groupSize, scaleDtype }) =>
    hestia(weight, { temperature, pressure, hard, groupSize, scaleDtype }),
  codes: (weight, { groupSize, scaleDtype }) => absmeanCodes(weight, { groupSize, scaleDtype }),
};

/** Hestia with scales that count as constants in the gradient, as those of straight-through baselines do: for comparisons. */
export const hestiaDetachedQuantizer: Quantizer = {
  ...hestiaQuantizer,
  name: "hestia_detached",
  summary: "Hestia without gradients through the scales",
  quantize: (weight, { temperature, pressure, hard, groupSize, scaleDtype }) =>
    hestia(weight, { temperature, pressure, hard, groupSize, scaleDtype, scaleGradient: false }),
};

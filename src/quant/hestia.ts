/**
 * The Hestia relaxation: ternary weights that harden as a temperature falls (arXiv 2601.20745).
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import { Tensor } from "../tensor.ts";
import { absmeanCodes, checkCodebook, ternaryCodebook } from "./codebook.ts";
import { groupView } from "./groups.ts";
import { fusedRelaxation } from "./hestia_fused.ts";
import type { Quantizer } from "./quantizer.ts";
import { isTernary, type Relaxation, relaxed, sharpnessOf } from "./relaxation.ts";

/** Settings of the relaxation. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface HestiaOptions extends RuleOptions<WeightRules> {
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
}

/**
 * Relaxed quantization of a weight, differentiable to any order.
 *
 * With s = mean|w| + 1e-5 of the group and x = w / s, the quantized weight is q = s Σ p_c c with p = softmax(-(x - c)² / T) over the codes c,
 * and the result is (1 - λ) w + λ q at pressure λ. The scale counts as a constant in derivatives of every order, and a tie between two
 * codes goes to the lower one. The recipe "hestia-2025" has s = max(mean|w|, 1e-5), T + 1e-6, a derivative through s, and ties to even; each
 * of these rules can be set alone. Hard: q is s times the nearest code, and its derivative is the identity, plus that through s where there
 * is one. Rounding s to float16 passes gradients straight through.
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
 * console.log(await hestia(weight, { hard: true }).data()); // 0.50001, 0, -0.50001, 0
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
  const { temperatureOffset, scaleRule, scaleEpsilon, scaleGradient, tieRule } = rulesOf("weights", options);
  const rules = { scaleRule, scaleEpsilon, scaleGradient, tieRule };
  const sharpness = hard ? 1 : sharpnessOf(temperature!, temperatureOffset);
  const { scaleDtype = "float32" } = options;
  const relaxation: Relaxation = { ...rules, sharpness, pressure, groupSize, codebook, hard, scaleDtype };
  return isTernary(codebook) && weight.dtype === "float32" ? fusedRelaxation(weight, relaxation) : relaxed(weight, relaxation);
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

/** Hestia over a codebook, as the registry of quantizers lists it. */
export function hestiaOver(codebook: readonly number[], { name, summary }: Pick<Quantizer, "name" | "summary">): Quantizer {
  return {
    name,
    summary,
    anneals: true,
    ternary: codebook.every((code) => [-1, 0, 1].includes(code)),
    roundsScales: true,
    quantize: (weight, state) => hestia(weight, { ...state, codebook }),
    ...(codebook.every(Number.isInteger) ? { codes: (weight, state) => absmeanCodes(weight, { ...state, codebook }) } : {}),
  };
}

/** Hestia as the method has it. */
export const hestiaQuantizer: Quantizer = hestiaOver(ternaryCodebook, {
  name: "hestia",
  summary: "Softmax over the ternary codes, hardened by a falling temperature",
});

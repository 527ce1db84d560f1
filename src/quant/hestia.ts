/**
 * The Hestia relaxation: ternary weights that harden as a temperature falls (arXiv 2601.20745).
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { constant, Tensor } from "../tensor.ts";
import { absmeanCodes, checkCodebook, nearestCode, ternaryCodebook } from "./codebook.ts";
import { absmeanScale, groupView } from "./groups.ts";
import type { Quantizer } from "./quantizer.ts";

/** What the softmax's temperature is raised by, so that a vanishing one divides by something. */
export const temperatureOffset = 1e-6;

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
}

/**
 * Relaxed quantization of a weight, differentiable to any order.
 *
 * With s = max(mean|w|, 1e-5) of the group and x = w / s, the quantized weight is q = s Σ p_c c with p = softmax(-(x - c)² / (T + 1e-6)) over
 * the codes c, and the result is (1 - λ) w + λ q at pressure λ. The scale is differentiated, not held constant. Hard: q is s times the
 * nearest code, and its derivative is the identity plus the derivative through s.
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
  const view = groupView(weight, groupSize);
  const scale = absmeanScale(view);
  const x = view.values.div(scale);
  if (hard) {
    const rounded = scale.mul(nearestCode(x, codebook).stopGradient());
    // the second term is zero, with the derivative of the identity
    return mix(view.values, rounded.add(view.values.sub(view.values.stopGradient())), pressure).reshape(weight.shape);
  }
  if (temperature === undefined) {
    throw atCaller(new TypeError(`Cannot quantize ${weight}: wanted a temperature, or hard: true for the limit of zero`));
  }
  checkNumber("temperature", temperature, { maximum: Infinity });
  return mix(view.values, scale.mul(softCode(x, { temperature, codebook })), pressure).reshape(weight.shape);
}

/**
 * Expected code of each element, Σ c softmax_c(-(x - c)² / (T + 1e-6)): the function that {@linkcode hestia} applies to weights in units of
 * their scale. Stable for any positive temperature.
 *
 * @param x float32
 */
export function softCode(
  x: Tensor,
  { temperature, codebook = ternaryCodebook }: { readonly temperature: number | Tensor; readonly codebook?: readonly number[] },
): Tensor {
  const sharpness = typeof temperature === "number"
    ? 1 / (temperature + temperatureOffset)
    : constant(1).div(temperature.add(temperatureOffset));
  // -(x - c)² without x², which all codes share: the softmax does not change, and near a border less is lost to rounding
  const logit = (code: number) => x.mul(2 * code).sub(code * code).mul(sharpness);
  const isTernary = codebook.length === 3 && codebook.every((code, index) => code === ternaryCodebook[index]);
  return isTernary ? expectedTernary(logit(1), logit(-1)) : expectedCode(codebook.map(logit), codebook);
}

/**
 * The case of three codes, whose middle one has logit zero: with A and B the sigmoids of the outer logits, (A - B) / (1 - A B) is the
 * expected code. It cannot overflow, and it is cheap enough to be computed again where a derivative needs it.
 */
function expectedTernary(up: Tensor, down: Tensor): Tensor {
  const [above, below] = [up.sigmoid(), down.sigmoid()];
  return above.sub(below).div(above.mul(below).neg().add(1));
}

/** Any codebook. */
function expectedCode(logits: readonly Tensor[], codebook: readonly number[]): Tensor {
  const largest = logits.reduce((max, logit) => max.maximum(logit)).stopGradient();
  const powers = logits.map((logit) => logit.sub(largest).exp());
  const sum = (terms: readonly Tensor[]) => terms.reduce((total, term) => total.add(term));
  return sum(powers.map((power, index) => power.mul(codebook[index]))).div(sum(powers));
}

/** (1 - λ) w + λ q: exactly w at λ = 0 and exactly q at λ = 1, in float32 too. */
export function mix(weight: Tensor, quantized: Tensor, pressure: number | Tensor): Tensor {
  if (pressure === 1) return quantized;
  const rest = typeof pressure === "number" ? 1 - pressure : constant(1).sub(pressure);
  return weight.mul(rest).add(quantized.mul(pressure));
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
  quantize: (weight, { temperature, pressure, hard, groupSize }) => hestia(weight, { temperature, pressure, hard, groupSize }),
  codes: (weight, { groupSize }) => absmeanCodes(weight, { groupSize }),
};

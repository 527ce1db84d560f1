/**
 * The relaxation in the operations of tensors: what it means, and what runs where no kernel of its own does.
 *
 * @module
 */

import type { WeightRules } from "../recipes.ts";
import { constant, type Tensor } from "../tensor.ts";
import { nearestCode, ternaryCodebook } from "./codebook.ts";
import { absmeanScale, groupView, type ScaleDType } from "./groups.ts";

/** Temperatures below count as this one: no weight tells the difference, and its inverse can be squared in float32. */
const leastTemperature = 1e-18;

/** One relaxation; numbers or float32 scalars. */
export interface Relaxation extends Pick<WeightRules, "scaleRule" | "scaleEpsilon" | "scaleGradient" | "tieRule"> {
  /** Inverse of the temperature, see {@linkcode sharpnessOf}; nothing to the hard path. */
  readonly sharpness: number | Tensor;
  /** Share of the quantized weight. */
  readonly pressure: number | Tensor;
  readonly groupSize: number;
  readonly codebook: readonly number[];
  readonly hard: boolean;
  readonly scaleDtype: ScaleDType;
}

/** (1 - λ) w + λ q with q = s times the expected codes of w / s, or times the nearest codes: float32, of the weight's shape. */
export function relaxed(weight: Tensor, relaxation: Relaxation): Tensor {
  const { sharpness, pressure, groupSize, codebook, hard, scaleGradient } = relaxation;
  const view = groupView(weight, groupSize);
  const absmean = absmeanScale(view, relaxation);
  const scale = scaleGradient ? absmean : absmean.stopGradient();
  const x = view.values.div(scale);
  if (!hard) return mix(view.values, scale.mul(expectedCodes(x, { sharpness, codebook })), pressure).reshape(weight.shape);
  const rounded = scale.mul(nearestCode(x, codebook, relaxation).stopGradient());
  // the second term is zero, with the derivative of the identity
  return mix(view.values, rounded.add(view.values.sub(view.values.stopGradient())), pressure).reshape(weight.shape);
}

/**
 * Expected code of each element, Σ c softmax_c(-(x - c)² / T): the function that `hestia` applies to weights in units of their scale.
 * Stable for any positive temperature.
 *
 * @param x float32
 */
export function softCode(
  x: Tensor,
  { temperature, codebook = ternaryCodebook }: { readonly temperature: number | Tensor; readonly codebook?: readonly number[] },
): Tensor {
  return expectedCodes(x, { sharpness: sharpnessOf(temperature, 0), codebook });
}

/** 1 / (T + offset), however small T. */
export function sharpnessOf(temperature: number | Tensor, offset: number): number | Tensor {
  if (typeof temperature === "number") return 1 / Math.max(temperature + offset, leastTemperature);
  return constant(1).div((offset === 0 ? temperature : temperature.add(offset)).maximum(leastTemperature));
}

/** Whether a codebook is the ternary one. */
export function isTernary(codebook: readonly number[]): boolean {
  return codebook.length === 3 && codebook.every((code, index) => code === ternaryCodebook[index]);
}

function expectedCodes(x: Tensor, { sharpness, codebook }: { sharpness: number | Tensor; codebook: readonly number[] }): Tensor {
  // -(x - c)² without x², which all codes share: the softmax does not change, and near a border less is lost to rounding
  const logit = (code: number) => x.mul(2 * code).sub(code * code).mul(sharpness);
  return isTernary(codebook) ? expectedTernary(logit(1), logit(-1)) : expectedCode(codebook.map(logit), codebook);
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

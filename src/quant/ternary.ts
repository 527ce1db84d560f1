/**
 * Ternary weights with a straight-through gradient: the baseline that relaxations are measured against.
 *
 * @module
 */

import { type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import type { Tensor } from "../tensor.ts";
import { absmeanCodes, checkCodebook, nearestCode, ternaryCodebook } from "./codebook.ts";
import { straightThrough } from "./estimators.ts";
import { absmeanScale, groupView, type ScaleDType } from "./groups.ts";
import { checkNumber } from "./hestia.ts";
import type { Quantizer } from "./quantizer.ts";
import { mix } from "./relaxation.ts";

/** Settings of ternary quantization. Rules that are not given are those of the `recipe`, "hestia-2026" by default. */
export interface TernaryOptions extends RuleOptions<Pick<WeightRules, "scaleRule" | "scaleEpsilon" | "tieRule">> {
  /** 0 (the default): the whole tensor is one group; -1: each output channel; n > 0: blocks of n along the last axis. */
  readonly groupSize?: number;
  /** "float16" rounds scales to half precision, as packed formats store them; "float32" by default. */
  readonly scaleDtype?: ScaleDType;
  /** Share of the quantized weight in the result, 0 to 1 (the default): a number or a float32 scalar tensor. */
  readonly pressure?: number | Tensor;
  /** Values of a weight in units of its scale, ascending; [-1, 0, 1] by default. */
  readonly codebook?: readonly number[];
}

/**
 * A weight rounded to {-1, 0, 1} times the scale of its group, the mean magnitude (BitNet b1.58, Ma et al., 2024): the baseline of both
 * releases. The gradient is the identity: the scale counts as a constant. The recipe says what keeps the scale above zero and where ties go.
 *
 * @param weight floating-point, output channels along the first axis
 * @returns float32, of the weight's shape
 * @throws RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { ternary, tensor } from "@hestia/hestia";
 * console.log(await ternary(tensor([[0.9, -0.1, -0.8, 0.2]])).data()); // 0.50001, 0, -0.50001, 0
 * console.log(await ternary(tensor([[0.9, -0.1, -0.8, 0.2]]), { recipe: "hestia-2025" }).data()); // 0.5, 0, -0.5, 0
 * ```
 */
export function ternary(weight: Tensor, options: TernaryOptions = {}): Tensor {
  const { groupSize = 0, pressure = 1, codebook = ternaryCodebook } = options;
  checkCodebook(codebook);
  checkNumber("pressure", pressure, { maximum: 1 });
  const view = groupView(weight, groupSize);
  const scale = absmeanScale(view, options);
  const quantized = scale.mul(nearestCode(view.values.div(scale), codebook, options));
  return mix(view.values, straightThrough(quantized, view.values), pressure).reshape(weight.shape);
}

/** Straight-through rounding to a codebook, as the registry of quantizers lists it. */
export function straightThroughOver(
  codebook: readonly number[],
  { name, summary }: Pick<Quantizer, "name" | "summary">,
): Quantizer {
  return {
    name,
    summary,
    anneals: false,
    mixes: true,
    ternary: codebook.every((code) => [-1, 0, 1].includes(code)),
    roundsScales: true,
    quantize: (weight, { hard, pressure, ...state }) =>
      ternary(weight, { ...state, codebook, pressure: hard || !rulesOf("weights", state).baselinePressure ? 1 : pressure }),
    ...(codebook.every(Number.isInteger) ? { codes: (weight, state) => absmeanCodes(weight, { ...state, codebook }) } : {}),
  };
}

/** The straight-through baseline. */
export const ternaryQuantizer: Quantizer = straightThroughOver(ternaryCodebook, {
  name: "ternary",
  summary: "Absmean rounding to ternary with a straight-through gradient",
});

/**
 * Codebooks: the few values that a quantized weight may take, in units of its group's scale.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { type RuleOptions, rulesOf, type WeightRules } from "../recipes.ts";
import { constant, type Tensor } from "../tensor.ts";
import { absmeanScale, type Codes, groupView, type ScaleDType } from "./groups.ts";

/** The codebook of ternary weights. */
export const ternaryCodebook: readonly number[] = [-1, 0, 1];

/** Throws a RangeError unless the codebook is ascending and has two entries at least. */
export function checkCodebook(codebook: readonly number[]): void {
  const ascending = codebook.every((code, index) => Number.isFinite(code) && (index === 0 || code > codebook[index - 1]));
  if (codebook.length < 2 || !ascending) {
    throw atCaller(new RangeError(`Cannot quantize to the codebook [${codebook}]: wanted two or more values in ascending order`));
  }
}

/**
 * The entry of the codebook that is nearest to each element. A tie goes to the lower entry, or to the one nearer to zero, which for the
 * ternary codebook is rounding half to even. The derivative is zero.
 *
 * @param x float32, weights in units of their scale
 * @param codebook ascending
 */
export function nearestCode(
  x: Tensor,
  codebook: readonly number[],
  options: RuleOptions<Pick<WeightRules, "tieRule">> = {},
): Tensor {
  const { tieRule } = rulesOf("weights", options);
  const steps = codebook.slice(1).map((code, index) => {
    const middle = (code + codebook[index]) / 2;
    const border = constant(middle, [], "float32");
    const above = middle >= 0 || tieRule === "lower" ? border.less(x) : border.lessEqual(x);
    return above.cast("float32").mul(code - codebook[index]);
  });
  return steps.reduce((sum, step) => sum.add(step)).add(codebook[0]);
}

/**
 * Weights rounded to a codebook, as integers and scales, for packing.
 *
 * @throws RangeError when the codebook holds a fraction, or the groups do not divide the weight
 */
export function absmeanCodes(weight: Tensor, options: CodesOptions = {}): Codes {
  const { groupSize = 0, codebook = ternaryCodebook } = options;
  checkCodebook(codebook);
  if (!codebook.every(Number.isInteger)) {
    throw atCaller(new RangeError(`Cannot write ${weight} in codes of [${codebook}]: wanted a codebook of integers`));
  }
  const view = groupView(weight, groupSize);
  const scale = absmeanScale(view, options);
  const codes = nearestCode(view.values.div(scale), codebook, options).cast("int32").reshape(weight.shape);
  return { codes, scales: scale.reshape([scale.size]) };
}

/** How weights are rounded for packing: as they were in training. */
export type CodesOptions = RuleOptions<WeightRules> & {
  readonly groupSize?: number;
  readonly codebook?: readonly number[];
  readonly scaleDtype?: ScaleDType;
};

/**
 * Stretched elastic quantization: ternary levels that divide a learned range evenly.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { scaledGradient, straightThrough } from "./estimators.ts";
import { type GroupView, groupView } from "./groups.ts";
import { flatParameter, type LearnedParameters, perGroup, positiveScale } from "./learned.ts";
import type { Quantizer } from "./quantizer.ts";

/** Half the number of levels: codes are these many to a range. */
const halfLevels = 1.5;

/** Where the published code clips, in units of the range: just short of the next code. */
const clip = 0.99;

/** The range spans the largest weight at first, as in the published code. */
const initialRange = ({ values, axes }: GroupView): Tensor => values.abs().max({ axes, keepDims: true });

function rangeOf(view: GroupView, { range }: LearnedParameters): Tensor {
  return positiveScale(range ? perGroup(view, "range", range) : initialRange(view).stopGradient());
}

const codesOf = (share: Tensor): Tensor => share.maximum(-clip).minimum(clip).mul(halfLevels).round();

/**
 * A weight rounded to one of three levels that divide a learned range -a … a evenly (SEQ of ParetoQ: Liu et al., "ParetoQ: Scaling laws in
 * extremely low-bit LLM quantization", arXiv 2502.02631, 2025): with k = round(1.5 clip(w / a, -0.99, 0.99)), the levels are
 * a k / 1.5 = -2a/3, 0, 2a/3.
 *
 * Gradients as in the published code: ∂q/∂w is 1 where |w / a| <= 0.99 and 0 beyond; ∂q/∂a is k / 1.5 - w / a within and the sign of w
 * beyond (where the level itself is 2a/3), times 1 / √N for the N elements of the weight. A range below 1e-5 counts as that.
 *
 * @param weight floating-point, output channels along the first axis
 * @param options.groupSize as for every quantizer; the published code has a range for each output channel
 * @param options.parameters `range`: float32 `[groups]`; where absent, the initial value max|w|, held constant
 * @returns float32, of the weight's shape
 * @throws TypeError for integers and for ranges of another shape, RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * const options = { groupSize: 0, parameters: { range: tensor([0.75]) } };
 * console.log(await quantizers.seq.quantize(tensor([[0.9, -0.3, 0.2, 0]]), options).data()); // 0.5, -0.5, 0, 0
 * ```
 */
export function seq(
  weight: Tensor,
  { groupSize = 0, parameters = {} }: { readonly groupSize?: number; readonly parameters?: LearnedParameters } = {},
): Tensor {
  const view = groupView(weight, groupSize);
  const range = scaledGradient(rangeOf(view, parameters), 1 / Math.sqrt(weight.size));
  const share = view.values.div(range);
  const level = codesOf(share).div(halfLevels).stopGradient();
  const within = share.abs().lessEqual(clip);
  const beyond = range.sub(range.stopGradient()).mul(share.sign().sub(level)); // zero: the slope is that of the sign, not of the level
  const quantized = within.where(straightThrough(level, share).mul(range), level.mul(range).add(beyond));
  return quantized.reshape(weight.shape);
}

/** SEQ as the registry of quantizers lists it. */
export const seqQuantizer: Quantizer = {
  name: "seq",
  summary: "ParetoQ's stretched elastic quantization: three levels that divide a learned range",
  anneals: false,
  ternary: true,
  quantize: (weight, { groupSize, parameters }) => seq(weight, { groupSize, parameters }),
  codes(weight, { groupSize, parameters = {} }) {
    const view = groupView(weight, groupSize);
    const range = rangeOf(view, parameters);
    const codes = codesOf(view.values.div(range)).cast("int32").reshape(weight.shape);
    return { codes, scales: flatParameter(range.div(halfLevels)) };
  },
  parameters: (weight, { groupSize }) => ({ range: flatParameter(initialRange(groupView(weight, groupSize))) }),
};

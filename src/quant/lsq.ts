/**
 * Learned step size quantization, for ternary weights.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { scaledGradient, straightThrough } from "./estimators.ts";
import { absmeanScale, type GroupView, groupView } from "./groups.ts";
import { flatParameter, type LearnedParameters, perGroup, positiveScale, weightsPerGroup } from "./learned.ts";
import type { Quantizer } from "./quantizer.ts";

/** Largest code, Q_P in the paper, and minus the smallest. */
const limit = 1;

const initialStep = (view: GroupView): Tensor => absmeanScale(view, { scaleRule: "clamped" }).mul(2 / Math.sqrt(limit));

function stepOf(view: GroupView, { step }: LearnedParameters): Tensor {
  return positiveScale(step ? perGroup(view, "step", step) : initialStep(view).stopGradient());
}

const clipped = (x: Tensor): Tensor => x.maximum(-limit).minimum(limit);

/**
 * A weight rounded to {-1, 0, 1} times a learned step s of its group (LSQ: Esser et al., "Learned step size quantization", ICLR 2020,
 * arXiv 1902.08153): s · round(clip(w / s, -1, 1)), half to even.
 *
 * Rounding passes gradients straight through, so that ∂q/∂w is 1 where |w / s| <= 1 and 0 beyond, and ∂q/∂s is round(w / s) - w / s within
 * and the clipped code beyond. The gradient of s is multiplied by 1 / √(N Q_P) for the N weights that share it, with Q_P = 1.
 *
 * The paper has one step for a layer, and trains with momentum; AdamW undoes most of a constant factor of a gradient. A step below 1e-5
 * counts as that.
 *
 * @param weight floating-point, output channels along the first axis
 * @param options.parameters `step`: float32 `[groups]`; where absent, the initial value 2 mean|w| / √Q_P, held constant
 * @returns float32, of the weight's shape
 * @throws TypeError for integers and for steps of another shape, RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * const options = { groupSize: 0, parameters: { step: tensor([0.5]) } };
 * console.log(await quantizers.lsq.quantize(tensor([[0.9, -0.3, 0.2, 0]]), options).data()); // 0.5, -0.5, 0, 0
 * ```
 */
export function lsq(
  weight: Tensor,
  { groupSize = 0, parameters = {} }: { readonly groupSize?: number; readonly parameters?: LearnedParameters } = {},
): Tensor {
  const view = groupView(weight, groupSize);
  const step = scaledGradient(stepOf(view, parameters), 1 / Math.sqrt(weightsPerGroup(view) * limit));
  const code = clipped(view.values.div(step));
  return straightThrough(code.round(), code).mul(step).reshape(weight.shape);
}

/** LSQ as the registry of quantizers lists it. */
export const lsqQuantizer: Quantizer = {
  name: "lsq",
  summary: "Learned step size quantization to ternary",
  anneals: false,
  ternary: true,
  quantize: (weight, { groupSize, parameters }) => lsq(weight, { groupSize, parameters }),
  codes(weight, { groupSize, parameters = {} }) {
    const view = groupView(weight, groupSize);
    const step = stepOf(view, parameters);
    return { codes: clipped(view.values.div(step)).round().cast("int32").reshape(weight.shape), scales: flatParameter(step) };
  },
  parameters: (weight, { groupSize }) => ({ step: flatParameter(initialStep(groupView(weight, groupSize))) }),
};

/**
 * Dual learnable ternarization: a learned scale and a learned shift.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { type GroupView, groupView } from "./groups.ts";
import { flatParameter, type LearnedParameters, perGroup } from "./learned.ts";
import type { Quantizer } from "./quantizer.ts";
import { thresholded } from "./twn.ts";

const initialParameters = (view: GroupView) => {
  const { scale } = thresholded(view);
  return { scale, shift: scale.mul(0) };
};

/**
 * A weight as a t + b, where t in {-1, 0, 1} is its sign where its magnitude exceeds 0.7 times the mean magnitude of its group, and scale a
 * and shift b of the group are learned (DLT of TernaryLLM: Chen et al., "TernaryLLM: Ternarized large language model", arXiv 2406.07177,
 * 2024). The shift answers weights whose mean is not zero.
 *
 * ∂q/∂a is t, ∂q/∂b is 1, and ∂q/∂w the identity. What is simplified: scales begin as those of TWN and shifts at zero, and the paper's
 * distillation of features is no part of a quantizer. With a shift, weights are not codes times scales: there are no `codes`.
 *
 * @param weight floating-point, output channels along the first axis
 * @param options.parameters `scale` and `shift`: float32 `[groups]`; where absent, their initial values, held constant
 * @returns float32, of the weight's shape
 * @throws TypeError for integers and for parameters of another shape, RangeError when the groups do not divide the weight
 *
 * @example
 * ```ts
 * import { quantizers, tensor } from "@hestia/hestia";
 * const options = { groupSize: 0, parameters: { scale: tensor([0.5]), shift: tensor([0.25]) } };
 * console.log(await quantizers.dlt.quantize(tensor([[0.9, -0.9, 0.2, 0]]), options).data()); // 0.75, -0.25, 0.25, 0.25
 * ```
 */
export function dlt(
  weight: Tensor,
  { groupSize = 0, parameters = {} }: { readonly groupSize?: number; readonly parameters?: LearnedParameters } = {},
): Tensor {
  const view = groupView(weight, groupSize);
  const initial = initialParameters(view);
  const part = (name: "scale" | "shift") =>
    parameters[name] ? perGroup(view, name, parameters[name]) : initial[name].stopGradient();
  const quantized = thresholded(view).codes.stopGradient().mul(part("scale")).add(part("shift"));
  return quantized.add(view.values.sub(view.values.stopGradient())).reshape(weight.shape);
}

/** DLT as the registry of quantizers lists it. */
export const dltQuantizer: Quantizer = {
  name: "dlt",
  summary: "TernaryLLM's dual learnable ternarization: a learned scale and a learned shift",
  anneals: false,
  ternary: false,
  quantize: (weight, { groupSize, parameters }) => dlt(weight, { groupSize, parameters }),
  parameters(weight, { groupSize }) {
    const { scale, shift } = initialParameters(groupView(weight, groupSize));
    return { scale: flatParameter(scale), shift: flatParameter(shift) };
  },
};

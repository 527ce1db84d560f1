/**
 * Tequila: weights that round to zero live on as a bias.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { absmeanCodes, nearestCode, ternaryCodebook } from "./codebook.ts";
import { absmeanScale, groupView } from "./groups.ts";
import type { Quantizer } from "./quantizer.ts";
import { ternary, type TernaryOptions } from "./ternary.ts";

/** Share of a dead weight in the bias, λ in the paper. */
const reactivation = 1e-3;

/**
 * Bias of each output channel: 0.001 times the sum of its weights that round to zero. Its gradient reaches those weights, whatever the
 * input, besides the straight-through gradient that they get as all others do; which weights are dead is held constant.
 */
export function tequilaBias(weight: Tensor, options: TernaryOptions = {}): Tensor {
  const view = groupView(weight, options.groupSize ?? 0);
  const codes = nearestCode(view.values.div(absmeanScale(view, options)), ternaryCodebook, options);
  const dead = codes.equal(0).where(view.values, 0).reshape(weight.shape);
  return dead.sum({ axes: [...weight.shape.keys()].slice(1) }).mul(reactivation);
}

/**
 * Tequila as the registry of quantizers lists it (Huang et al., "Tequila: Trapping-free ternary quantization for large language models",
 * arXiv 2509.23809, 2025): absmean ternary weights, straight-through, and x Wᵀ + C(W), where C(W) = λ Σ w over the weights of an output
 * channel that round to zero, so that a weight in the dead zone gets a gradient that depends on no input.
 *
 * As in the published code of that form, λ is the fixed number 0.001 that its script sets. The first form of that code multiplies dead
 * weights by the signs of the inputs instead; it is not offered here. Ternary formats have no place for the biases.
 */
export const tequilaQuantizer: Quantizer = {
  name: "tequila",
  summary: "Absmean rounding to ternary, where weights that round to zero add up to a bias",
  anneals: false,
  ternary: false,
  quantize: (weight, { pressure: _, scaleDtype: __, ...state }) => ternary(weight, state),
  bias: (weight, { scaleDtype: _, ...state }) => tequilaBias(weight, state),
  codes: (weight, { scaleDtype: _, ...state }) => absmeanCodes(weight, state),
};

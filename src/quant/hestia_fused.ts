/**
 * The ternary relaxation as one kernel, and its gradient as another.
 *
 * @module
 */

import { vectorJacobianProduct } from "../autodiff/gradients.ts";
import type { Attributes, Fused } from "../core/graph.ts";
import { hestiaBackwardBinding, hestiaForwardBinding } from "../kernels/hestia.ts";
import { applyFused, constant, type Tensor } from "../tensor.ts";
import { ternaryCodebook } from "./codebook.ts";
import { type Relaxation, relaxed } from "./relaxation.ts";

/** Inputs: weight, sharpness, pressure. */
function compose([weight, sharpness, pressure]: readonly Tensor[], attributes: Attributes): Tensor {
  const rules = attributes as unknown as Omit<Relaxation, "sharpness" | "pressure" | "codebook">;
  return relaxed(weight, { ...rules, sharpness, pressure, codebook: ternaryCodebook });
}

/** Gradient of the weight. Inputs: weight, gradient of the result, sharpness, pressure. Differentiated by its composition. */
const hestiaBackward: Fused = {
  kind: "fused",
  name: "hestiaBackward",
  binding: hestiaBackwardBinding,
  compose: ([weight, gradient, ...numbers], attributes) =>
    vectorJacobianProduct(compose([weight, ...numbers], attributes), [weight], gradient)[0],
};

/** The relaxation of a float32 weight. Inputs: weight, sharpness, pressure. Attributes: what else makes a relaxation. */
export const hestiaForward: Fused = {
  kind: "fused",
  name: "hestia",
  binding: hestiaForwardBinding,
  compose,
  vjp(gradient, { inputs: [weight, ...numbers], attributes }) {
    const ofNumbers = vectorJacobianProduct(compose([weight, ...numbers], attributes), numbers, gradient);
    return [applyFused(hestiaBackward, [weight, gradient, ...numbers], attributes), ...ofNumbers];
  },
};

/** What `relaxed` gives for a float32 weight and the ternary codebook, by one kernel where its groups allow. */
export function fusedRelaxation(weight: Tensor, relaxation: Relaxation): Tensor {
  const { sharpness, pressure, groupSize, hard, scaleDtype, scaleRule, scaleEpsilon, scaleGradient, tieRule } = relaxation;
  const numbers = [sharpness, pressure].map((value) => typeof value === "number" ? constant(value) : value);
  const attributes = { groupSize, hard, scaleDtype, scaleRule, scaleEpsilon, scaleGradient, tieRule };
  return applyFused(hestiaForward, [weight, ...numbers], attributes);
}

/**
 * Softmax over the last axis, one kernel forward and one back.
 *
 * @module
 */

import type { Fused } from "../core/graph.ts";
import { softmaxBackwardBinding, softmaxForwardBinding } from "../kernels/softmax.ts";

/** Gradient of what a softmax was taken of. Inputs: its result, the gradient of that. Differentiated by its composition. */
export const softmaxBackward: Fused = {
  kind: "fused",
  name: "softmaxBackward",
  binding: softmaxBackwardBinding,
  compose: ([y, gradient]) => y.mul(gradient.sub(y.mul(gradient).sum({ axes: -1, keepDims: true }))),
};

/** exp(x) / Σ exp(x) along an axis, by a kernel along the last one. Input: x. Attribute: axis. */
export const softmax: Fused = {
  kind: "fused",
  name: "softmax",
  binding: softmaxForwardBinding,
  compose([x], { axis = -1 }) {
    const over = { axes: axis as number, keepDims: true };
    const powers = x.sub(x.max(over).stopGradient()).exp();
    return powers.div(powers.sum(over));
  },
  vjp: (gradient, { output, fuse }) => [fuse(softmaxBackward, [output, gradient])],
};

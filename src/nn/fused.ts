/**
 * The layers whose forward pass is a stored kernel; where the backward pass is one too, its derivative goes through its composition.
 *
 * @module
 */

import { vectorJacobianProduct } from "../autodiff/gradients.ts";
import { arange } from "../create.ts";
import type { Fused } from "../core/graph.ts";
import { causalSoftmaxBinding, crossEntropyBackwardBinding, crossEntropyForwardBinding } from "../kernels/softmax.ts";
import { applyFused, type Tensor } from "../tensor.ts";

type Compose = Fused["compose"];

const losses: Compose = ([logits, labels]) => {
  const classes = arange(logits.shape, { dtype: labels.dtype });
  const chosen = classes.equal(labels.reshape([...labels.shape, 1])).where(logits, 0).sum({ axes: -1 });
  return logits.logSumExp().reshape(labels.shape).sub(chosen);
};

const rowLossesBackward: Fused = {
  kind: "fused",
  name: "rowLossesBackward",
  binding: crossEntropyBackwardBinding,
  compose: ([logits, labels, gradient]) => vectorJacobianProduct(losses([logits, labels], {}), [logits], gradient)[0],
};

/** Cross-entropy of each row. Inputs: logits `[…, classes]`, labels `[…]`; a label that is no class counts as a logit of zero. */
export const rowLosses: Fused = {
  kind: "fused",
  name: "rowLosses",
  binding: crossEntropyForwardBinding,
  compose: losses,
  vjp: (gradient, { inputs: [logits, labels] }) => [applyFused(rowLossesBackward, [logits, labels, gradient]), undefined],
};

/** Score of a masked key: its weight is exactly zero, and no arithmetic on it gives NaN. */
export const maskedScore = -1e30;

const masked: Compose = ([scores, offset]) => {
  const [queries, keys] = scores.shape.slice(-2);
  const last = arange([queries, 1], { axis: 0, dtype: "uint32" }).add(offset);
  const seen = arange([1, keys], { dtype: "uint32" }).lessEqual(last);
  const visible = seen.where(scores, maskedScore);
  const powers = seen.where(visible.sub(visible.max({ axes: -1, keepDims: true }).stopGradient()).exp(), 0);
  return seen.where(powers.div(powers.sum({ axes: -1, keepDims: true })), 0);
};

/** Softmax over the keys up to each query. Inputs: scores `[…, queries, keys]`, uint32 scalar: the key that the first query stands at. */
export const causalSoftmax: Fused = {
  kind: "fused",
  name: "causalSoftmax",
  binding: causalSoftmaxBinding,
  compose: masked,
  vjp: (gradient, { output: y }): readonly (Tensor | undefined)[] => [
    y.mul(gradient.sub(y.mul(gradient).sum({ axes: -1, keepDims: true }))),
    undefined,
  ],
};

/**
 * The layers whose forward and backward passes are one kernel each. Derivatives of the backward passes go through their compositions.
 *
 * @module
 */

import { vectorJacobianProduct } from "../autodiff/gradients.ts";
import { arange } from "../create.ts";
import type { Attributes, Fused, FusedParts } from "../core/graph.ts";
import { rmsNormBackwardBinding, rmsNormForwardBinding } from "../kernels/normalization.ts";
import { causalSoftmaxBinding, crossEntropyBackwardBinding, crossEntropyForwardBinding } from "../kernels/softmax.ts";
import { type Rows, rowsOf } from "../kernels/rows.ts";
import { softmaxBackward } from "../ops/softmax.ts";
import { applyFused, type Tensor } from "../tensor.ts";
import { applyParts } from "./parts.ts";

type Compose = Fused["compose"];

const rootMeanSquare = (x: Tensor, epsilon: number) => x.square().mean({ axes: -1, keepDims: true }).add(epsilon).sqrt();

const normalized: Compose = ([x, weight], { epsilon }: Attributes) => x.div(rootMeanSquare(x, epsilon as number)).mul(weight);

/** Most rows of one sum, as the shader says. */
const mostRows = 16;
/** Fewest sums that keep a device busy. */
const busySums = 64;
/** Most elements of the rows of one sum. */
const mostElements = 2 ** 16;

/** How many rows of a tensor share one sum of the gradient of the weight. */
const rowsOfSum = ({ rows, width }: Rows) =>
  Math.max(1, Math.min(mostRows, Math.ceil(rows / busySums), Math.floor(mostElements / Math.max(1, width))));

/** Sums over so many rows each of gradient times normalised x: parts of the gradient of the weight, `[sums, width]`. */
function weightParts(x: Tensor, gradient: Tensor, { epsilon, rowsTogether }: { epsilon: number; rowsTogether: number }): Tensor {
  const { rows, width } = rowsOf(x.shape);
  const sums = Math.ceil(rows / rowsTogether);
  const parts = gradient.mul(x.div(rootMeanSquare(x, epsilon))).reshape([rows, width]);
  const whole = parts.pad([0, 0], [sums * rowsTogether - rows, 0]);
  return whole.reshape([sums, rowsTogether, width]).sum({ axes: 1 });
}

/** Inputs: x, weight, gradient of the result. Attributes: epsilon, rowsTogether. */
const rmsNormBackward: FusedParts = {
  name: "rmsNormBackward",
  binding: rmsNormBackwardBinding,
  compose: ([x, weight, gradient], { epsilon, rowsTogether }) => [
    vectorJacobianProduct(normalized([x, weight], { epsilon }), [x], gradient)[0],
    weightParts(x, gradient, { epsilon: epsilon as number, rowsTogether: rowsTogether as number }),
  ],
};

/** x / sqrt(mean(x²) + epsilon) weight over the last axis. Inputs: x `[…, width]`, weight `[width]`. Attribute: epsilon. */
export const rmsNormForward: Fused = {
  kind: "fused",
  name: "rmsNorm",
  binding: rmsNormForwardBinding,
  compose: normalized,
  vjp(gradient, { inputs: [x, weight], attributes }) {
    const rowsTogether = rowsOfSum(rowsOf(x.shape));
    const [ofX, parts] = applyParts(rmsNormBackward, [x, weight, gradient], { ...attributes, rowsTogether });
    return [ofX, parts.sum({ axes: 0 })];
  },
};

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
  return arange([1, keys], { dtype: "uint32" }).lessEqual(last).where(scores, maskedScore).softmax();
};

/** Softmax over the keys up to each query. Inputs: scores `[…, queries, keys]`, uint32 scalar: the key that the first query stands at. */
export const causalSoftmax: Fused = {
  kind: "fused",
  name: "causalSoftmax",
  binding: causalSoftmaxBinding,
  compose: masked,
  vjp: (gradient, { output }): readonly (Tensor | undefined)[] => [applyFused(softmaxBackward, [output, gradient]), undefined],
};

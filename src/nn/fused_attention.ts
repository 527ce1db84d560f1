/**
 * Attention whose scores never exist as a whole: one kernel forward and two back; for small ones, and for derivatives of higher
 * order, products and a softmax. All tensors are `[batch, positions, heads, headDim]`.
 *
 * @module
 */

import { vectorJacobianProduct } from "../autodiff/gradients.ts";
import { arange } from "../create.ts";
import type { FusedParts } from "../core/graph.ts";
import { attentionForwardBinding, attentionKeyBackwardBinding, attentionQueryBackwardBinding } from "../kernels/attention.ts";
import { applyFused, type Tensor } from "../tensor.ts";
import { causalSoftmax, maskedScore } from "./fused.ts";
import { applyParts } from "./parts.ts";

const swapped = [0, 2, 1, 3]; // positions and heads

/** Scores `[batch, keyValueHeads, group, queries, keys]`: query heads that share a key head are one matrix. */
export function attentionScores(q: Tensor, k: Tensor): Tensor {
  const [batch, queries, heads, headDim] = q.shape;
  const [, keys, keyValueHeads] = k.shape;
  const group = heads / keyValueHeads;
  const rows = q.transpose(swapped).mul(1 / Math.sqrt(headDim)).reshape([batch, keyValueHeads, group * queries, headDim]);
  return rows.matmul(k.transpose([0, 2, 3, 1])).reshape([batch, keyValueHeads, group, queries, keys]);
}

function attended([q, k, v, offset]: readonly Tensor[]): Tensor {
  return attentionOutput(applyFused(causalSoftmax, [attentionScores(q, k), offset]), q, v);
}

/** Values by the weights of the scores, in the shape of the queries. */
export function attentionOutput(weights: Tensor, q: Tensor, v: Tensor): Tensor {
  const [batch, queries, heads, headDim] = q.shape;
  const [, keys, keyValueHeads] = v.shape;
  const rows = weights.reshape([batch, keyValueHeads, heads / keyValueHeads * queries, keys]).matmul(v.transpose(swapped));
  return rows.reshape([batch, heads, queries, headDim]).transpose(swapped);
}

/** Logarithm of the sum of the exponentials of the scores that each query sees: `[batch, queries, heads]`. */
function logSums([q, k, , offset]: readonly Tensor[]): Tensor {
  const [batch, queries, heads] = q.shape;
  const keys = k.shape[1];
  const last = arange([queries, 1], { axis: 0, dtype: "uint32" }).add(offset);
  const seen = arange([1, keys], { dtype: "uint32" }).lessEqual(last).where(attentionScores(q, k), maskedScore);
  return seen.logSumExp().reshape([batch, heads, queries]).transpose([0, 2, 1]);
}

/** Gradients of queries, keys and values. */
function slopes(inputs: readonly Tensor[]): Tensor[] {
  const [gradient] = inputs.slice(4);
  return vectorJacobianProduct(attended(inputs.slice(0, 4)), inputs.slice(0, 3), gradient);
}

/** The backward pass: two kernels, but one composition, in which derivatives of the second order come together. */
function backward(inputs: readonly Tensor[]): Tensor[] {
  const [gradient, output, rest] = inputs.slice(4);
  const [query, ...others] = slopes(inputs);
  const name = "attentionBackward";
  const inners = () => gradient.mul(output).sum({ axes: 3, keepDims: true }).expand([...gradient.shape.slice(0, 3), 4]);
  const rows = { name, binding: attentionQueryBackwardBinding, compose: () => [query, inners()] };
  const [ofQueries, inner] = applyParts(rows, inputs);
  const keys = { name: `${name}OfKeys`, binding: attentionKeyBackwardBinding, compose: () => others };
  return [ofQueries, ...applyParts(keys, [...inputs.slice(0, 4), gradient, inner, rest])];
}

/** Output, and the logarithms that its backward pass needs. Inputs: queries, keys, values, uint32 scalar: the key that the first query stands at. */
export const attentionForward: FusedParts = {
  name: "attention",
  binding: attentionForwardBinding,
  compose: (inputs) => [attended, logSums].map((part) => part(inputs)),
  vjps: [(gradient, { inputs }) => [...backward([...inputs, gradient, ...applyParts(attentionForward, inputs)]), undefined]],
};

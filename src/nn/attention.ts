/**
 * Attention.
 *
 * @module
 */

import { applyFused, constant, type Tensor } from "../tensor.ts";
import { checkAttention } from "./checks.ts";
import { causalSoftmax } from "./fused.ts";

/** Settings of attention. */
export interface AttentionOptions {
  /** Position of the first query among the keys: a number, or a uint32 scalar tensor. By default queries and keys start together. */
  readonly offset?: Tensor | number;
}

/**
 * Causal grouped-query attention: each query attends to the keys up to its own position; groups of query heads share one key head
 * (Ainslie et al., "GQA", 2023).
 *
 * @param q `[batch, heads, queries, headDim]`
 * @param k `[batch, keyValueHeads, keys, headDim]`; heads must be a multiple of keyValueHeads
 * @param v `[batch, keyValueHeads, keys, headDim]`
 * @returns `[batch, heads, queries, headDim]`
 *
 * @example
 * ```ts
 * import { causalAttention, randomNormal } from "@hestia/hestia";
 * const q = randomNormal([1, 4, 3, 8], { seed: 1 }); // four query heads share two key heads
 * const [k, v] = [2, 3].map((seed) => randomNormal([1, 2, 3, 8], { seed }));
 * console.log(`${causalAttention(q, k, v)}`); // float32[1,4,3,8]
 * ```
 */
export function causalAttention(q: Tensor, k: Tensor, v: Tensor, { offset = 0 }: AttentionOptions = {}): Tensor {
  checkAttention(q, k, v, offset);
  const [batch, heads, queries, headDim] = q.shape;
  const [, keyValueHeads, keys] = k.shape;
  const group = heads / keyValueHeads;
  const rows = [batch, keyValueHeads, group * queries];
  const scores = q.mul(1 / Math.sqrt(headDim)).reshape([...rows, headDim]).matmul(k.transpose());
  const split = scores.reshape([batch, keyValueHeads, group, queries, keys]);
  const first = typeof offset === "number" ? constant(offset, [], "uint32") : offset;
  const weights = applyFused(causalSoftmax, [split, first]);
  return weights.reshape([...rows, keys]).matmul(v).reshape([batch, heads, queries, headDim]);
}

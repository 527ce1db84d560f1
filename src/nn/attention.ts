/**
 * Attention.
 *
 * @module
 */

import { constant, type Tensor } from "../tensor.ts";
import { checkAttention } from "./checks.ts";
import { attentionForward } from "./fused_attention.ts";
import { applyParts } from "./parts.ts";

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
  const first = typeof offset === "number" ? constant(offset, [], "uint32") : offset;
  const swapped = [q, k, v].map((x) => x.transpose([0, 2, 1, 3]));
  return applyParts(attentionForward, [...swapped, first])[0].transpose([0, 2, 1, 3]);
}

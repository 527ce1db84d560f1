/**
 * Attention.
 *
 * @module
 */

import { arange } from "../create.ts";
import { constant, type Tensor } from "../tensor.ts";
import { checkAttention, checkDocuments } from "./checks.ts";
import { maskedScore } from "./fused.ts";
import { attentionForward, attentionOutput, attentionScores } from "./fused_attention.ts";
import { applyParts } from "./parts.ts";

/** Settings of attention. */
export interface AttentionOptions {
  /** Position of the first query among the keys: a number, or a uint32 scalar tensor. By default queries and keys start together. */
  readonly offset?: Tensor | number;
  /**
   * The document that each position belongs to, int32 or uint32 `[batch, positions]`: queries then see keys of their own document only.
   * Wants as many queries as keys, and no offset. Scores are kept for it, which takes memory of queries times keys.
   */
  readonly documents?: Tensor;
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
export function causalAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { offset = 0, documents } = options;
  checkAttention(q, k, v, offset);
  const operands = [q, k, v].map((x) => x.transpose([0, 2, 1, 3]));
  if (documents) return withinDocuments(operands, checkDocuments(documents, q, k, offset)).transpose([0, 2, 1, 3]);
  const first = typeof offset === "number" ? constant(offset, [], "uint32") : offset;
  return applyParts(attentionForward, [...operands, first])[0].transpose([0, 2, 1, 3]);
}

/** Causal attention within documents; all but these are `[batch, positions, heads, headDim]`. */
function withinDocuments([q, k, v]: readonly Tensor[], documents: Tensor): Tensor {
  const [batch, positions] = documents.shape;
  const causal = arange([1, positions], { dtype: "uint32" })
    .lessEqual(arange([positions, 1], { axis: 0, dtype: "uint32" })).reshape([1, 1, 1, positions, positions]);
  const same = documents.reshape([batch, 1, 1, 1, positions]).equal(documents.reshape([batch, 1, 1, positions, 1]));
  const scores = causal.where(same.where(attentionScores(q, k), maskedScore), maskedScore);
  return attentionOutput(scores.softmax(), q, v);
}

/**
 * Kernels of causal softmax and of cross-entropy.
 *
 * @module
 */

import type { KernelBinding } from "../core/graph.ts";
import { rowBinding, type Rows, rowsOf } from "./rows.ts";
import { shaders } from "./shaders.ts";

/** Loss of each row. Inputs: logits, labels. */
export const crossEntropyForwardBinding: KernelBinding<Rows> = rowBinding({
  name: "cross_entropy_forward",
  source: shaders.cross_entropy_forward,
  inputs: ["rows", "buffer"],
  passes: 1,
}, ([logits]) => rowsOf(logits.shape));

/** Gradient of the logits. Inputs: logits, labels, gradient of each row's loss. */
export const crossEntropyBackwardBinding: KernelBinding<Rows> = rowBinding({
  name: "cross_entropy_backward",
  source: shaders.cross_entropy_backward,
  inputs: ["rows", "buffer", "buffer"],
  passes: 2,
}, ([logits]) => rowsOf(logits.shape));

interface CausalCall extends Rows {
  readonly queries: number;
}

/** Inputs: scores `[…, queries, keys]`, position of the first query among the keys. */
export const causalSoftmaxBinding: KernelBinding<CausalCall> = rowBinding({
  name: "causal_softmax",
  source: shaders.causal_softmax,
  inputs: ["rows", "buffer"],
  passes: 2,
  params: ({ queries }) => [queries],
}, ([{ shape }]) => ({ ...rowsOf(shape), queries: shape.at(-2)! }));

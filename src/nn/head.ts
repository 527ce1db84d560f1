/**
 * Logarithms of sums over a vocabulary whose logits exist for one chunk at a time, in the backward pass too.
 *
 * @module
 */

import type { Fused } from "../core/graph.ts";
import { after, applyFused, finiteOr, type Tensor } from "../tensor.ts";

/** Rows `[start, stop)` of the head that make one chunk of logits. */
interface Chunk {
  readonly weight: Tensor;
  readonly start: number;
  readonly stop: number;
}

function chunksOf(head: Tensor, length: number): Chunk[] {
  const [classes, width] = head.shape;
  return Array.from({ length: Math.ceil(classes / length) }, (_, index) => {
    const [start, stop] = [index * length, Math.min(classes, (index + 1) * length)];
    return { start, stop, weight: head.slice([start, 0], [stop, width]) };
  });
}

function logAddExp(a: Tensor, b: Tensor): Tensor {
  const top = finiteOr(a.maximum(b), 0);
  return top.add(a.sub(top).exp().add(b.sub(top).exp()).log());
}

/** Logarithms of the sums, `[tokens, 1]`. Each chunk waits for the one before. */
function logSums(hidden: Tensor, head: Tensor, chunk: number): Tensor {
  let total: Tensor | undefined;
  for (const { weight } of chunksOf(head, chunk)) {
    const rows = total ? after(hidden, total) : hidden;
    const part = rows.matmul(weight.transpose()).logSumExp();
    total = total ? logAddExp(total, part) : part;
  }
  return total!;
}

/** Gradients of hidden rows and head, given that of the logarithms. Each chunk waits for both gradients of the one before. */
function slopes(
  [hidden, head]: readonly Tensor[],
  logSums: Tensor,
  { gradient, chunk }: { gradient: Tensor; chunk: number },
): Tensor[] {
  const [classes] = head.shape;
  let waited = after(hidden, gradient);
  let sums: readonly Tensor[] | undefined;
  for (const { weight, start, stop } of chunksOf(head, chunk)) {
    const weights = waited.matmul(weight.transpose()).sub(logSums).exp().mul(gradient); // [tokens, chunk]
    const [rows, table] = [weights.matmul(weight), weights.transpose().matmul(waited)];
    const placed = table.pad([start, 0], [classes - stop, 0]);
    sums = sums ? [sums[0].add(rows), sums[1].add(placed)] : [rows, placed];
    waited = after(after(hidden, rows), table);
  }
  return [...sums!];
}

/** One kernel-less operation: its derivative computes each chunk again, once the gradient is there, and contains itself. */
const chunkedLogSums: Fused = {
  kind: "fused",
  name: "chunkedLogSums",
  binding: { kernels: [], call: () => undefined },
  compose: ([hidden, head], { chunk }) => logSums(hidden, head, chunk as number),
  vjp: (gradient, { inputs, output, attributes }) => slopes(inputs, output, { gradient, chunk: attributes.chunk as number }),
};

/**
 * log Σ exp over the classes of `hidden headᵀ`.
 *
 * @param hidden `[tokens, width]`
 * @param head `[classes, width]`
 * @returns `[tokens, 1]`
 */
export function headLogSums(hidden: Tensor, head: Tensor, { chunk }: { readonly chunk: number }): Tensor {
  return applyFused(chunkedLogSums, [hidden, head], { chunk });
}

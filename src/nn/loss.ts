/**
 * Losses.
 *
 * @module
 */

import { applyFused, type Tensor } from "../tensor.ts";
import { checkClasses, checkHead, checkLabels, ignoredLabel } from "./checks.ts";
import { rowLosses } from "./fused.ts";
import { headLogSums } from "./head.ts";

/**
 * Mean cross-entropy, in nats, of logits against class labels. Positions whose label is `ignoreIndex` do not count, neither in the sum
 * nor in the mean. Labels are not shifted here. NaN when every label is ignored.
 *
 * @param logits float32 `[…, classes]`
 * @param labels int32 or uint32 `[…]`; in uint32, a negative `ignoreIndex` stands as its bits, -100 as 4294967196. A label that is no class
 * is refused where its number is on the host, and counts as a logit of zero elsewhere
 * @returns a scalar
 * @throws TypeError where the shapes do not fit, RangeError where a label is no class
 *
 * @example
 * ```ts
 * import { crossEntropy, tensor, zeros } from "@hestia/hestia";
 * const labels = tensor(new Uint32Array([1, 3]));
 * console.log(await crossEntropy(zeros([2, 4]), labels).item()); // 1.386…, the logarithm of 4
 * ```
 */
export function crossEntropy(logits: Tensor, labels: Tensor, { ignoreIndex = -100 }: { ignoreIndex?: number } = {}): Tensor {
  const { sum, count } = crossEntropySum(logits, labels, { ignoreIndex });
  return sum.div(count);
}

/** What {@linkcode crossEntropy} is the quotient of: for logits that come in pieces. */
export function crossEntropySum(
  logits: Tensor,
  labels: Tensor,
  { ignoreIndex = -100 }: { ignoreIndex?: number } = {},
): { sum: Tensor; count: Tensor } {
  checkLabels(logits, labels, ignoreIndex);
  const losses = logits.dtype === "float32" ? applyFused(rowLosses, [logits, labels]) : rowLosses.compose([logits, labels], {});
  return counted(losses, labels, ignoreIndex);
}

/** Sum of the losses whose labels count, and how many do. */
function counted(losses: Tensor, labels: Tensor, ignoreIndex: number): { sum: Tensor; count: Tensor } {
  const ignored = labels.equal(ignoredLabel(labels, ignoreIndex));
  return { sum: ignored.where(0, losses).sum(), count: ignored.equal(0).cast("float32").sum() };
}

/** Settings of {@linkcode headLoss}. */
export interface HeadLossOptions {
  /** Classes whose logits exist at a time, at least 1. By default so many that they take 64 MiB. */
  readonly chunk?: number;
  /** Positions with this label do not count; -100 by default. */
  readonly ignoreIndex?: number;
}

/** Bytes of the logits that exist at a time, unless told otherwise. */
const chunkBytes = 2 ** 26;

/** As many classes as make logits of 64 MiB, a multiple of four where there are so many. */
export function defaultChunk(tokens: number, classes: number): number {
  const fitting = Math.floor(chunkBytes / (4 * Math.max(1, tokens)));
  return Math.max(1, Math.min(classes, fitting < 4 ? fitting : fitting - fitting % 4));
}

/**
 * Mean cross-entropy, in nats, of the logits `hidden headᵀ` against class labels: {@linkcode crossEntropy} of a product that never
 * exists as a whole. Logits are computed for one chunk of the classes at a time, and once more in the backward pass (as in Wijmans et
 * al., "Cut Your Losses in Large-Vocabulary Language Models", 2024). Derivatives of every order are right; memory is saved in the
 * first.
 *
 * @param hidden float32 `[…, width]`
 * @param head float32 `[classes, width]`
 * @param labels int32 or uint32 `[…]`, as for {@linkcode crossEntropy}
 * @returns a scalar
 * @throws TypeError where the shapes do not fit, RangeError where `chunk` is no integer of at least 1 or a label is no class
 *
 * @example
 * ```ts
 * import { headLoss, tensor, zeros } from "@hestia/hestia";
 * const labels = tensor(new Uint32Array([1, 3]));
 * console.log(await headLoss(zeros([2, 8]), zeros([4, 8]), labels, { chunk: 3 }).item()); // 1.386…, the logarithm of 4
 * ```
 */
export function headLoss(
  hidden: Tensor,
  head: Tensor,
  labels: Tensor,
  { chunk, ignoreIndex = -100 }: HeadLossOptions = {},
): Tensor {
  checkHead(hidden, head, labels, chunk);
  checkClasses(labels, head.shape[0], ignoreIndex);
  const [classes, width] = head.shape;
  const rows = hidden.reshape([labels.size, width]);
  const list = labels.reshape([labels.size]);
  const logSums = headLogSums(rows, head, { chunk: chunk ?? defaultChunk(labels.size, classes) });
  const chosen = rows.mul(head.gather(list)).sum({ axes: -1 });
  const { sum, count } = counted(logSums.reshape([labels.size]).sub(chosen), list, ignoreIndex);
  return sum.div(count);
}

/**
 * Losses.
 *
 * @module
 */

import { applyFused, type Tensor } from "../tensor.ts";
import { checkLabels } from "./checks.ts";
import { rowLosses } from "./fused.ts";

/**
 * Mean cross-entropy, in nats, of logits against class labels. Positions whose label is `ignoreIndex` do not count, neither in the sum
 * nor in the mean. Labels are not shifted here. NaN when every label is ignored.
 *
 * @param logits float32 `[…, classes]`
 * @param labels int32 or uint32 `[…]`
 * @returns a scalar
 * @throws TypeError where the shapes do not fit
 *
 * @example
 * ```ts
 * import { crossEntropy, tensor, zeros } from "@hestia/hestia";
 * const labels = tensor(new Uint32Array([1, 3]));
 * console.log(await crossEntropy(zeros([2, 4]), labels).item()); // 1.386…, the logarithm of 4
 * ```
 */
export function crossEntropy(logits: Tensor, labels: Tensor, { ignoreIndex = -100 }: { ignoreIndex?: number } = {}): Tensor {
  checkLabels(logits, labels);
  const losses = logits.dtype === "float32" ? applyFused(rowLosses, [logits, labels]) : rowLosses.compose([logits, labels], {});
  if (labels.dtype === "uint32") return losses.mean();
  const counted = labels.equal(ignoreIndex).equal(0).cast("float32");
  return losses.mul(counted).sum().div(counted.sum());
}

/**
 * Distillation: a loss that asks a student to predict what a teacher predicts.
 *
 * @module
 */

import type { Tensor } from "../tensor.ts";
import { checkDistillation } from "./checks.ts";

/** Settings of {@linkcode distillationLoss}. */
export interface DistillationLossOptions {
  /** Both sides' logits are divided by it: above 1 the unlikely classes count more; 1 by default. */
  readonly temperature?: number;
  /** Only the teacher's so many likeliest classes count, renormalised; all by default. Each costs a pass over its logits. */
  readonly topK?: number;
}

/**
 * How far a student's predictions are from a teacher's: the mean over positions of KL(p ‖ q) in nats, times the squared temperature, so
 * that its gradient keeps its size (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv 1503.02531, 2015). With
 * `topK`, p is the teacher's distribution over its likeliest classes alone, q still the student's over all. No gradient reaches the teacher.
 *
 * @param logits float32 `[…, classes]`, of the student
 * @param teacherLogits of the same shape
 * @returns a scalar, at least 0
 * @throws TypeError where the shapes do not fit, RangeError where an option lies outside of its range
 *
 * @example
 * ```ts
 * import { distillationLoss, tensor } from "@hestia/hestia";
 * const teacher = tensor([[2, 0, -1]]);
 * console.log(await distillationLoss(teacher, teacher).item()); // 0
 * console.log(await distillationLoss(tensor([[0, 0, 0]]), teacher, { temperature: 2, topK: 2 }).item()); // above 0
 * ```
 */
export function distillationLoss(
  logits: Tensor,
  teacherLogits: Tensor,
  { temperature = 1, topK }: DistillationLossOptions = {},
): Tensor {
  checkDistillation(logits, teacherLogits, { temperature, topK });
  const log = (x: Tensor): Tensor => x.sub(x.logSumExp());
  const [student, teacher] = [logits.div(temperature), teacherLogits.stopGradient().div(temperature)];
  const kept = topK === undefined || topK >= classesOf(logits) ? undefined : smallestOfTop(teacher, topK).lessEqual(teacher);
  const wanted = log(kept ? kept.where(teacher, leastLogit) : teacher);
  const terms = wanted.exp().mul(wanted.sub(log(student)));
  const divergence = (kept ? kept.where(terms, 0) : terms).sum({ axes: -1 }).mean();
  return divergence.mul(temperature ** 2);
}

const classesOf = ({ shape }: Tensor): number => shape[shape.length - 1];

/** Logit of a class that does not count: its probability is zero, and arithmetic with it stays finite. */
const leastLogit = -1e30;

/** The k-th largest element of each row, `[…, 1]`; elements that tie count as one. */
function smallestOfTop(x: Tensor, k: number): Tensor {
  let border = x.max({ axes: -1, keepDims: true });
  for (let rank = 1; rank < k; rank++) border = x.less(border).where(x, leastLogit).max({ axes: -1, keepDims: true });
  return border;
}

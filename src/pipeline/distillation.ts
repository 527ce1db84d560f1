/**
 * Distillation: the student also learns what a teacher predicts.
 *
 * @module
 */

import type { LlamaConfig } from "../llama/config.ts";
import { recompute } from "../autodiff/recompute.ts";
import { head, llamaHidden, type LlamaModel, type LlamaOptions } from "../llama/model.ts";
import { distillationLoss, type DistillationLossOptions } from "../nn/distillation.ts";
import { crossEntropy } from "../nn/loss.ts";
import type { Tensor } from "../tensor.ts";
import { hiddenLoss, languageModelLoss, rowsInPieces } from "./data.ts";

/** Settings of distillation in `train`. */
export interface Distillation extends DistillationLossOptions {
  /** In full precision, of the student's vocabulary. Its predictions are computed anew in every step. */
  readonly teacher: LlamaModel;
  /** Share of the divergence from the teacher in the loss, 0 to 1; the rest is cross-entropy. 0.5 by default. */
  readonly weight?: number;
}

const prefix = "teacher/";

/** The teacher's parameters among the constants of a training step, under names that no other constant has. */
export function teacherConstants(distillation?: Distillation): Record<string, Tensor> {
  if (!distillation) return {};
  const { teacher: { parameters }, weight = 0.5 } = distillation;
  if (!(weight >= 0 && weight <= 1)) throw new RangeError(`Cannot distil with a weight of ${weight}: wanted 0 to 1`);
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [prefix + name, value]));
}

type Tensors = Readonly<Record<string, Tensor>>;

/** Loss of a batch: the cross-entropy of the next token, mixed with the divergence from the teacher where there is one. */
export function trainingLoss(
  config: LlamaConfig,
  parameters: Tensors,
  { batch, constants, distillation, ...options }: Pick<LlamaOptions, "project" | "recomputeEvery"> & {
    readonly batch: Tensors;
    readonly constants: Tensors;
    readonly distillation?: Distillation;
  },
): Tensor {
  if (!distillation) return languageModelLoss(config, parameters, batch, options);
  const { teacher, weight = 0.5, ...softening } = distillation;
  const own = Object.entries(constants).filter(([name]) => name.startsWith(prefix));
  const known = Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length), value]));
  const { inputs, documents } = batch;
  const models: readonly LlamaModel[] = [{ config, parameters }, { config: teacher.config, parameters: known }];
  const [hidden, seen] = models.map((model, at) => llamaHidden(model, inputs, { ...(at === 0 ? options : {}), documents }));
  const rows = rowsInPieces(hidden, config.hiddenSize, config);
  if (rows.length === 1) {
    const logits = head(models[0], hidden);
    const divergence = distillationLoss(logits, head(models[1], seen), softening);
    return crossEntropy(logits, batch.targets).mul(1 - weight).add(divergence.mul(weight));
  }
  const divergence = recompute((student: Tensor, teacher: Tensor) =>
    // so that logits of one piece exist at a time, in the backward pass too
    distillationLoss(head(models[0], student), head(models[1], teacher), softening)
  );
  const pieces = rowsInPieces(seen, teacher.config.hiddenSize, config)
    .map((others, at) => divergence(rows[at], others).mul(others.shape[0] / inputs.size));
  return hiddenLoss(models[0], hidden, batch).mul(1 - weight).add(pieces.reduce((sum, each) => sum.add(each)).mul(weight));
}

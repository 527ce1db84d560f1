/**
 * Token batches as tensors, and the loss that models are trained by.
 *
 * @module
 */

import { tensor } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { llama, type Project } from "../llama/model.ts";
import { crossEntropy } from "../nn/loss.ts";
import type { Tensor } from "../tensor.ts";
import type { Batch } from "../train/data.ts";

/** Inputs and targets as uint32 tensors `[batch, tokens]`. */
export interface TokenTensors {
  readonly inputs: Tensor;
  readonly targets: Tensor;
  readonly [name: string]: Tensor;
}

/** A batch on its way to the device. */
export function tokenTensors({ inputs, targets, shape }: Batch): TokenTensors {
  return { inputs: tensor(inputs, { shape }), targets: tensor(targets, { shape }) };
}

/** Mean cross-entropy of the next token, in nats. */
export function languageModelLoss(
  config: LlamaConfig,
  parameters: Readonly<Record<string, Tensor>>,
  batch: Readonly<Record<string, Tensor>>,
  project?: Project,
): Tensor {
  return crossEntropy(llama({ config, parameters }, batch.inputs, { project }), batch.targets);
}

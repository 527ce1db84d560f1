/**
 * Token batches as tensors, and the loss that models are trained by.
 *
 * @module
 */

import { tensor } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { head, headOperands, llamaHidden, type LlamaModel, type LlamaOptions } from "../llama/model.ts";
import { crossEntropy, defaultChunk, headLoss } from "../nn/loss.ts";
import type { Tensor } from "../tensor.ts";
import type { Batch } from "../train/data.ts";

/** Inputs and targets, and document numbers where there are any, as uint32 tensors `[batch, tokens]`. */
export interface TokenTensors {
  readonly inputs: Tensor;
  readonly targets: Tensor;
  readonly [name: string]: Tensor;
}

/** A batch on its way to the device. */
export function tokenTensors({ inputs, targets, documents, shape }: Batch): TokenTensors {
  return {
    inputs: tensor(inputs, { shape }),
    targets: tensor(targets, { shape }),
    ...(documents ? { documents: tensor(documents, { shape }) } : {}),
  };
}

/** A batch in pieces of equal size, in its order. Throws a RangeError where the pieces do not divide its sequences. */
export function microBatches({ inputs, targets, documents, shape: [rows, length] }: Batch, pieces = 1): Batch[] {
  if (!(Number.isInteger(pieces) && pieces >= 1 && rows % pieces === 0)) {
    throw new RangeError(`Cannot cut a batch of ${rows} sequences into ${pieces} micro-batches: wanted a divisor of ${rows}`);
  }
  const size = rows / pieces * length;
  return Array.from({ length: pieces }, (_, piece) => {
    const cut = (values: Batch["inputs"]) => values.subarray(piece * size, (piece + 1) * size);
    const own = documents ? { documents: cut(documents) } : {};
    return { inputs: cut(inputs), targets: cut(targets), ...own, shape: [rows / pieces, length] };
  });
}

/** Bytes that logits may take together. */
const logitBytes = 2 ** 26;

/** Rows of `[…, width]`, in pieces whose logits take 64 MiB at most, but for single rows. */
export function rowsInPieces(x: Tensor, width: number, { vocabularySize }: LlamaConfig): Tensor[] {
  const count = x.size / width;
  const most = Math.max(1, Math.floor(logitBytes / (4 * vocabularySize)));
  const rows = x.reshape([count, width]);
  if (count <= most) return [rows];
  return Array.from({ length: Math.ceil(count / most) }, (_, piece) => {
    const [start, stop] = [piece * most, Math.min(count, (piece + 1) * most)];
    return rows.slice([start, 0], [stop, width]);
  });
}

/** Logits `[rows, vocabulary]` of hidden vectors `[…, hidden]`, in pieces that exist one after the other. */
export function logitsInPieces(model: LlamaModel, hidden: Tensor): Tensor[] {
  return rowsInPieces(hidden, model.config.hiddenSize, model.config).map((rows) => head(model, rows));
}

/** Mean cross-entropy of the next token, in nats. Logits of more than 64 MiB are computed in chunks of the vocabulary. */
export function languageModelLoss(
  config: LlamaConfig,
  parameters: Readonly<Record<string, Tensor>>,
  batch: Readonly<Record<string, Tensor>>,
  options?: LlamaOptions,
): Tensor {
  const model = { config, parameters };
  return hiddenLoss(model, llamaHidden(model, batch.inputs, { ...options, documents: batch.documents }), batch);
}

/** The same from what {@linkcode llamaHidden} gives. */
export function hiddenLoss(model: LlamaModel, hidden: Tensor, batch: Readonly<Record<string, Tensor>>): Tensor {
  const { normed, name } = headOperands(model, hidden);
  const [weight, { vocabularySize }] = [model.parameters[name], model.config];
  const { targets } = batch;
  const inChunks = defaultChunk(targets.size, vocabularySize) < vocabularySize;
  return inChunks ? headLoss(normed, weight, targets) : crossEntropy(normed.matmul(weight.transpose()), targets);
}

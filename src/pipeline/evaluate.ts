/**
 * Loss of a model on text that it was not trained on.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { ProgramBytes } from "../core/program.ts";
import { tensor } from "../create.ts";
import { llamaHidden, type LlamaModel, type Project } from "../llama/model.ts";
import { crossEntropySum } from "../nn/loss.ts";
import { constant, type Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { requireFinite } from "../finite.ts";
import { type Batch, type BatchSize, checkedBatch, type GivenBatch, ignoredTarget, requireIds } from "../train/data.ts";
import { logitsInPieces } from "./data.ts";

/** Settings of {@linkcode heldOutLoss}. */
export interface EvaluationOptions extends Partial<BatchSize> {
  /** Evaluate the first batches only; all by default. */
  readonly maxBatches?: number;
  /** Linear maps other than by the weights of the model. */
  readonly project?: Project;
  /** Told of every few batches: tokens predicted so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** What `onProgress` is told of tokens in all where text comes in batches; unknown by default (NaN). */
  readonly total?: number;
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How well a model predicts a text. */
export interface Evaluation {
  /** Mean cross-entropy of a token, in nats. */
  readonly lossNats: number;
  /** exp(lossNats): as uncertain as a choice among this many equally likely tokens. */
  readonly perplexity: number;
  /** Tokens predicted. */
  readonly tokens: number;
}

/** Text to measure on: ids in a row, or batches of which the targets count that are not ignored. */
export type EvaluatedText = ArrayLike<number> | Iterable<GivenBatch> | AsyncIterable<GivenBatch>;

/** Target that does not count. */
const ignored = -100;

/** Bytes that the logits of one program may take, where more than one window is at hand. */
const logitBytes = 2 ** 26;

/** Batches on their way before their losses are read. */
const batchesPerRead = 32;

/**
 * Mean cross-entropy over a text cut into consecutive windows, each predicted from its own beginning: every token but the first counts once,
 * those of the last, shorter window too. The parameters are used as they are: for latent weights, give `roundedModel(model)`.
 *
 * @param text ids, two at least; or batches such as `heldOut.windows` of a data set gives, whose masks and documents are respected
 * @param options `batchSize` 8 and `sequenceLength` 128 by default, for ids
 * @throws RangeError where the text or an option is too small, an id is no token of the model, or the loss is not finite: it names the
 * parameter that holds NaN
 *
 * @example
 * ```ts
 * import { heldOutLoss, initialModel } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const tokens = new TextEncoder().encode("Call me Ishmael.");
 * const { lossNats } = await heldOutLoss(model, tokens, { batchSize: 1, sequenceLength: 8 });
 * console.log(lossNats); // near log(256) = 5.545…, before training
 * ```
 */
export async function heldOutLoss(
  model: LlamaModel,
  text: EvaluatedText,
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const { batchSize = 8, sequenceLength = 128, maxBatches = Infinity } = options;
  if (areBatches(text)) return await measured(model, text, { ...options, maxBatches, total: options.total ?? NaN });
  if (text.length < 2 || batchSize < 1 || sequenceLength < 1 || maxBatches < 1) {
    throw atCaller(
      new RangeError(
        `Cannot evaluate ${text.length} tokens in batches of ${batchSize} × ${sequenceLength}, ${maxBatches} at most: ` +
          `wanted two tokens or more, and at least 1 of each`,
      ),
    );
  }
  const total = Math.min(text.length - 1, maxBatches * batchSize * sequenceLength);
  const rows = rowsAtOnce(batchSize, 4 * sequenceLength * model.config.vocabularySize);
  const { vocabularySize } = model.config;
  const batches = windowsOf(text, { total, shape: [rows, sequenceLength], vocabularySize });
  return await measured(model, batches, { ...options, maxBatches: Infinity, total });
}

function areBatches(text: EvaluatedText): text is Iterable<GivenBatch> | AsyncIterable<GivenBatch> {
  return !("length" in text) || typeof text[0] === "object";
}

/** The mean over the targets of batches, of which some are on their way at a time. */
async function measured(
  model: LlamaModel,
  batches: Iterable<GivenBatch> | AsyncIterable<GivenBatch>,
  { maxBatches, total, project, onProgress, signal }: EvaluationOptions & { readonly maxBatches: number; readonly total: number },
): Promise<Evaluation> {
  const batchLoss = compileLoss(model, project);
  let [sum, tokens, taken] = [0, 0, 0];
  let waiting: { readonly loss: Tensor; readonly count: number }[] = [];
  const read = async () => {
    const means = await Promise.all(waiting.map(({ loss }) => loss.item()));
    waiting.forEach(({ loss, count }, index) => {
      sum += means[index] * count;
      tokens += count;
      loss.dispose();
    });
    waiting = [];
    onProgress?.(tokens, total);
  };
  for await (const given of batches) {
    if (taken++ >= maxBatches) break;
    signal?.throwIfAborted();
    const batch = checkedBatch(given, model.config.vocabularySize, "Cannot evaluate");
    const count = batch.targets.reduce((all, target) => all + Number(target !== ignoredTarget), 0);
    if (count === 0) continue; // it has no loss
    waiting.push({ loss: batchLoss(signedTensors(batch)), count });
    if (waiting.length === batchesPerRead) await read();
  }
  if (waiting.length > 0) await read();
  if (tokens === 0) throw new RangeError("Cannot evaluate: no target of the text counts");
  const lossNats = sum / tokens;
  if (!Number.isFinite(lossNats)) await explain(model, lossNats);
  return { lossNats, perplexity: Math.exp(lossNats), tokens };
}

/** Throws a RangeError that names the parameter at fault, or says that there is none. */
async function explain({ parameters }: LlamaModel, lossNats: number): Promise<never> {
  await requireFinite(parameters, `evaluate (the loss is ${lossNats})`);
  throw new RangeError(`Cannot evaluate: the loss is ${lossNats}, though all parameters are finite; its activations overflow`);
}

/** The largest part of a batch whose logits fit, at least one window. */
export function rowsAtOnce(batchSize: number, bytesPerWindow: number): number {
  let rows = batchSize;
  while (rows > 1 && (batchSize % rows !== 0 || rows * bytesPerWindow > logitBytes)) rows--;
  return rows;
}

/** Device memory of {@linkcode heldOutLoss}, before anything is allocated; undefined on the reference backend. */
export async function evaluationBytes(
  model: LlamaModel,
  { batchSize, sequenceLength }: BatchSize,
): Promise<ProgramBytes | undefined> {
  const rows = rowsAtOnce(batchSize, 4 * sequenceLength * model.config.vocabularySize);
  const ids = () => constant(0, [rows, sequenceLength], "int32");
  return await compileLoss(model).bytes({ inputs: ids(), targets: ids() });
}

function compileLoss(model: LlamaModel, project?: Project) {
  return compile(({ inputs, targets, documents }: Readonly<Record<string, Tensor>>) => {
    const pieces = logitsInPieces(model, llamaHidden(model, inputs, { project, documents }));
    const labels = targets.reshape([targets.size]);
    let start = 0;
    const sums = pieces.map((logits) =>
      crossEntropySum(logits, labels.slice([start], [start += logits.shape[0]]), { ignoreIndex: ignored })
    );
    const total = (which: "sum" | "count") => sums.map((each) => each[which]).reduce((a, b) => a.add(b));
    return total("sum").div(total("count"));
  }, { donate: ["inputs", "targets"] });
}

/** A batch as int32 tensors, in which a target that does not count is -100. */
function signedTensors({ inputs, targets, documents, shape }: Batch): Record<string, Tensor> {
  const signed = (ids: Uint32Array<ArrayBuffer>) => tensor(new Int32Array(ids.buffer, ids.byteOffset, ids.length), { shape });
  return { inputs: signed(inputs), targets: signed(targets), ...(documents ? { documents: signed(documents) } : {}) };
}

/** Consecutive windows of a text; what lies behind it is filled up, with targets that do not count. */
function* windowsOf(
  tokens: ArrayLike<number>,
  { total, shape, vocabularySize }: { total: number; shape: readonly [number, number]; vocabularySize: number },
): Generator<Batch, void> {
  const length = shape[0] * shape[1];
  for (let start = 0; start < total; start += length) {
    requireIds(tokens, { from: start, to: Math.min(tokens.length, start + length + 1), vocabularySize }, "Cannot evaluate");
    const inputs = Uint32Array.from({ length }, (_, index) => tokens[start + index] ?? 0);
    const targets = Uint32Array.from({ length }, (_, at) => start + at < total ? tokens[start + at + 1] : ignoredTarget);
    yield { inputs, targets, shape };
  }
}

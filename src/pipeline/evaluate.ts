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
import { constant } from "../tensor.ts";
import { compile } from "../trace.ts";
import { requireFinite } from "../finite.ts";
import { type BatchSize, requireIds } from "../train/data.ts";
import { logitsInPieces } from "./data.ts";

/** Settings of {@linkcode heldOutLoss}. */
export interface EvaluationOptions extends Partial<BatchSize> {
  /** Evaluate the first batches only; all by default. */
  readonly maxBatches?: number;
  /** Linear maps other than by the weights of the model. */
  readonly project?: Project;
  /** Told of every few batches: tokens predicted so far, and in all. */
  readonly onProgress?: (done: number, total: number) => void;
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
 * @param tokens the text, two tokens at least
 * @param options `batchSize` 8 and `sequenceLength` 128 by default
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
  tokens: ArrayLike<number>,
  options: EvaluationOptions = {},
): Promise<Evaluation> {
  const { batchSize = 8, sequenceLength = 128, maxBatches = Infinity, onProgress, signal } = options;
  if (tokens.length < 2 || batchSize < 1 || sequenceLength < 1 || maxBatches < 1) {
    throw atCaller(
      new RangeError(
        `Cannot evaluate ${tokens.length} tokens in batches of ${batchSize} × ${sequenceLength}, ${maxBatches} at most: ` +
          `wanted two tokens or more, and at least 1 of each`,
      ),
    );
  }
  const batchLoss = compileLoss(model, options.project);
  const total = Math.min(tokens.length - 1, maxBatches * batchSize * sequenceLength);
  const { vocabularySize } = model.config;
  const rows = rowsAtOnce(batchSize, 4 * sequenceLength * vocabularySize);
  const perRun = rows * sequenceLength;
  let sum = 0;
  for (let start = 0; start < total;) {
    signal?.throwIfAborted();
    const counts: number[] = [];
    const losses = [];
    for (; start < total && losses.length < batchesPerRead; start += perRun) {
      const { inputs, targets } = windowsAt(tokens, { start, shape: [rows, sequenceLength], vocabularySize });
      losses.push(batchLoss({ inputs, targets }));
      counts.push(Math.min(perRun, total - start));
    }
    const means = await Promise.all(losses.map((loss) => loss.item()));
    means.forEach((mean, index) => sum += mean * counts[index]);
    losses.forEach((loss) => loss.dispose());
    onProgress?.(Math.min(start, total), total);
  }
  const lossNats = sum / total;
  if (!Number.isFinite(lossNats)) await explain(model, lossNats);
  return { lossNats, perplexity: Math.exp(lossNats), tokens: total };
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
  return compile(({ inputs, targets }) => {
    const pieces = logitsInPieces(model, llamaHidden(model, inputs, { project }));
    const labels = targets.reshape([targets.size]);
    let start = 0;
    const sums = pieces.map((logits) =>
      crossEntropySum(logits, labels.slice([start], [start += logits.shape[0]]), { ignoreIndex: ignored })
    );
    const total = (which: "sum" | "count") => sums.map((each) => each[which]).reduce((a, b) => a.add(b));
    return total("sum").div(total("count"));
  }, { donate: ["inputs", "targets"] });
}

/** Consecutive windows from `start` on; what lies behind the text is filled up, with targets that do not count. */
function windowsAt(
  tokens: ArrayLike<number>,
  { start, shape, vocabularySize }: { start: number; shape: readonly [number, number]; vocabularySize: number },
) {
  const length = shape[0] * shape[1];
  requireIds(tokens, { from: start, to: Math.min(tokens.length, start + length + 1), vocabularySize }, "Cannot evaluate");
  const inputs = Int32Array.from({ length }, (_, index) => tokens[start + index] ?? 0);
  const targets = Int32Array.from({ length }, (_, index) => tokens[start + index + 1] ?? ignored);
  return { inputs: tensor(inputs, { shape }), targets: tensor(targets, { shape }) };
}

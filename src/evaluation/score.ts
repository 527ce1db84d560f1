/**
 * Log-probabilities that a model gives to chosen tokens of many rows, batched by length.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { tensor } from "../create.ts";
import { requireFinite } from "../finite.ts";
import { llamaHidden, type LlamaModel } from "../llama/model.ts";
import { argmax } from "../llama/sample.ts";
import { rowLosses } from "../nn/fused.ts";
import { logitsInPieces } from "../pipeline/data.ts";
import { applyFused, type Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { type GroupedBatch, groupedBatches, hiddenBehind, roundedLength, tokensOf } from "./batches.ts";

/** A row of tokens, and which tokens are looked for after which of them. */
export interface ScoredRow {
  /** Token ids, each of which sees those before it. */
  readonly inputs: ArrayLike<number>;
  /** Places in `inputs`, after which `targets` are looked for; a place may occur several times. */
  readonly positions: ArrayLike<number>;
  /** Token ids. */
  readonly targets: ArrayLike<number>;
}

/** What a model says of the targets of a row, in their order. */
export interface TokenScores {
  /** log p of each target, in nats. */
  readonly logProbabilities: Float64Array;
  /** Whether each target is the likeliest token of all. */
  readonly greedy: readonly boolean[];
}

/** How rows are run. */
export interface ScoringOptions {
  /** Tokens of a batch at most, where a row alone has no more; 4096 by default. */
  readonly batchTokens?: number;
  /** Told after each batch: input tokens that are done, and all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the work with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Rows of hidden vectors from which tokens are predicted: `[chosen, hidden]`. */
export function chosenHidden(model: LlamaModel, { inputs, places }: Readonly<Record<"inputs" | "places", Tensor>>): Tensor {
  const hidden = llamaHidden(model, inputs);
  return hidden.reshape([inputs.size, model.config.hiddenSize]).gather(places);
}

/** What a batch is on the device, and whose each of its targets is. */
interface Laid {
  readonly tensors: Readonly<Record<string, Tensor>>;
  readonly owners: readonly { readonly row: number; readonly at: number }[];
}

/** Losses of targets, and the likeliest tokens in their places, in pieces. */
function pieceScores(model: LlamaModel, chosen: Tensor, targets: Tensor) {
  let start = 0;
  return logitsInPieces(model, chosen).map((logits) => {
    const labels = targets.slice([start], [start += logits.shape[0]]);
    return { losses: applyFused(rowLosses, [logits, labels]), best: argmax(logits) };
  });
}

function compileScores(model: LlamaModel) {
  return compile((inputs: Readonly<Record<string, Tensor>>) => {
    const hidden = "prefixes" in inputs ? hiddenBehind(model, inputs) : llamaHidden(model, inputs.inputs);
    const chosen = hidden.reshape([inputs.inputs.size, model.config.hiddenSize]).gather(inputs.places);
    return pieceScores(model, chosen, inputs.targets);
  }, { donate: ["inputs", "places", "targets", "prefixes", "groups"] });
}

/** The rows of a batch without the tokens that they share, and these once for each group. */
function laidOut(rows: readonly ScoredRow[], { rows: chosen, shape: [height, length], shared }: GroupedBatch): Laid {
  const inputs = new Int32Array(height * length);
  const skipped = shared?.length ?? 0;
  const [places, targets, owners]: [number[], number[], Laid["owners"][number][]] = [[], [], []];
  chosen.forEach((row, index) => {
    const { inputs: ids, positions, targets: wanted } = rows[row];
    inputs.set(Array.from(ids).slice(skipped), index * length);
    for (let at = 0; at < positions.length; at++) {
      places.push(index * length + positions[at] - skipped);
      targets.push(wanted[at]);
      owners.push({ row, at });
    }
  });
  const count = roundedLength(places.length); // what fills it up is read by nobody
  const list = (values: ArrayLike<number>, size: number) => tensor(Int32Array.from({ length: size }, (_, at) => values[at] ?? 0));
  const tensors = {
    inputs: tensor(inputs, { shape: [height, length] }),
    places: list(places, count),
    targets: list(targets, count),
  };
  if (!shared) return { tensors, owners };
  const prefixes = Int32Array.from(shared.prefixes.flatMap((row) => Array.from(rows[row].inputs).slice(0, skipped)));
  const ids = tensor(prefixes, { shape: [shared.prefixes.length, skipped] });
  const groups = list(shared.groups, height);
  return { tensors: { ...tensors, prefixes: ids, groups }, owners };
}

/**
 * Scores of the targets of rows. The logits of a batch exist in pieces of 64 MiB, and only where tokens are looked for. What several rows
 * begin with, before any of their targets, is computed once.
 *
 * @throws RangeError where a row is longer than the model's context, or holds a token that the model does not have, or no number comes out
 */
export async function scoreRows(
  model: LlamaModel,
  rows: readonly ScoredRow[],
  options: ScoringOptions = {},
): Promise<TokenScores[]> {
  const { batchTokens = 4096, onProgress, signal } = options;
  checkRows(model, rows);
  const scores = rows.map(({ positions: { length } }) => ({
    logProbabilities: new Float64Array(length),
    greedy: new Array<boolean>(length).fill(false),
  }));
  const batches = groupedBatches(rows, { most: model.config.maxPositions, batchTokens });
  const total = batches.reduce((sum, batch) => sum + tokensOf(rows, batch), 0);
  const score = compileScores(model);
  let done = 0;
  let earlier = Promise.resolve();
  signal?.throwIfAborted();
  for (const batch of batches) {
    const { tensors, owners } = laidOut(rows, batch);
    const read = pieces(score(tensors));
    read.catch(() => {}); // said where it is awaited, unless an earlier batch fails
    await earlier; // one batch is read while the next one runs
    signal?.throwIfAborted();
    earlier = read.then(({ losses, best }) => {
      owners.forEach(({ row, at }, index) => {
        scores[row].logProbabilities[at] = -losses[index];
        scores[row].greedy[at] = best[index] === rows[row].targets[at];
      });
      done += tokensOf(rows, batch);
      onProgress?.(done, total);
    });
  }
  await earlier;
  if (scores.some(({ logProbabilities }) => logProbabilities.some(Number.isNaN))) await explain(model);
  return scores;
}

/** Numbers of all pieces, one after the other; what held them is freed. */
async function pieces(list: readonly { losses: Tensor; best: Tensor }[]): Promise<{ losses: number[]; best: number[] }> {
  const [losses, best] = await Promise.all(
    (["losses", "best"] as const).map(async (which) => {
      const parts = await Promise.all(list.map((piece) => piece[which].data()));
      return parts.flatMap((part) => Array.from(part as ArrayLike<number>));
    }),
  );
  for (const piece of list) [piece.losses, piece.best].forEach((each) => each.dispose());
  return { losses, best };
}

async function explain({ parameters }: LlamaModel): Promise<never> {
  await requireFinite(parameters, "score tokens");
  throw new RangeError(
    "Cannot score tokens: a probability is not a number, though all parameters are finite; activations overflow",
  );
}

/** Throws a RangeError where the model cannot take a row. */
export function checkRows({ config }: LlamaModel, rows: readonly Pick<ScoredRow, "inputs" | "targets">[]): void {
  for (const { inputs, targets } of rows) {
    if (inputs.length > config.maxPositions) {
      throw atCaller(
        new RangeError(`Cannot score a row of ${inputs.length} tokens: the model's context ends at ${config.maxPositions}`),
      );
    }
    for (const ids of [inputs, targets]) {
      for (let at = 0; at < ids.length; at++) {
        if (ids[at] >= 0 && ids[at] < config.vocabularySize) continue;
        throw atCaller(new RangeError(`Cannot score the token ${ids[at]}: wanted ids from 0 to ${config.vocabularySize - 1}`));
      }
    }
  }
}

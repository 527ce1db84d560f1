/**
 * How far a model's predictions are from those of a base model, token by token: what llama.cpp reports of quantizations.
 *
 * @module
 */

import { tensor } from "../create.ts";
import type { LlamaModel } from "../llama/model.ts";
import { logitsInPieces } from "../pipeline/data.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { type BaseHeader, chunkPlace, decodedRow, encodedRows, extremes, headerBytes, rowsOfChunk } from "./base_logits.ts";
import type { TextModel } from "./log_likelihood.ts";
import { withBegin } from "./protocols.ts";
import { checkRows, chosenHidden, type ScoringOptions } from "./score.ts";
import { type Mean, meanOf, percentile } from "./statistics.ts";

/** Logits for the second half of chunks, one chunk after another: `[rows, vocabulary]` each. */
async function* chunkLogits(
  model: LlamaModel & Pick<TextModel, "beginToken">,
  { contextLength, chunks }: BaseHeader,
  { onProgress, signal }: ScoringOptions,
): AsyncGenerator<Float32Array> {
  checkRows(model, chunks.map((tokens) => ({ inputs: tokens, targets: [] })));
  const count = rowsOfChunk(contextLength);
  const first = Math.floor(contextLength / 2);
  const run = compile(({ inputs }: Readonly<Record<string, Tensor>>) => {
    const places = tensor(Int32Array.from({ length: count }, (_, at) => first + at));
    return logitsInPieces(model, chosenHidden(model, { inputs, places }));
  }, { donate: ["inputs"] });
  for (const [index, tokens] of chunks.entries()) {
    signal?.throwIfAborted();
    const inputs = Int32Array.from(withBegin(tokens, model.beginToken));
    const pieces = run({ inputs: tensor(inputs, { shape: [1, contextLength] }) });
    const logits = new Float32Array(count * model.config.vocabularySize);
    let at = 0;
    for (const piece of pieces) {
      const part = await piece.data();
      logits.set(part as ArrayLike<number>, at);
      at += part.length;
      piece.dispose();
    }
    onProgress?.((index + 1) * contextLength, chunks.length * contextLength);
    yield logits;
  }
}

/** The file of a base model's logits, in parts. `onNats` is told of each token that counts: -log p. */
export async function* baseLogits(
  model: LlamaModel & Pick<TextModel, "beginToken">,
  chunks: readonly Int32Array[],
  options: ScoringOptions & { readonly onNats: (nats: number) => void },
): AsyncGenerator<Uint8Array> {
  const { vocabularySize } = model.config;
  const contextLength = chunks[0].length;
  const header = { contextLength, vocabularySize, chunks };
  yield headerBytes(header);
  let chunk = 0;
  for await (const logits of chunkLogits(model, header, options)) {
    const tokens = chunks[chunk++];
    for (let row = 0; row < rowsOfChunk(contextLength); row++) {
      const own = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
      const { most, logSum } = extremes(own);
      options.onNats(most + logSum - own[targetOf(tokens, row)]);
    }
    yield encodedRows(logits, vocabularySize);
  }
}

/** The token that a row of a chunk predicts. */
function targetOf(tokens: Int32Array, row: number): number {
  return tokens[Math.floor(tokens.length / 2) + 1 + row];
}

/** How two models differ on one token. */
interface TokenDifference {
  readonly nats: number;
  readonly baseNats: number;
  /** Σ p (log p - log q) over the tokens that the base gives more than e^-16, p its probabilities and q the model's. */
  readonly divergence: number;
  readonly isSameTop: boolean;
}

/** log p of the base below which a token is left out. */
const leastLogProbability = -16;

function differenceOf(logits: Float32Array, base: Float32Array, target: number): TokenDifference {
  const { most, logSum } = extremes(logits);
  const norm = most + logSum;
  let divergence = 0;
  let [top, baseTop] = [0, 0];
  for (let token = 0; token < base.length; token++) {
    if (logits[token] > logits[top]) top = token;
    if (base[token] > base[baseTop]) baseTop = token;
    if (base[token] > leastLogProbability) divergence += Math.exp(base[token]) * (base[token] - logits[token] + norm);
  }
  return { nats: norm - logits[target], baseNats: -base[target], divergence, isSameTop: top === baseTop };
}

/** Shares of tokens for which percentiles are told. */
const shares = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999] as const;

/** What is told of a model beside its base. */
export interface Divergence {
  /** Mean Kullback-Leibler divergence of a token, in nats. */
  readonly divergence: Mean;
  /** Divergence that a share of the tokens stays below, by that share; 1 is the largest. */
  readonly percentiles: Readonly<Record<string, number>>;
  /** Share of tokens whose likeliest successor is the same. */
  readonly sameTop: Mean;
  /** Change of the right token's probability: from -1 to 1. */
  readonly probabilityChange: Mean;
  /** Root of the mean square of that change. */
  readonly rmsProbabilityChange: number;
  /** -log p of the right token, of the model and of the base. */
  readonly nats: Mean;
  readonly baseNats: Mean;
  /** Of the difference of both, token by token: the logarithm of the ratio of the perplexities. */
  readonly natsDifference: Mean;
  readonly tokens: number;
}

/**
 * Compares a model with the base whose file `read` gives parts of.
 *
 * @throws RangeError where the vocabulary is another, or chunks are longer than the model's context
 */
export async function divergenceFromBase(
  model: LlamaModel & Pick<TextModel, "beginToken">,
  { header, read }: { readonly header: BaseHeader; readonly read: (start: number, bytes: number) => Promise<Uint8Array> },
  options: ScoringOptions = {},
): Promise<Divergence> {
  const { vocabularySize } = model.config;
  if (header.vocabularySize !== vocabularySize) {
    throw new RangeError(`Cannot compare with base logits of ${header.vocabularySize} tokens: the model has ${vocabularySize}`);
  }
  const found: TokenDifference[] = [];
  let chunk = 0;
  for await (const logits of chunkLogits(model, header, options)) {
    const { start, bytes } = chunkPlace(header, chunk);
    const stored = await read(start, bytes);
    const tokens = header.chunks[chunk++];
    for (let row = 0; row < rowsOfChunk(header.contextLength); row++) {
      const own = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
      found.push(differenceOf(own, decodedRow(stored, row, vocabularySize), targetOf(tokens, row)));
    }
  }
  return summaryOf(found);
}

function summaryOf(found: readonly TokenDifference[]): Divergence {
  const sorted = Float64Array.from(found, ({ divergence }) => divergence).sort();
  const changes = found.map(({ nats, baseNats }) => Math.exp(-nats) - Math.exp(-baseNats));
  const percentiles = Object.fromEntries([...shares, 1].map((share) => [String(share), percentile(sorted, share)]));
  return {
    divergence: meanOf(sorted),
    percentiles,
    sameTop: meanOf(found.map(({ isSameTop }) => Number(isSameTop))),
    probabilityChange: meanOf(changes),
    rmsProbabilityChange: Math.sqrt(meanOf(changes.map((change) => change ** 2)).mean),
    nats: meanOf(found.map(({ nats }) => nats)),
    baseNats: meanOf(found.map(({ baseNats }) => baseNats)),
    natsDifference: meanOf(found.map(({ nats, baseNats }) => nats - baseNats)),
    tokens: found.length,
  };
}

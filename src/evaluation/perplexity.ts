/**
 * Perplexity by a named protocol.
 *
 * @module
 */

import type { TextModel } from "./log_likelihood.ts";
import { type CountedRow, type ProtocolName, type ProtocolOptions, protocols } from "./protocols.ts";
import { scoreRows, type ScoringOptions } from "./score.ts";
import { meanOf } from "./statistics.ts";

/** How well a model predicts a text. */
export interface Perplexity {
  /** Mean of -log p over the tokens that count. */
  readonly nats: number;
  /** Of the mean. */
  readonly natsStandardError: number;
  /** exp(nats). */
  readonly perplexity: number;
  /** To first order: that of the nats, times the perplexity. It is what llama.cpp prints. */
  readonly perplexityStandardError: number;
  /** Nats over log 2 and over the bytes, in UTF-8, of the tokens that count. */
  readonly bitsPerByte: number;
  /** Tokens that count. */
  readonly tokens: number;
  /** Bytes of these. */
  readonly bytes: number;
}

/** Settings of {@linkcode textPerplexity}. */
export interface TextPerplexityOptions extends ScoringOptions {
  /** How the text is cut, and which tokens count: "whole" by default. */
  readonly protocol?: ProtocolName;
  /** Tokens of a window: by default 512, or all that the model takes. */
  readonly contextLength?: number;
  /** Tokens from one window to the next, for "stride"; half a window by default. */
  readonly stride?: number;
}

/** Bytes that the logits of a batch may take, where it has more than one window. */
const logitBytes = 2 ** 26;

/** Settings of a protocol, with their defaults. */
export function protocolOptions(
  { config: { maxPositions } }: Pick<TextModel, "config">,
  { contextLength = Math.min(512, maxPositions), stride = Math.max(1, Math.floor(contextLength / 2)) }: TextPerplexityOptions,
): ProtocolOptions {
  if (contextLength >= 2 && contextLength <= maxPositions) return { contextLength, stride };
  throw new RangeError(
    `Cannot measure with windows of ${contextLength} tokens: wanted 2 to ${maxPositions}, the model's context`,
  );
}

/**
 * Perplexity of a text by a named protocol: "whole", consecutive windows, as `heldOutLoss`; "stride", the sliding window of the literature, with
 * true counts; "llama.cpp", chunks of which the second half counts; "hestia", the release's packing of whole documents. All but the last join
 * documents by an empty line, and begin with the begin token of the model, where it has one.
 *
 * @param model any, packed ones too, with its tokenizer; with latent weights, give `roundedModel(model)`
 * @param documents texts
 * @throws RangeError where the text is too short, or a window longer than the model's context
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, textPerplexity } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const text = "Call me Ishmael. ".repeat(4);
 * const { perplexity, tokens } = await textPerplexity({ ...model, tokenizer: byteTokenizer }, [text], { protocol: "stride", contextLength: 16 });
 * console.log(tokens, perplexity); // 67 and about 256, since the model has learned nothing
 * ```
 */
export async function textPerplexity(
  model: TextModel,
  documents: readonly string[],
  options: TextPerplexityOptions = {},
): Promise<Perplexity> {
  const settings = protocolOptions(model, options);
  const rows = protocols[options.protocol ?? "whole"].rows(model, documents, settings);
  const batchTokens = Math.min(4096, Math.floor(logitBytes / (4 * model.config.vocabularySize))); // or one window
  const scores = await scoreRows(model, rows.map(scoredRow), { batchTokens, ...options });
  const nats = new Float64Array(rows.reduce((sum, { counted }) => sum + counted.length, 0));
  let at = 0;
  for (const { logProbabilities } of scores) {
    nats.set(logProbabilities.map((value) => -value), at);
    at += logProbabilities.length;
  }
  return perplexityOf(nats, rows.reduce((sum, { bytes }) => sum + bytes, 0));
}

function scoredRow({ tokens, counted }: CountedRow) {
  return {
    inputs: Array.from(tokens).slice(0, -1),
    positions: counted.map((at) => at - 1),
    targets: counted.map((at) => tokens[at]),
  };
}

/** What the nats of tokens say together. */
export function perplexityOf(nats: ArrayLike<number>, bytes: number): Perplexity {
  const { mean, standardError } = meanOf(nats);
  const perplexity = Math.exp(mean);
  return {
    nats: mean,
    natsStandardError: standardError,
    perplexity,
    perplexityStandardError: perplexity * standardError,
    bitsPerByte: mean * nats.length / (Math.LN2 * bytes),
    tokens: nats.length,
    bytes,
  };
}

/**
 * Small models for tests.
 *
 * @module
 */

import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { initialParameters } from "../../src/llama/parameters.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";

/** Two layers over bytes, with grouped queries, a tied head, and rope scaling that tells its three ranges apart. */
export const tinyConfig: LlamaConfig = {
  vocabularySize: 256,
  hiddenSize: 64,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 16,
  intermediateSize: 128,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  ropeScaling: { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 64 },
  tieEmbeddings: true,
  maxPositions: 256,
};

/** A model with random weights, large enough that its predictions differ. */
export function tinyModel({ seed = 1, ...config }: Partial<LlamaConfig> & { readonly seed?: number } = {}): LanguageModel {
  const full = { ...tinyConfig, ...config };
  return {
    config: full,
    parameters: initialParameters(full, { seed, deviation: 0.15 }),
    tokenizer: byteTokenizer,
    endTokens: [],
  };
}

/** English-like bytes: a text to predict. */
export function sampleText(length: number): Uint8Array<ArrayBuffer> {
  const line = "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little. ";
  return new TextEncoder().encode(line.repeat(Math.ceil(length / line.length)).slice(0, length));
}

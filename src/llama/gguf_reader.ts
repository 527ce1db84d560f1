/**
 * The architecture of a Llama model from the metadata of a GGUF file.
 *
 * @module
 */

import type { GgufMetadata } from "../io/gguf.ts";
import type { RopeScaling } from "../nn/rotary.ts";
import { huggingFaceConfig, type LlamaConfig } from "./config.ts";
import { type LlamaConfigJson, ropeFactors } from "./gguf_metadata.ts";

/** Keys of our own: GGUF has the factors that rope scaling leads to, not what they come from. */
const ropeKeys = {
  factor: "hestia.rope.factor",
  lowFrequencyFactor: "hestia.rope.low_frequency_factor",
  highFrequencyFactor: "hestia.rope.high_frequency_factor",
  originalMaxPositions: "hestia.rope.original_max_positions",
} as const satisfies Record<keyof RopeScaling, string>;

/** The rope scaling that every model of the Llama 3.1 and 3.2 families has, apart from its factor. */
const llama3Scaling = { lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };

/** Metadata that lets {@linkcode ggufLlamaConfig} find the rope scaling again; none for a model without. */
export function ropeMetadata({ ropeScaling }: LlamaConfig): GgufMetadata {
  if (!ropeScaling) return {};
  const keys = Object.keys(ropeKeys) as (keyof RopeScaling)[];
  return Object.fromEntries(keys.map((key) => [ropeKeys[key], { type: "float32", value: ropeScaling[key] }]));
}

/** What the tensors of a GGUF file say about the architecture. */
export interface TensorFacts {
  /** Rows of the embedding. */
  readonly vocabularySize: number;
  /** Whether there is no head but the embedding. */
  readonly tieEmbeddings: boolean;
  /** Values of `rope_freqs.weight`, where there is such a tensor. */
  readonly ropeFactors?: ArrayLike<number>;
}

/** Architecture of a GGUF file. Throws a RangeError that names the key where it is no Llama, or a value is missing. */
export function ggufLlamaConfig(metadata: GgufMetadata, facts: TensorFacts): LlamaConfig {
  const architecture = metadata["general.architecture"]?.value;
  if (architecture !== "llama") {
    throw new RangeError(`Cannot read the model: general.architecture is ${JSON.stringify(architecture)}, wanted "llama"`);
  }
  const heads = number(metadata, "llama.attention.head_count");
  const hiddenSize = number(metadata, "llama.embedding_length");
  const config: LlamaConfig = {
    vocabularySize: facts.vocabularySize,
    hiddenSize,
    layers: number(metadata, "llama.block_count"),
    heads,
    keyValueHeads: number(metadata, "llama.attention.head_count_kv", heads),
    headDim: number(metadata, "llama.attention.key_length", hiddenSize / heads),
    intermediateSize: number(metadata, "llama.feed_forward_length"),
    normEpsilon: decimal(number(metadata, "llama.attention.layer_norm_rms_epsilon")),
    ropeTheta: number(metadata, "llama.rope.freq_base", 10_000),
    tieEmbeddings: facts.tieEmbeddings,
    maxPositions: number(metadata, "llama.context_length"),
  };
  return facts.ropeFactors ? withScaling(config, metadata, facts.ropeFactors) : config;
}

function number(metadata: GgufMetadata, key: string, absent?: number): number {
  const value = metadata[key]?.value ?? absent;
  if (typeof value === "number" && value > 0) return value;
  throw new RangeError(`Cannot read the model: ${key} is ${value}, wanted a number above 0`);
}

/** The short decimal fraction that a float32 was rounded from: 1e-5 rather than 0.000009999999747. */
function decimal(single: number): number {
  return Number(single.toPrecision(7));
}

function withScaling(config: LlamaConfig, metadata: GgufMetadata, factors: ArrayLike<number>): LlamaConfig {
  const factor = Array.from(factors).reduce((largest, value) => Math.max(largest, value), 1);
  const standard: RopeScaling = { factor, ...llama3Scaling };
  const keys = Object.keys(ropeKeys) as (keyof RopeScaling)[];
  const entries = keys.map((key) => [key, decimal(number(metadata, ropeKeys[key], standard[key]))]);
  const scaled: LlamaConfig = { ...config, ropeScaling: Object.fromEntries(entries) as unknown as RopeScaling };
  const isWhole = factors.length === config.headDim / 2; // before anything of that length is made
  const wanted = isWhole ? ropeFactors(huggingFaceConfig(scaled) as unknown as LlamaConfigJson) : undefined;
  const agrees = wanted?.every((value, pair) => Math.abs(value / factors[pair] - 1) < 1e-4);
  if (agrees) return scaled;
  throw new RangeError(
    `Cannot read the model: its rope factors are not those of Llama 3 with ${JSON.stringify(scaled.ropeScaling)}`,
  );
}

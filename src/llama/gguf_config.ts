/**
 * The architecture of a model from the metadata of a GGUF file.
 *
 * @module
 */

import { checkFields, type ReadingOptions } from "../io/fields.ts";
import type { GgufMetadata } from "../io/gguf.ts";
import { type Llama3Scaling, type RopeScaling, yarnSize } from "../nn/rotary.ts";
import type { LlamaConfig } from "./config.ts";
import { familyOf } from "./families.ts";
import { ggufFamily, ggufFields, hestiaKeys, metadataNumber, metadataValues } from "./gguf_fields.ts";
import { llama3Keys, ropeFactors } from "./gguf_metadata.ts";
import type { LayerLinear } from "./parameters.ts";

/** The rope scaling that every model of the Llama 3.1 and 3.2 families has, apart from its factor. */
const llama3Scaling = { lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };

/** What the tensors of a GGUF file say about the architecture. */
export interface TensorFacts {
  /** Rows of the embedding. */
  readonly vocabularySize: number;
  /** Whether there is no head but the embedding. */
  readonly tieEmbeddings: boolean;
  /** Values of `rope_freqs.weight`, where there is such a tensor. */
  readonly ropeFactors?: ArrayLike<number>;
  /** Linear maps of the layers that have a bias; none where absent. */
  readonly biases?: readonly LayerLinear[];
}

/** Architecture of a GGUF file. Throws a RangeError that names the key which is missing, not known, or has a value that is not. */
export function ggufLlamaConfig(metadata: GgufMetadata, facts: TensorFacts, reading: ReadingOptions = {}): LlamaConfig {
  const name = ggufFamily(metadata);
  const family = familyOf({ family: name });
  const action = "Cannot read the model";
  checkFields(metadataValues(metadata), ggufFields(family.gguf), { action, what: "metadata NAME", ...reading });
  const number = (key: string, absent?: number): number => numberAt(metadata, `${family.gguf}.${key}`, absent);
  const [heads, hiddenSize] = [number("attention.head_count"), number("embedding_length")];
  const headDim = number("attention.key_length", hiddenSize / heads);
  for (const key of ["attention.value_length", "rope.dimension_count"]) {
    const value = number(key, headDim);
    if (value !== headDim) throw new RangeError(`${action}: ${family.gguf}.${key} is ${value}, wanted ${headDim} as in the keys`);
  }
  const scaling = metadataScaling(metadata, family.gguf);
  const { biases = [] } = facts;
  const config: LlamaConfig = {
    ...(name === "llama" ? {} : { family: name }),
    vocabularySize: facts.vocabularySize,
    hiddenSize,
    layers: number("block_count"),
    heads,
    keyValueHeads: number("attention.head_count_kv", heads),
    headDim,
    intermediateSize: number("feed_forward_length"),
    normEpsilon: decimal(number("attention.layer_norm_rms_epsilon")),
    ropeTheta: decimal(number("rope.freq_base", 10_000)),
    ...(scaling ? { ropeScaling: scaling } : {}),
    tieEmbeddings: facts.tieEmbeddings,
    maxPositions: number("context_length"),
    ...(biases.length > 0 ? { biases } : {}),
    ...(family.queryKeyNorms ? { queryKeyNorms: true } : {}),
  };
  return facts.ropeFactors ? withFactors(config, metadata, facts.ropeFactors) : config;
}

function numberAt(metadata: GgufMetadata, key: string, absent?: number): number {
  const value = metadataNumber(metadata[key]?.value) ?? (metadata[key] ? undefined : absent);
  if (value !== undefined && value > 0) return value;
  throw new RangeError(`Cannot read the model: ${key} is ${metadata[key]?.value}, wanted a number above 0`);
}

/** The short decimal fraction that a float32 was rounded from: 1e-5 rather than 0.000009999999747. */
function decimal(single: number): number {
  return Number(single.toPrecision(7));
}

/** The scaling that keys of llama.cpp say, which computes yarn with 0.1 ln(factor) + 1 times `attn_factor`. */
function metadataScaling(metadata: GgufMetadata, architecture: string): RopeScaling | undefined {
  const read = (key: string) => metadataNumber(metadata[`${architecture}.rope.${key}`]?.value);
  const type = metadata[`${architecture}.rope.scaling.type`]?.value ?? "linear";
  const factor = decimal(read("scaling.factor") ?? read("scale_linear") ?? 0);
  const size = read("scaling.attn_factor") ?? 1;
  if (type === "yarn" && factor > 0) {
    return {
      type,
      factor,
      originalMaxPositions: read("scaling.original_context_length") ?? numberAt(metadata, `${architecture}.context_length`),
      betaFast: decimal(read("scaling.yarn_beta_fast") ?? 32),
      betaSlow: decimal(read("scaling.yarn_beta_slow") ?? 1),
      attentionFactor: size === 1 ? yarnSize(factor) : decimal(size * yarnSize(factor)),
    };
  }
  if (size !== 1) {
    throw new RangeError(`Cannot read the model: ${architecture}.rope.scaling.attn_factor is ${size} without yarn, wanted 1`);
  }
  return type === "linear" && factor > 0 && factor !== 1 ? { type, factor } : undefined;
}

/** Llama 3's scaling, which llama.cpp has as a factor for each pair. */
function withFactors(config: LlamaConfig, metadata: GgufMetadata, factors: ArrayLike<number>): LlamaConfig {
  if (config.ropeScaling) {
    throw new RangeError(
      `Cannot read the model: it has rope factors, and a scaling ${JSON.stringify(config.ropeScaling)} besides`,
    );
  }
  const factor = Array.from(factors).reduce((largest, value) => Math.max(largest, value), 1);
  const standard = { factor, ...llama3Scaling };
  const entries = llama3Keys.map((key) => [key, decimal(numberAt(metadata, hestiaKeys[key], standard[key]))]);
  const scaled: LlamaConfig = { ...config, ropeScaling: Object.fromEntries(entries) as unknown as Llama3Scaling };
  const isWhole = factors.length === config.headDim / 2; // before anything of that length is made
  const wanted = isWhole ? ropeFactors(scaled) : undefined;
  if (wanted?.every((value, pair) => Math.abs(value / factors[pair] - 1) < 1e-4)) return scaled;
  throw new RangeError(
    `Cannot read the model: its rope factors are not those of Llama 3 with ${JSON.stringify(scaled.ropeScaling)}`,
  );
}

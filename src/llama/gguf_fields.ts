/**
 * The metadata keys of GGUF files that are known, for the reader and for the writer.
 *
 * @module
 */

import { type Field, type FieldTable, short } from "../io/fields.ts";
import type { GgufItem, GgufMetadata } from "../io/gguf.ts";
import { families, type FamilyName, familyNames } from "./families.ts";

/** Keys of our own: what GGUF has no key for. */
export const hestiaKeys = {
  family: "hestia.family",
  quantizer: "hestia.quantizer",
  groupSize: "hestia.group_size",
  endTokens: "hestia.end_token_ids",
  factor: "hestia.rope.factor",
  lowFrequencyFactor: "hestia.rope.low_frequency_factor",
  highFrequencyFactor: "hestia.rope.high_frequency_factor",
  originalMaxPositions: "hestia.rope.original_max_positions",
} as const;

/** Names of the architectures that are known, each once. */
const ggufArchitectures: readonly string[] = [...new Set(familyNames.map((name) => families[name].gguf))];

/**
 * A number from metadata: of any integer or float type, or of a list of one a layer that are all the same; undefined where it is none.
 */
export function metadataNumber(value: GgufItem | readonly GgufItem[] | undefined): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const numbers = value.map(metadataNumber);
  return numbers.every((number) => number === numbers[0]) ? numbers[0] : undefined;
}

const numeric = (means: string, wanted: string, holds: (value: number) => boolean): Field => ({
  means,
  wanted,
  accepts(value) {
    const number = metadataNumber(value as GgufItem);
    return number !== undefined && holds(number);
  },
});
const count = (means: string) =>
  numeric(means, "a positive integer, the same for all layers", (value) => Number.isSafeInteger(value) && value > 0);
const positive = (means: string) => numeric(means, "a positive number", (value) => value > 0 && value < Infinity);
const only = (means: string, wanted: number) => numeric(means, String(wanted), (value) => value === wanted);
const isTrue = (means: string): Field => ({ means, wanted: "true", accepts: (value) => value === true });
const skipped = (means: string, ignored: string): Field => ({ means, ignored });
const rope = "part of a rope scaling; a tensor of factors says the rest";

const general: FieldTable = {
  "general.architecture": {
    means: "family of the model",
    wanted: ggufArchitectures.map((name) => `"${name}"`).join(", "),
    accepts: (value) => ggufArchitectures.includes(value as string),
  },
  "general.alignment": { means: "what offsets of tensors are multiples of" },
  "general.type": { means: "what the file holds", wanted: '"model"', accepts: (value) => value === "model" },
  "general.file_type": skipped("type of most tensors", "each tensor says its own"),
  "general.quantization_version": skipped("version of the block formats", "llama.cpp knows no other"),
  "general.*": skipped("name, author, licence and the like", "they do not change what the model computes"),
  "quantize.*": skipped("how llama-quantize made the file", "the tensors say what came out"),
  "split.no": numeric("number of this file among those of the model, from 0", "a number of at least 0", (value) => value >= 0),
  "split.count": count("files of the model"),
  "split.tensors.count": count("tensors of all files together"),
  "tokenizer.*": { means: "the tokenizer and the chat template, whose reader knows their keys" },
  "hestia.tokenizer.*": { means: "what GGUF has no key for in the tokenizer, whose reader knows it" },
  [hestiaKeys.family]: { means: "family, where llama.cpp has one name for several" },
  [hestiaKeys.quantizer]: {
    means: "quantizer that the weights were trained with",
    wanted: "a name",
    accepts: (value) => typeof value === "string",
  },
  [hestiaKeys.groupSize]: numeric(
    "weights that share a scale, as they were trained",
    "-1, 0 or a positive integer",
    (value) => Number.isSafeInteger(value) && value >= -1,
  ),
  [hestiaKeys.endTokens]: {
    means: "all tokens that end a text, in order",
    wanted: "a list of ids",
    accepts: (value) => Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 0),
  },
  [hestiaKeys.factor]: positive(rope),
  [hestiaKeys.lowFrequencyFactor]: positive(rope),
  [hestiaKeys.highFrequencyFactor]: positive(rope),
  [hestiaKeys.originalMaxPositions]: count(rope),
};

/** What follows the architecture and a dot. */
const ofArchitecture: FieldTable = {
  vocab_size: skipped("rows of the embedding", "the tensor says it"),
  context_length: count("longest context, in tokens"),
  embedding_length: count("width of the residual stream"),
  block_count: count("layers"),
  feed_forward_length: count("width inside of the feed-forward layers"),
  "attention.head_count": count("query heads"),
  "attention.head_count_kv": count("key and value heads; as many as query heads by default"),
  "attention.key_length": count("dimensions of a head"),
  "attention.value_length": count("dimensions of a head; those of the keys are wanted"),
  "attention.layer_norm_rms_epsilon": positive("added to the mean square in each normalisation"),
  "attention.causal": isTrue("whether tokens see only what is before them"),
  "attention.sliding_window": {
    means: "tokens that each token attends to",
    wanted: "0, or at least the context length",
    accepts(value, file) {
      const context = Object.entries(file).find(([key]) => key.endsWith(".context_length"))?.[1];
      const window = metadataNumber(value as GgufItem) ?? -1;
      return window === 0 || window >= (metadataNumber(context as GgufItem) ?? Infinity);
    },
  },
  "rope.dimension_count": count("dimensions of a head that are rotated; all are wanted"),
  "rope.freq_base": positive("base of the wave lengths of the rotary embedding"),
  "rope.scaling.type": {
    means: 'kind of rope scaling; "linear" where there is only a factor',
    wanted: '"none", "linear" or "yarn"',
    accepts: (value) => ["none", "linear", "yarn"].includes(value as string),
  },
  "rope.scaling.factor": numeric(
    "by how much the context grows",
    "a number of at least 0",
    (value) => value >= 0 && value < Infinity,
  ),
  "rope.scale_linear": positive("the same in old files"),
  "rope.scaling.original_context_length": count("context before scaling, in tokens"),
  "rope.scaling.finetuned": skipped("whether the model was trained with the scaling", "it is computed with it in any case"),
  "rope.scaling.attn_factor": positive("of yarn: what cosines and sines are multiplied by, besides 0.1 ln(factor) + 1"),
  "rope.scaling.yarn_ext_factor": only("of yarn: share of the slowed frequencies", 1),
  "rope.scaling.yarn_attn_factor": only("of yarn: replaced by what follows from the factor", 1),
  "rope.scaling.yarn_beta_fast": positive("of yarn: waves with more turns are kept; 32 by default"),
  "rope.scaling.yarn_beta_slow": positive("of yarn: waves with fewer turns are slowed by the whole factor; 1 by default"),
  expert_count: only("experts of a layer", 0),
  expert_used_count: only("experts that a token is given to", 0),
  use_parallel_residual: skipped("of other architectures", "converters write it to all"),
  tensor_data_layout: skipped("order of the rows of queries and keys", "the architecture says it"),
};

/** The keys of a file with this `general.architecture`. */
export function ggufFields(architecture: string): FieldTable {
  const own = Object.entries(ofArchitecture).map(([key, field]) => [`${architecture}.${key}`, field]);
  return { ...general, ...Object.fromEntries(own) };
}

/** The values of metadata by key, those of lists as arrays. */
export function metadataValues(metadata: GgufMetadata): Record<string, GgufItem | readonly GgufItem[]> {
  return Object.fromEntries(Object.entries(metadata).map(([key, { value }]) => [key, value]));
}

/** The family of a file, by its architecture and the name that we wrote. Throws a RangeError for one that is not known. */
export function ggufFamily(metadata: GgufMetadata): FamilyName {
  const architecture = metadata["general.architecture"]?.value;
  const named = metadata[hestiaKeys.family]?.value as FamilyName | undefined;
  if (named !== undefined && Object.hasOwn(families, named) && families[named].gguf === architecture) return named;
  const found = familyNames.find((name) => families[name].gguf === architecture);
  if (found && named === undefined) return found;
  const got = found ? `${hestiaKeys.family} is ${short(named)}` : `general.architecture is ${short(architecture)}`;
  throw new RangeError(
    `Cannot read the model: ${got}, wanted one of ${
      (found ? familyNames : ggufArchitectures).map((name) => `"${name}"`).join(", ")
    }`,
  );
}

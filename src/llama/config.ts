/**
 * Architecture of a Llama model, or one of the families like it, and its form in Hugging Face's `config.json`.
 *
 * @module
 */

import { checkFields, type ReadingOptions } from "../io/fields.ts";
import type { RopeScaling } from "../nn/rotary.ts";
import { configFields } from "./config_fields.ts";
import { families, type FamilyName, familyNames, familyOf } from "./families.ts";
import { type LayerLinear, mostLayers } from "./parameters.ts";
import { ropeJson, ropeOf } from "./rope_config.ts";

/** Sizes of a model, and what tells its family from others. */
export interface LlamaConfig {
  /** Family, by the name that transformers has for it; "llama" where absent. */
  readonly family?: FamilyName;
  /** Token ids are below it. */
  readonly vocabularySize: number;
  /** Width of the residual stream. */
  readonly hiddenSize: number;
  /** Decoder layers. */
  readonly layers: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads, shared by groups of query heads. */
  readonly keyValueHeads: number;
  /** Dimensions of a head; even. */
  readonly headDim: number;
  /** Width inside of the feed-forward layers. */
  readonly intermediateSize: number;
  /** Added to the mean square in each normalisation. */
  readonly normEpsilon: number;
  /** Base of the wave lengths of the rotary embedding. */
  readonly ropeTheta: number;
  /** Frequency scaling for long contexts; absent where there is none. */
  readonly ropeScaling?: RopeScaling;
  /** Whether the output head is the embedding table. */
  readonly tieEmbeddings: boolean;
  /** Longest context, in tokens. */
  readonly maxPositions: number;
  /** Linear maps of the layers that have a bias; none where absent. */
  readonly biases?: readonly LayerLinear[];
  /** Whether queries and keys are normalised, head by head, before they are rotated; false where absent. */
  readonly queryKeyNorms?: boolean;
}

/** The fields of Hugging Face's `config.json` that matter here; `deno task inspect --schema` prints all that are known. */
export interface HuggingFaceConfig {
  /** "llama" (also where absent), "mistral", "qwen2" or "qwen3". */
  readonly model_type?: string;
  /** `vocabularySize`. */
  readonly vocab_size: number;
  /** `hiddenSize`. */
  readonly hidden_size: number;
  /** `layers`. */
  readonly num_hidden_layers: number;
  /** `heads`; a multiple of `num_key_value_heads`. */
  readonly num_attention_heads: number;
  /** `keyValueHeads`; `num_attention_heads` by default in a Llama, and where it is null. */
  readonly num_key_value_heads?: number | null;
  /** `headDim`; `hidden_size / num_attention_heads` by default. */
  readonly head_dim?: number;
  /** `intermediateSize`. */
  readonly intermediate_size: number;
  /** `normEpsilon`; 1e-6 by default. */
  readonly rms_norm_eps?: number;
  /** `ropeTheta`; 10 000 by default. */
  readonly rope_theta?: number;
  /** `ropeScaling` as transformers 4 writes it. */
  readonly rope_scaling?: Readonly<Record<string, unknown>> | null;
  /** `ropeTheta` and `ropeScaling` as transformers 5 writes them. */
  readonly rope_parameters?: Readonly<Record<string, unknown>> | null;
  /** `tieEmbeddings`; false by default. */
  readonly tie_word_embeddings?: boolean;
  /** `maxPositions`; 2048 by default in a Llama. */
  readonly max_position_embeddings?: number;
  /** Biases of the maps of attention. */
  readonly attention_bias?: boolean;
  /** Biases of the feed-forward layers. */
  readonly mlp_bias?: boolean;
  /** Tokens that each token attends to. */
  readonly sliding_window?: number | null;
}

/** How a `config.json` is read. */
export interface ConfigOptions extends ReadingOptions {
  /** What cannot be done where it is refused; `Cannot read the model's config` by default. */
  readonly action?: string;
}

function required(json: HuggingFaceConfig, field: keyof HuggingFaceConfig, action: string): number {
  const value = json[field];
  if (typeof value === "number") return value;
  throw new TypeError(`${action}: ${field} must be a positive number, got ${value}`);
}

/**
 * Reads Hugging Face's `config.json`. Throws a TypeError that names the field.
 *
 * @example
 * ```ts
 * import { llamaConfig } from "@hestia/hestia";
 * const config = llamaConfig({
 *   vocab_size: 256,
 *   hidden_size: 64,
 *   num_hidden_layers: 2,
 *   num_attention_heads: 4,
 *   intermediate_size: 128,
 * });
 * console.log(config.headDim, config.keyValueHeads); // 16, 4
 * ```
 */
export function llamaConfig(
  json: HuggingFaceConfig,
  { action = "Cannot read the model's config", ...reading }: ConfigOptions = {},
): LlamaConfig {
  const name = (json.model_type ?? "llama") as FamilyName;
  if (!Object.hasOwn(families, name)) {
    throw new TypeError(
      `${action}: model_type must be one of ${familyNames.map((each) => `"${each}"`).join(", ")}, got "${name}"`,
    );
  }
  const family = familyOf({ family: name });
  const full: HuggingFaceConfig = { ...family.defaults, ...withoutNulls(json) };
  checkFields({ ...full }, configFields(name), { action, what: "NAME in config.json", ...reading });
  const [hiddenSize, heads] = [required(full, "hidden_size", action), required(full, "num_attention_heads", action)];
  const biases = family.biases(full);
  const config: LlamaConfig = {
    ...(name === "llama" ? {} : { family: name }),
    vocabularySize: required(full, "vocab_size", action),
    hiddenSize,
    layers: required(full, "num_hidden_layers", action),
    heads,
    keyValueHeads: full.num_key_value_heads ?? heads,
    headDim: full.head_dim ?? hiddenSize / heads,
    intermediateSize: required(full, "intermediate_size", action),
    normEpsilon: full.rms_norm_eps ?? 1e-6,
    ...ropeOf(full, { action, ...reading }),
    tieEmbeddings: full.tie_word_embeddings ?? false,
    maxPositions: full.max_position_embeddings ?? 2048,
    ...(biases.length > 0 ? { biases } : {}),
    ...(family.queryKeyNorms ? { queryKeyNorms: true } : {}),
  };
  checkSizes(config, action);
  return config;
}

/** Fields whose null says something else than their default: no window, and as many key heads as query heads. */
const tellingNulls = ["sliding_window", "num_key_value_heads"];

/** Fields that say something. */
function withoutNulls(json: HuggingFaceConfig): HuggingFaceConfig {
  const said = Object.entries(json).filter(([name, value]) =>
    value !== undefined && (value !== null || tellingNulls.includes(name))
  );
  return Object.fromEntries(said) as unknown as HuggingFaceConfig;
}

function checkSizes({ heads, keyValueHeads, headDim, hiddenSize, layers }: LlamaConfig, action: string): void {
  if (layers > mostLayers) throw new TypeError(`${action}: num_hidden_layers is ${layers}, wanted at most ${mostLayers}`);
  if (heads % keyValueHeads !== 0) {
    throw new TypeError(
      `${action}: num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${keyValueHeads})`,
    );
  }
  if (headDim % 2 === 0) return;
  throw new TypeError(
    `${action}: head_dim must be an even number, got ${headDim} (hidden_size ${hiddenSize}, num_attention_heads ${heads})`,
  );
}

/** Hugging Face's `config.json` of a model, in the spelling of transformers 4, which 5 reads too. */
export function huggingFaceConfig(config: LlamaConfig): HuggingFaceConfig & Record<string, unknown> {
  const { family: name = "llama", biases = [] } = config;
  const family = familyOf(config);
  const says = (field: string) => Object.hasOwn(family.fields, field);
  const flags = { attention_bias: biases.includes("self_attn.q_proj"), mlp_bias: biases.includes("mlp.up_proj") };
  const said = family.biases(flags);
  if (biases.length !== said.length || biases.some((each) => !said.includes(each))) {
    throw new RangeError(
      `Cannot write config.json: it has no field for biases of ${biases.join(", ") || "no map"} alone, wanted ${
        said.join(", ") || "none"
      }`,
    );
  }
  return {
    architectures: [family.architecture],
    model_type: name,
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headDim,
    intermediate_size: config.intermediateSize,
    rms_norm_eps: config.normEpsilon,
    ...ropeJson(config),
    tie_word_embeddings: config.tieEmbeddings,
    max_position_embeddings: config.maxPositions,
    hidden_act: "silu",
    ...(name === "mistral" ? { sliding_window: null } : {}),
    ...(says("attention_bias") ? { attention_bias: flags.attention_bias } : {}),
    ...(says("mlp_bias") ? { mlp_bias: flags.mlp_bias } : {}),
    torch_dtype: "float32",
  };
}

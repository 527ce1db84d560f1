/**
 * The families of models that are known: what tells them from a Llama, in Hugging Face's `config.json` and in GGUF. To add one, add its
 * name to {@linkcode FamilyName} and an entry to {@linkcode families}.
 *
 * @module
 */

import type { Field, FieldTable } from "../io/fields.ts";
import type { HuggingFaceConfig } from "./config.ts";
import type { LayerLinear } from "./parameters.ts";

/** Name of a family, as `model_type` of a `config.json` has it. */
export type FamilyName = "llama" | "mistral" | "qwen2" | "qwen3";

/** What tells a family of models from others. */
export interface Family {
  /** Name of its causal language model in transformers. */
  readonly architecture: string;
  /** `general.architecture` of its GGUF files, and first part of their keys. */
  readonly gguf: string;
  /** Whether GGUF has the rows of queries and keys in another order, since llama.cpp then rotates neighbours. */
  readonly ggufReordersRows: boolean;
  /** Linear maps of a layer whose biases llama.cpp reads for this family. */
  readonly ggufBiases: readonly LayerLinear[];
  /** Whether llama.cpp reads factors of rope frequencies (Llama 3's scaling) for this family. */
  readonly ggufRopeFactors: boolean;
  /** Whether queries and keys are normalised, head by head, before they are rotated. */
  readonly queryKeyNorms: boolean;
  /** Linear maps of a layer that have a bias. */
  readonly biases: (config: Partial<HuggingFaceConfig>) => readonly LayerLinear[];
  /** What stands for fields that `config.json` leaves out, where it is not what a Llama has. */
  readonly defaults: Partial<HuggingFaceConfig>;
  /** Fields of `config.json` that mean something else in this family, or only there. */
  readonly fields: FieldTable;
}

const qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] as const satisfies readonly LayerLinear[];
const attention = [...qkv, "self_attn.o_proj"] as const satisfies readonly LayerLinear[];
const feedForward = ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"] as const satisfies readonly LayerLinear[];

const isBoolean = (value: unknown): boolean => typeof value === "boolean";
const onlyFalse = (means: string): Field => ({ means, wanted: "false", accepts: (value) => value === false });

/** A window that no text of the model's context leaves, or none. */
const neverLeft = (value: unknown, { max_position_embeddings: context }: Readonly<Record<string, unknown>>): boolean =>
  typeof value === "number" && typeof context === "number" && value >= context;
const shorter = "lower max_position_embeddings to it to use the model for texts that never leave the window";

const slidingWindow: Field = {
  means: "tokens that each token attends to",
  wanted: "null, or at least max_position_embeddings",
  accepts: neverLeft,
  remedy: shorter,
};

/** A window that only `use_sliding_window` makes one. */
const qwenFields: FieldTable = {
  sliding_window: {
    means: "tokens that a token attends to, in layers that use_sliding_window concerns",
    ignored: "none is concerned",
  },
  use_sliding_window: {
    means: "whether layers from max_window_layers on attend to sliding_window tokens",
    wanted: "false, or a sliding_window of at least max_position_embeddings",
    accepts: (value, file) => value === false || value === true && neverLeft(file.sliding_window, file),
    remedy: shorter,
  },
  max_window_layers: { means: "first layer that use_sliding_window concerns", ignored: "none is concerned" },
  use_mrope: onlyFalse("positions of several dimensions"),
  mlp_bias: onlyFalse("biases of the feed-forward layers"),
};

/** All families by the `model_type` of their `config.json`. */
export const families: Readonly<Record<FamilyName, Family>> = {
  llama: {
    architecture: "LlamaForCausalLM",
    gguf: "llama",
    ggufReordersRows: true,
    ggufBiases: [...attention, ...feedForward],
    ggufRopeFactors: true,
    queryKeyNorms: false,
    biases: ({ attention_bias, mlp_bias }) => [...(attention_bias ? attention : []), ...(mlp_bias ? feedForward : [])],
    defaults: {},
    fields: {
      attention_bias: { means: "biases of the maps of attention", wanted: "true or false", accepts: isBoolean },
      mlp_bias: { means: "biases of the feed-forward layers", wanted: "true or false", accepts: isBoolean },
      sliding_window: slidingWindow,
    },
  },
  mistral: {
    architecture: "MistralForCausalLM",
    gguf: "llama",
    ggufReordersRows: true,
    ggufBiases: [],
    ggufRopeFactors: true,
    queryKeyNorms: false,
    biases: () => [],
    defaults: { num_key_value_heads: 8, max_position_embeddings: 131_072, sliding_window: 4096 },
    fields: {
      attention_bias: onlyFalse("biases of the maps of attention"),
      mlp_bias: onlyFalse("biases of the feed-forward layers"),
      sliding_window: { ...slidingWindow, means: "tokens that each token attends to; 4096 where it is absent" },
    },
  },
  qwen2: {
    architecture: "Qwen2ForCausalLM",
    gguf: "qwen2",
    ggufReordersRows: false,
    ggufBiases: qkv,
    ggufRopeFactors: false,
    queryKeyNorms: false,
    biases: () => qkv,
    defaults: { num_key_value_heads: 32, max_position_embeddings: 32_768 },
    fields: {
      ...qwenFields,
      attention_bias: { means: "biases of queries, keys and values", wanted: "true", accepts: (value) => value === true },
    },
  },
  qwen3: {
    architecture: "Qwen3ForCausalLM",
    gguf: "qwen3",
    ggufReordersRows: false,
    ggufBiases: [],
    ggufRopeFactors: false,
    queryKeyNorms: true,
    biases: ({ attention_bias }) => attention_bias ? attention : [],
    defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
    fields: {
      ...qwenFields,
      attention_bias: { means: "biases of the maps of attention", wanted: "true or false", accepts: isBoolean },
    },
  },
};

/** The names of all families. */
export const familyNames = Object.keys(families) as readonly FamilyName[];

/** The family of a model; that of Llama where it names none. */
export function familyOf({ family = "llama" }: { readonly family?: FamilyName }): Family {
  return families[family];
}

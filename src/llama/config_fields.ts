/**
 * The fields of `config.json` that are known, in the spelling of transformers 4 and 5.
 *
 * @module
 */

import { isOnlineBitnet } from "./foreign_quantization.ts";
import type { Field, FieldTable } from "../io/fields.ts";
import { families, type FamilyName, familyNames } from "./families.ts";

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isPositive = (value: unknown): boolean => typeof value === "number" && value > 0 && value < Infinity;
const isId = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= -1;
const isObject = (value: unknown): boolean => typeof value === "object" && !Array.isArray(value);

const count = (means: string): Field => ({ means, wanted: "a positive integer", accepts: isCount });
const positive = (means: string): Field => ({ means, wanted: "a positive number", accepts: isPositive });
const only = (means: string, wanted: unknown, remedy?: string): Field => ({
  means,
  wanted: JSON.stringify(wanted),
  accepts: (value) => value === wanted,
  ...(remedy ? { remedy } : {}),
});
const none = (means: string, remedy?: string): Field => ({
  means,
  wanted: "null",
  accepts: () => false,
  ...(remedy ? { remedy } : {}),
});

/** dtypes that weights may be stored in. */
const configDTypes = ["float32", "bfloat16", "float16", "float64"] as const;
const dtype: Field = {
  means: "type of the stored weights; the tensors say it too",
  wanted: configDTypes.join(", "),
  accepts: (value) => (configDTypes as readonly unknown[]).includes(value),
};

/** An entry for each name that may be passed over for one reason. */
function ignored(reason: string, fields: Readonly<Record<string, string>>): FieldTable {
  return Object.fromEntries(Object.entries(fields).map(([name, means]) => [name, { means, ignored: reason }]));
}

/** Token ids of `config.json` and `generation_config.json`. */
export const tokenFields: FieldTable = {
  bos_token_id: { means: "token that begins a text, where the tokenizer adds one", wanted: "an id", accepts: isId },
  eos_token_id: {
    means: "tokens that end a text",
    wanted: "an id or a list of ids",
    accepts: (value) => isId(value) || Array.isArray(value) && value.every(isId),
  },
  ...ignored("nothing is padded", { pad_token_id: "token that fills batches up" }),
};

/** How text is drawn: in `generation_config.json`, and in old files of `config.json`. */
export const generationFields: FieldTable = ignored("generate() is told by its own options", {
  do_sample: "whether tokens are drawn",
  temperature: "temperature of the draw",
  top_k: "number of likeliest tokens",
  top_p: "probability of the likeliest tokens",
  min_p: "least probability",
  typical_p: "share of typical tokens",
  epsilon_cutoff: "least probability",
  eta_cutoff: "least probability",
  repetition_penalty: "penalty of repeated tokens",
  encoder_repetition_penalty: "penalty of tokens not in the prompt",
  presence_penalty: "penalty of tokens that occur",
  frequency_penalty: "penalty of frequent tokens",
  length_penalty: "of beam search",
  diversity_penalty: "of beam search",
  no_repeat_ngram_size: "length of sequences that may not be repeated",
  encoder_no_repeat_ngram_size: "the same, of the prompt",
  bad_words_ids: "tokens that are never drawn",
  suppress_tokens: "tokens that are never drawn",
  begin_suppress_tokens: "tokens that are not drawn first",
  sequence_bias: "bias of some sequences",
  forced_bos_token_id: "token that is drawn first",
  forced_eos_token_id: "token that is drawn last",
  force_words_ids: "tokens that must be drawn",
  exponential_decay_length_penalty: "penalty of long texts",
  num_beams: "of beam search",
  num_beam_groups: "of beam search",
  num_return_sequences: "texts that are written",
  early_stopping: "of beam search",
  max_length: "longest text, in tokens",
  max_new_tokens: "tokens that are written",
  min_length: "shortest text, in tokens",
  min_new_tokens: "tokens that are written at least",
  max_time: "seconds",
  stop_strings: "texts that end a text",
  remove_invalid_values: "what is done with NaN",
  renormalize_logits: "whether probabilities add up to one",
  guidance_scale: "of guided generation",
  penalty_alpha: "of contrastive search",
  dola_layers: "of contrastive search",
  low_memory: "of contrastive search",
  num_assistant_tokens: "of assisted generation",
  num_assistant_tokens_schedule: "of assisted generation",
  assistant_confidence_threshold: "of assisted generation",
  assistant_early_exit: "of assisted generation",
  assistant_lookbehind: "of assisted generation",
  target_lookbehind: "of assisted generation",
  is_assistant: "of assisted generation",
  prompt_lookup_num_tokens: "of assisted generation",
  max_matching_ngram_size: "of assisted generation",
  speculative_num_draft_tokens: "of assisted generation",
  token_healing: "whether the last token of the prompt may be replaced",
  use_cache: "whether keys and values are kept",
  cache_implementation: "how keys and values are kept",
  cache_config: "how keys and values are kept",
  return_legacy_cache: "how keys and values are given back",
  prefill_chunk_size: "tokens of the prompt that go in together",
  return_dict_in_generate: "what is given back",
  output_attentions: "what is given back",
  output_hidden_states: "what is given back",
  output_scores: "what is given back",
  output_logits: "what is given back",
  generation_kwargs: "other settings of generation",
  disable_compile: "whether generation is compiled",
  compile_config: "how generation is compiled",
  continuous_batching_config: "how requests share batches",
  chat_format: "name of the chat template's format",
  watermarking_config: "of watermarks",
  decoder_start_token_id: "of encoder-decoder models",
});

/** What transformers keeps beside the model. */
const bookkeeping: FieldTable = ignored("it does not change what the model computes", {
  transformers_version: "version that wrote the file",
  _name_or_path: "where the model came from",
  _commit_hash: "where the model came from",
  _attn_implementation: "how transformers computes attention",
  _attn_implementation_autoset: "how transformers computes attention",
  attn_implementation: "how transformers computes attention",
  _flash_attn_2_enabled: "how transformers computes attention",
  use_flash_attention_2: "how transformers computes attention",
  "transformers.js_config": "settings of transformers.js",
  unsloth_fixed: "a note of Unsloth",
  unsloth_version: "a note of Unsloth",
  is_llama_config: "a note of the model's trainer",
  return_dict: "what transformers gives back",
  torchscript: "how transformers runs the model",
  use_bfloat16: "how transformers runs the model",
  tf_legacy_loss: "how transformers runs the model",
  chunk_size_feed_forward: "how transformers runs the model",
  tokenizer_class: "class of the tokenizer in transformers",
  prefix: "of older pipelines",
  problem_type: "of classifiers",
  id2label: "of classifiers",
  label2id: "of classifiers",
  num_labels: "of classifiers",
  finetuning_task: "of classifiers",
  task_specific_params: "of older pipelines",
  pruned_heads: "of older models",
  sep_token_id: "of other models",
  max_sequence_length: "context of the first Llama; max_position_embeddings counts",
  pretraining_tp: "pieces that products were cut into: the sums are the same",
});

const training: FieldTable = ignored("only training in transformers looks at it", {
  initializer_range: "deviation of fresh weights",
  attention_dropout: "share of attention that is dropped",
  hidden_dropout: "share of activations that is dropped",
  gradient_checkpointing: "whether activations are computed again",
  neftune_noise_alpha: "noise on embeddings",
});

const sizes: FieldTable = {
  model_type: {
    means: "family of the model",
    wanted: familyNames.map((name) => `"${name}"`).join(", "),
    accepts: (value) => typeof value === "string" && Object.hasOwn(families, value),
  },
  architectures: {
    means: "class of the model in transformers",
    wanted: 'the family\'s causal language model, such as ["LlamaForCausalLM"]',
    accepts: (value, { model_type = "llama" }) => {
      const wanted = families[model_type as FamilyName]?.architecture.toLowerCase();
      return Array.isArray(value) && value.every((name) => String(name).toLowerCase() === wanted);
    },
  },
  vocab_size: count("rows of the embedding"),
  hidden_size: count("width of the residual stream"),
  num_hidden_layers: count("layers"),
  num_attention_heads: count("query heads"),
  num_key_value_heads: count("key and value heads"),
  head_dim: count("dimensions of a head; hidden_size / num_attention_heads by default, 128 for qwen3"),
  intermediate_size: count("width inside of the feed-forward layers"),
  max_position_embeddings: count("longest context, in tokens"),
  rms_norm_eps: positive("added to the mean square in each normalisation; 1e-6 by default"),
  tie_word_embeddings: {
    means: "whether the output head is the embedding",
    wanted: "true or false",
    accepts: (value) => typeof value === "boolean",
  },
};

const positions: FieldTable = {
  rope_theta: positive("base of the wave lengths of the rotary embedding; 10 000 by default"),
  rope_scaling: { means: "how these are scaled (transformers 4)", wanted: "an object", accepts: isObject },
  rope_parameters: { means: "both in one (transformers 5)", wanted: "an object", accepts: isObject },
  rope_interleaved: only("whether neighbours are rotated together", false),
  partial_rotary_factor: only("share of a head that is rotated", 1),
  layer_types: {
    means: "kind of attention of each layer",
    wanted: 'a list of "full_attention"',
    accepts: (value) => Array.isArray(value) && value.every((type) => type === "full_attention"),
  },
};

const shared: FieldTable = {
  ...sizes,
  ...positions,
  hidden_act: {
    means: "function of the gate in the feed-forward layers",
    wanted: '"silu"',
    accepts: (value) => value === "silu" || value === "swish",
    remedy: "a model with another cannot be used",
  },
  torch_dtype: dtype,
  dtype,
  quantization_config: {
    means: "how weights are quantized",
    wanted: "null, or BitNet layers that round while they run",
    accepts: isOnlineBitnet,
    remedy: "open it with the command or function of its packed format, or unpack it first",
  },
  w_bits: { means: "bits of a weight, by ParetoQ", wanted: "0, for ternary", accepts: (value) => value === 0 },
  quantization: none("how weights are quantized, by MLX"),
  auto_map: none("code that comes with the model", "remove it if that computes what the model_type says"),
  is_decoder: { means: "whether it writes text", ignored: "all models here do" },
  is_encoder_decoder: only("whether there is an encoder", false),
  add_cross_attention: only("whether it attends to an encoder", false),
  tie_encoder_decoder: only("whether an encoder shares weights", false),
  cross_attention_hidden_size: none("width of an encoder"),
  hestia: { means: "quantizer that latent weights were trained with, by Hestia" },
  hestia_trained: { means: "quantizer that packed weights were trained with, by Hestia" },
  ...tokenFields,
  ...bookkeeping,
  ...training,
  ...generationFields,
};

/** The fields of `config.json` in a family. */
export function configFields(family: FamilyName): FieldTable {
  return { ...shared, ...families[family].fields };
}

const type: Field = {
  means: 'kind of scaling: "default" (none), "linear", "llama3" or "yarn"',
  wanted: '"default", "linear", "llama3" or "yarn"',
  accepts: (value) => ["default", "linear", "llama3", "yarn"].includes(value as string),
};

/** A field that other kinds of scaling do not have. */
const ofKinds = (kinds: readonly string[], field: Field): Field => ({
  ...field,
  wanted: `${field.wanted}, and that with rope_type ${kinds.map((kind) => `"${kind}"`).join(" or ")} alone`,
  accepts: (value, file) => kinds.includes((file.rope_type ?? file.type) as string) && field.accepts!(value, file),
});
const ofLlama3 = (field: Field): Field => ofKinds(["llama3"], field);
const ofYarn = (field: Field): Field => ofKinds(["yarn"], field);

/** The fields of `rope_scaling` and `rope_parameters`. */
export const ropeFields: FieldTable = {
  rope_type: type,
  type,
  rope_theta: positive("base of the wave lengths"),
  factor: {
    ...positive("by how much the context grows"),
    wanted: "a positive number, and 1 where no rope_type says what grows",
    accepts: (value, file) => isPositive(value) && (value === 1 || (file.rope_type ?? file.type) !== "default"),
  },
  original_max_position_embeddings: count("context before scaling, in tokens"),
  low_freq_factor: ofLlama3(positive("waves with fewer turns are slowed by the whole factor")),
  high_freq_factor: ofLlama3(positive("waves with more turns are kept")),
  beta_fast: ofYarn(positive("waves with more turns are kept; 32 by default")),
  beta_slow: ofYarn(positive("waves with fewer turns are slowed by the whole factor; 1 by default")),
  attention_factor: ofYarn(positive("what cosines and sines are multiplied by")),
  mscale: ofYarn(positive("gives the attention factor together with mscale_all_dim")),
  mscale_all_dim: ofYarn(positive("gives the attention factor together with mscale")),
  truncate: ofYarn({
    means: "whether the bounds are whole pairs; true by default",
    wanted: "true or false",
    accepts: (value) => typeof value === "boolean",
  }),
  partial_rotary_factor: only("share of a head that is rotated", 1),
};

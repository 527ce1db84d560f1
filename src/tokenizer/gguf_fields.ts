/**
 * The metadata keys of GGUF that speak of the tokenizer, for reader and writer.
 *
 * @module
 */

import type { Field, FieldTable } from "../io/fields.ts";

/** Types of tokens, as llama.cpp numbers them. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Keys of our own: what GGUF has no key for. */
export const ownKeys = {
  /** All tokens that end a text; llama.cpp has a key for the first three alone, and cannot be told that there are none. */
  endTokens: "hestia.end_token_ids",
  /** The normalizer, where llama.cpp passes it over. */
  normalizer: "hestia.tokenizer.normalizer",
} as const;

/** Keys of the tokens that end a text, in the order in which they are used. */
export const endKeys = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] as const;

/** Special tokens that llama.cpp takes for ends of a text by their spelling. */
export const knownEnds: readonly string[] = [
  ...[
    "</s>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
  ],
  ...["<|end_of_text|>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"],
];

const id: Field = { means: "id of a token with a role", wanted: "a whole number", accepts: (value) => Number.isInteger(value) };
const flag = (means: string): Field => ({ means, wanted: "true or false", accepts: (value) => typeof value === "boolean" });
const text = (means: string): Field => ({ means, wanted: "a text", accepts: (value) => typeof value === "string" });
const list = (means: string): Field => ({ means, wanted: "a list", accepts: (value) => Array.isArray(value) });
const skipped = (means: string, ignored: string): Field => ({ means, ignored });
const unused = "nothing here uses it";

/** All keys that begin with `tokenizer.`. */
export const ggufTokenizerFields: FieldTable = {
  "tokenizer.ggml.model": {
    means: "kind of tokenizer: byte-level, or like SentencePiece",
    wanted: '"gpt2" or "llama"',
    accepts: (value) => value === "gpt2" || value === "llama",
  },
  "tokenizer.ggml.pre": text("name of the rule that splits texts, for byte-level ones"),
  "tokenizer.ggml.tokens": list("spelling of each token"),
  "tokenizer.ggml.token_type": list("type of each token"),
  "tokenizer.ggml.scores": list("order in which tokens are merged, for those like SentencePiece: the largest first"),
  "tokenizer.ggml.merges": list("pairs of tokens to be merged, for byte-level ones"),
  "tokenizer.ggml.bos_token_id": id,
  "tokenizer.ggml.eos_token_id": id,
  "tokenizer.ggml.eot_token_id": id,
  "tokenizer.ggml.eom_token_id": id,
  "tokenizer.ggml.unknown_token_id": id,
  "tokenizer.ggml.add_bos_token": flag("whether a text begins with the begin token"),
  "tokenizer.ggml.add_eos_token": flag("whether a text ends with the end token"),
  "tokenizer.ggml.add_space_prefix": flag("whether a space is put before a text"),
  "tokenizer.ggml.remove_extra_whitespaces": skipped("whether spaces in a row become one", "of Unigram models alone"),
  "tokenizer.ggml.add_sep_token": {
    means: "whether a separator is put behind a text",
    wanted: "false",
    accepts: (value) => value === false,
  },
  "tokenizer.ggml.precompiled_charsmap": { means: "table of a normalizer", wanted: "none", accepts: () => false },
  "tokenizer.chat_template": text("how conversations are written"),
  "tokenizer.chat_template.*": skipped("another way to write conversations", "the default one is used"),
  "tokenizer.chat_templates": skipped("names of other ways to write conversations", "the default one is used"),
  "tokenizer.huggingface.json": skipped("the tokenizer.json that the file came from", "the other keys say the same"),
  "tokenizer.ggml.token_type_count": skipped("number of token types of an encoder", unused),
  "tokenizer.ggml.*_token_id": skipped("id of a token with another role", unused),
  "tokenizer.ggml.*_token_ids": skipped("ids of tokens with another role", unused),
};

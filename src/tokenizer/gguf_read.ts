/**
 * The tokenizer of a GGUF file as a Hugging Face `tokenizer.json`.
 *
 * @module
 */

import type { GgufArray, GgufMetadata } from "../io/gguf.ts";
import { llama3Split, tokenType } from "./gguf_write.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** A tokenizer as GGUF has it. */
export interface GgufTokenizer {
  /** Content of a `tokenizer.json`. */
  readonly json: TokenizerJson;
  /** Token that begins every text, where one is added. */
  readonly beginToken?: number;
  /** Special tokens that end a text. */
  readonly endTokens: readonly number[];
}

/** The rule that splits a text before merging, by llama.cpp's name for it. */
const preTokenizers: Readonly<Record<string, unknown>> = {
  "gpt-2": { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  "llama-bpe": {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: llama3Split }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
};

/** Tokenizer of a GGUF file: byte-level BPE. Throws a RangeError that names the key for any other kind. */
export function ggufTokenizer(metadata: GgufMetadata): GgufTokenizer {
  const texts = strings(metadata, "tokenizer.ggml.tokens");
  const types = list(metadata, "tokenizer.ggml.token_type") ?? [];
  const pre = metadata["tokenizer.ggml.pre"]?.value ?? "gpt-2";
  if (metadata["tokenizer.ggml.model"]?.value !== "gpt2" || typeof pre !== "string" || !Object.hasOwn(preTokenizers, pre)) {
    throw new RangeError(
      `Cannot read the tokenizer: tokenizer.ggml.model is ${
        metadata["tokenizer.ggml.model"]?.value
      } with tokenizer.ggml.pre ${pre}, ` +
        `wanted gpt2 with ${Object.keys(preTokenizers).join(" or ")}`,
    );
  }
  const ids = [...texts.keys()];
  const special = (id: unknown): id is number => typeof id === "number" && types[id] === tokenType.control;
  const begin = metadata["tokenizer.ggml.bos_token_id"]?.value;
  const added = ids.filter((id) => special(id) || types[id] === tokenType.userDefined);
  const json: TokenizerJson = {
    version: "1.0",
    added_tokens: added.map((id) => ({ ...addedToken, id, content: texts[id], special: special(id) })),
    normalizer: null,
    pre_tokenizer: preTokenizers[pre],
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      vocab: Object.fromEntries(
        ids.filter((id) => (types[id] ?? tokenType.normal) === tokenType.normal).map((id) => [texts[id], id]),
      ),
      merges: strings(metadata, "tokenizer.ggml.merges"),
      ignore_merges: pre === "llama-bpe",
    },
  };
  const ends = ["eos", "eot"].map((role) => metadata[`tokenizer.ggml.${role}_token_id`]?.value).filter(special);
  return { json, endTokens: [...new Set(ends)], ...(special(begin) ? { beginToken: begin } : {}) };
}

const addedToken = { single_word: false, lstrip: false, rstrip: false, normalized: false };

function list(metadata: GgufMetadata, key: string): GgufArray["value"] | undefined {
  const entry = metadata[key];
  return entry?.type === "array" ? entry.value : undefined;
}

function strings(metadata: GgufMetadata, key: string): string[] {
  const items = list(metadata, key);
  if (items?.every((item) => typeof item === "string")) return [...items] as string[];
  throw new RangeError(`Cannot read the tokenizer: ${key} is no list of strings`);
}

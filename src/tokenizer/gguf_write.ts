/**
 * The tokenizer of a GGUF file, from a Hugging Face `tokenizer.json`: byte-level BPE, with or without merges.
 *
 * @module
 */

import type { GgufItem, GgufMetadata, GgufValue, GgufValueType } from "../io/gguf.ts";
import { isJsonObject, type JsonObject } from "../io/json.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** What `tokenizer.json` does not say. */
export interface TokenizerOptions {
  /** Rows of the embedding; ids without a token are filled up as unused. The number of tokens by default. */
  readonly vocabularySize?: number;
  /** Begin-of-text token. */
  readonly bosTokenId?: number;
  /**
   * End-of-text token. Without one llama.cpp takes id 11, whatever it is, so a model without one should name an id it never
   * writes.
   */
  readonly eosTokenId?: number;
  /** llama.cpp's name of the rule that splits text before merging; found out from `tokenizer.json` by default. */
  readonly preTokenizer?: string;
}

/** Token types as llama.cpp numbers them. */
export const tokenType = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** The splitting rule of Llama 3, as in its `tokenizer.json`. */
export const llama3Split =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/**
 * Tokenizer metadata from the parsed content of a `tokenizer.json`, whose tokens are spelt in GPT-2's alphabet of 256 printable
 * characters for the 256 bytes. Throws a `RangeError` when the model is no BPE, two tokens share an id, an id lies outside the
 * vocabulary, an entry is malformed, or the splitting rule is not known and merges make it matter.
 */
export function tokenizerGgufMetadata(tokenizer: TokenizerJson, options: TokenizerOptions = {}): GgufMetadata {
  const { type = "BPE", vocab, merges = [] } = tokenizer.model ?? {};
  if (type !== "BPE" || !isJsonObject(vocab)) {
    throw new RangeError(`Cannot write a tokenizer of type ${type} to GGUF: wanted a BPE model with its vocabulary`);
  }
  const { tokens, types } = tokenTable(vocab, tokenizer.added_tokens ?? [], options.vocabularySize);
  return {
    "tokenizer.ggml.model": { type: "string", value: "gpt2" },
    "tokenizer.ggml.pre": { type: "string", value: options.preTokenizer ?? preTokenizerName(tokenizer) },
    "tokenizer.ggml.tokens": list("string", tokens),
    "tokenizer.ggml.token_type": list("int32", types),
    "tokenizer.ggml.merges": list("string", merges.map(mergeText)), // llama.cpp insists on this key; an empty list will do
    ...idEntry("bos", options.bosTokenId, tokens),
    ...idEntry("eos", options.eosTokenId, tokens),
    "tokenizer.ggml.add_bos_token": {
      type: "bool",
      value: options.bosTokenId !== undefined && addsBos(tokenizer.post_processor),
    },
  };
}

/** A merge as GGUF spells it, from either spelling of `tokenizer.json`: `"a b"` or `["a", "b"]`. */
function mergeText(merge: unknown): string {
  const text = Array.isArray(merge) ? merge.join(" ") : merge;
  if (typeof text === "string" && /^[^ ]+ [^ ]+$/.test(text)) return text;
  throw new RangeError(`Cannot write merge ${JSON.stringify(merge)} to GGUF: wanted two tokens`);
}

function list(itemType: GgufValueType, value: GgufItem[]): GgufValue {
  return { type: "array", itemType, value };
}

function idEntry(role: "bos" | "eos", id: number | undefined, tokens: string[]): GgufMetadata {
  if (id === undefined) return {};
  if (tokens[id] === undefined) {
    throw new RangeError(`Cannot use token ${id} as ${role}: the tokenizer has ${tokens.length} tokens`);
  }
  return { [`tokenizer.ggml.${role}_token_id`]: { type: "uint32", value: id } };
}

interface Token {
  readonly id: number;
  readonly text: string;
  readonly type: number;
}

function addedToken(entry: unknown): Token {
  const { id, content, special } = isJsonObject(entry) ? entry : {} as JsonObject;
  if (typeof id === "number" && typeof content === "string") {
    return { id, text: content, type: special ? tokenType.control : tokenType.userDefined };
  }
  throw new RangeError(`Cannot write added token ${JSON.stringify(entry)} to GGUF: wanted an id and its content`);
}

function tokenTable(
  vocab: Readonly<Record<string, number>>,
  added: readonly unknown[],
  size?: number,
): { tokens: string[]; types: number[] } {
  const addedTokens = added.map(addedToken);
  const addedIds = new Map(addedTokens.map(({ text, id }) => [text, id]));
  const plain = Object.entries(vocab).filter(([text, id]) => addedIds.get(text) !== id); // some files list added tokens twice
  const all: Token[] = [...plain.map(([text, id]) => ({ id, text, type: tokenType.normal })), ...addedTokens];
  const length = size ?? all.reduce((most, { id }) => Math.max(most, id + 1), 0);
  const tokens = Array.from({ length }, (_, id) => `[PAD${id}]`);
  const types: number[] = new Array(length).fill(tokenType.unused);
  for (const { id, text, type } of all) {
    if (!Object.hasOwn(tokens, id)) {
      throw new RangeError(`Cannot place token ${JSON.stringify(text)} at id ${id}: the vocabulary has ${length} tokens`);
    }
    if (types[id] !== tokenType.unused) {
      throw new RangeError(`Cannot place tokens ${JSON.stringify(tokens[id])} and ${JSON.stringify(text)}: both have id ${id}`);
    }
    tokens[id] = text;
    types[id] = type;
  }
  return { tokens, types };
}

/** All steps of a pre-tokenizer or post-processor: those of a `Sequence`, or the one there is. */
function stepsOf(component: unknown): JsonObject[] {
  if (!isJsonObject(component)) return [];
  if (component.type !== "Sequence") return [component];
  return [component.pretokenizers ?? component.processors].flat().filter(isJsonObject);
}

function preTokenizerName(tokenizer: TokenizerJson): string {
  const steps = stepsOf(tokenizer.pre_tokenizer);
  const splits = steps.filter(({ type }) => type === "Split").map(({ pattern }) =>
    isJsonObject(pattern) ? pattern.Regex : undefined
  );
  if (splits.length === 1 && splits[0] === llama3Split) return "llama-bpe";
  const splitsLikeGpt2 = splits.length === 0 && steps.some(({ type, use_regex }) => type === "ByteLevel" && use_regex !== false);
  if (splitsLikeGpt2 || !tokenizer.model?.merges?.length) return "gpt-2"; // without merges no split can change the tokens
  throw new RangeError(
    `Cannot name the pre-tokenizer ${JSON.stringify(tokenizer.pre_tokenizer)} in GGUF: wanted that of Llama 3 or GPT-2, ` +
      `or the option preTokenizer`,
  );
}

/** Whether the post-processor puts a special token before a text. */
function addsBos(postProcessor: unknown): boolean {
  return stepsOf(postProcessor).some(({ type, single }) => {
    const first: unknown = Array.isArray(single) ? single[0] : undefined;
    return type === "TemplateProcessing" && isJsonObject(first) && "SpecialToken" in first;
  });
}

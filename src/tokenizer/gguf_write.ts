/**
 * A Hugging Face tokenizer as metadata of a GGUF file: byte-level ones, and those like SentencePiece's. What llama.cpp would read
 * otherwise is refused.
 *
 * @module
 */

import type { GgufItem, GgufMetadata, GgufValue, GgufValueType } from "../io/gguf.ts";
import { isJsonObject } from "../io/json.ts";
import { type AddedToken, addedTokensOf } from "./added.ts";
import { pairOf } from "./bpe.ts";
import { stepsOf } from "./fields.ts";
import { endKeys, knownEnds, ownKeys, tokenType } from "./gguf_fields.ts";
import { isLikeSentencePiece, type Pieces, piecesOf } from "./gguf_pieces.ts";
import { namedRules, ruleNameOf } from "./gguf_pre.ts";
import { surroundingsOf } from "./post_process.ts";
import type { TokenizerJson } from "./tokenizer.ts";

/** What `tokenizer.json` does not say. */
export interface GgufTokenizerOptions {
  /** Rows of the embedding; ids without a token are filled up as unused. The number of tokens by default. */
  readonly vocabularySize?: number;
  /** Token that begins every text. */
  readonly beginToken?: number;
  /** Tokens that end a text. */
  readonly endTokens?: readonly number[];
  /** How conversations are written, in Jinja. */
  readonly chatTemplate?: string;
}

/**
 * Tokenizer metadata from the parsed content of a `tokenizer.json`.
 *
 * @throws {RangeError} that says what llama.cpp would do otherwise: a rule of splitting without a name, a normalizer, merges that scores
 * cannot say, tokens that take spaces; and where an id lies outside the vocabulary
 */
export function tokenizerGgufMetadata(json: TokenizerJson, options: GgufTokenizerOptions = {}): GgufMetadata {
  try {
    return metadataOf(json, options);
  } catch (cause) {
    throw new RangeError(`Cannot write the tokenizer to GGUF: ${(cause as Error).message}`, { cause });
  }
}

function metadataOf(json: TokenizerJson, options: GgufTokenizerOptions): GgufMetadata {
  const { type = "BPE", vocab } = json.model ?? {};
  if (type !== "BPE" || !isJsonObject(vocab)) throw new RangeError(`it is of type ${type}, wanted BPE with its vocabulary`);
  const added = addedTokensOf(json.added_tokens ?? [], new Map(Object.entries(vocab)));
  refuseSpaces(added, json);
  const unknown = json.model?.unk_token as string | undefined;
  const isPieces = isLikeSentencePiece(json);
  const table = tokenTable(vocab, added, { size: options.vocabularySize, isPieces, unknown });
  const kind = isPieces ? piecesMetadata(piecesOf(json), table) : byteLevelMetadata(json);
  return {
    ...kind,
    "tokenizer.ggml.tokens": list("string", table.tokens),
    "tokenizer.ggml.token_type": list("int32", table.types),
    ...unknown && Object.hasOwn(vocab, unknown) ? { "tokenizer.ggml.unknown_token_id": count(vocab[unknown]) } : {},
    ...specialMetadata(json, table, options),
    ...options.chatTemplate === undefined ? {} : { "tokenizer.chat_template": { type: "string", value: options.chatTemplate } },
  };
}

const count = (value: number): GgufValue => ({ type: "uint32", value });

function list(itemType: GgufValueType, value: readonly GgufItem[]): GgufValue {
  return { type: "array", itemType, value };
}

function refuseSpaces(added: readonly AddedToken[], { normalizer }: TokenizerJson): void {
  for (const { content, lstrip, rstrip, singleWord, normalized } of added) {
    const rewritten = normalized && stepsOf(normalizer).some(({ type }) => type === "Prepend");
    const flag = lstrip ? "lstrip" : rstrip ? "rstrip" : singleWord ? "single_word" : rewritten ? "normalized" : undefined;
    if (flag) throw new RangeError(`its added token ${JSON.stringify(content)} has ${flag}, which GGUF cannot say`);
  }
}

function byteLevelMetadata(json: TokenizerJson): GgufMetadata {
  const { continuing_subword_prefix: prefix, end_of_word_suffix: suffix, merges = [] } = json.model ?? {};
  if (prefix || suffix) {
    throw new RangeError("it has a continuing_subword_prefix or an end_of_word_suffix, which GGUF cannot say");
  }
  const name = ruleNameOf(json);
  const normalizer = stepsOf(json.normalizer).map(({ type }) => String(type)).join(" and ");
  const expected = "normalizer" in namedRules[name] ? namedRules[name].normalizer : "";
  if (normalizer !== "" && normalizer !== expected) {
    throw new RangeError(`it has the normalizer ${normalizer}, which GGUF cannot say`);
  }
  const decoders = stepsOf(json.decoder).map(({ type }) => String(type)).filter((type) => type !== "Fuse");
  if (decoders.join() !== "ByteLevel") {
    throw new RangeError(`its decoder is ${decoders.join(" and ") || "none"}, and GGUF can only say ByteLevel`);
  }
  return {
    "tokenizer.ggml.model": { type: "string", value: "gpt2" },
    "tokenizer.ggml.pre": { type: "string", value: name },
    ...normalizer ? { [ownKeys.normalizer]: { type: "string", value: normalizer } } : {},
    "tokenizer.ggml.merges": list("string", merges.map((merge) => pairOf(merge).join(" "))), // wanted, even where there are none
  };
}

function piecesMetadata({ places, addsSpace }: Pieces, { tokens, types }: TokenTable): GgufMetadata {
  const others = places.size; // characters come behind what merges make
  const scores = tokens.map((token, id) => types[id] === tokenType.normal ? -(places.get(token) ?? others + id) : 0);
  return {
    "tokenizer.ggml.model": { type: "string", value: "llama" },
    "tokenizer.ggml.pre": { type: "string", value: "default" },
    "tokenizer.ggml.scores": list("float32", scores.map((score) => score + 0)), // without negative zeros
    "tokenizer.ggml.add_space_prefix": { type: "bool", value: addsSpace },
  };
}

/** Tokens by id. */
interface TokenTable {
  readonly tokens: readonly string[];
  readonly types: readonly number[];
}

function tokenTable(
  vocab: Readonly<Record<string, number>>,
  added: readonly AddedToken[],
  { size, isPieces, unknown }: { readonly size?: number; readonly isPieces: boolean; readonly unknown?: string },
): TokenTable {
  const typeOf = (text: string, otherwise: number): number => {
    if (!isPieces) return otherwise;
    return text === unknown ? tokenType.unknown : /^<0x[0-9A-F]{2}>$/.test(text) ? tokenType.byte : otherwise;
  };
  const ids = new Map(added.map(({ content, id }) => [content, id]));
  const all = [
    ...Object.entries(vocab).filter(([text, id]) => ids.get(text) !== id).map(([text, id]) => {
      return { id, text, type: typeOf(text, tokenType.normal) };
    }),
    ...added.map(({ id, content, special }) => {
      return { id, text: content, type: typeOf(content, special ? tokenType.control : tokenType.userDefined) };
    }),
  ];
  const length = size ?? all.reduce((most, { id }) => Math.max(most, id + 1), 0);
  const tokens = Array.from({ length }, (_, id) => `[PAD${id}]`);
  const types: number[] = new Array(length).fill(tokenType.unused);
  for (const { id, text, type } of all) {
    if (!Object.hasOwn(tokens, id)) {
      throw new RangeError(`the token ${JSON.stringify(text)} has the id ${id}, and the vocabulary ${length} tokens`);
    }
    if (types[id] !== tokenType.unused) {
      throw new RangeError(`the tokens ${JSON.stringify(tokens[id])} and ${JSON.stringify(text)} both have the id ${id}`);
    }
    [tokens[id], types[id]] = [text, type];
  }
  return { tokens, types };
}

/** Begin and end tokens, and what is put around each text. */
function specialMetadata(json: TokenizerJson, table: TokenTable, options: GgufTokenizerOptions): GgufMetadata {
  const { beginToken, endTokens } = options;
  for (const id of [beginToken, ...endTokens ?? []]) {
    if (id !== undefined && table.tokens[id] === undefined) {
      throw new RangeError(`the begin or end token ${id} is none of its ${table.tokens.length} tokens`);
    }
  }
  const { behind } = surroundingsOf(json.post_processor);
  const addsEnd = behind.length > 0;
  if (addsEnd && (behind.length > 1 || behind[0] !== endTokens?.[0])) {
    throw new RangeError(
      `its post_processor puts the tokens ${behind} behind a text, and GGUF can only say the first end token, ${endTokens?.[0]}`,
    );
  }
  return {
    ...beginToken === undefined ? {} : { "tokenizer.ggml.bos_token_id": count(beginToken) },
    ...endTokens ? endMetadata(endTokens, table) : {},
    "tokenizer.ggml.add_bos_token": { type: "bool", value: beginToken !== undefined },
    ...addsEnd ? { "tokenizer.ggml.add_eos_token": { type: "bool", value: true } } : {},
  };
}

function endMetadata(endTokens: readonly number[], { tokens, types }: TokenTable): GgufMetadata {
  const unnamed = endTokens.slice(endKeys.length).find((id) =>
    types[id] !== tokenType.control || !knownEnds.includes(tokens[id])
  );
  if (unnamed !== undefined) {
    throw new RangeError(
      `it has ${endTokens.length} end tokens, and GGUF names ${endKeys.length}; llama.cpp would go on behind ${
        JSON.stringify(tokens[unnamed])
      }`,
    );
  }
  // llama.cpp always has an end token, by default one that is in use: it is told one that is written least.
  const named = endTokens.length > 0 ? endTokens.slice(0, endKeys.length) : [Math.max(0, types.indexOf(tokenType.unused))];
  const entries = named.map((id, at) => [endKeys[at], count(id)]);
  return { ...Object.fromEntries(entries), [ownKeys.endTokens]: list("uint32", endTokens) };
}

/**
 * Text to token ids and back: bytes as tokens, or any Hugging Face `tokenizer.json`.
 *
 * @module
 */

import { isJsonObject } from "../io/json.ts";
import { byteTokenizer, isByteLayout } from "./bytes.ts";

/** Text to ids and back. Ids are from 0 to `vocabularySize - 1`. */
export interface Tokenizer {
  /** Number of ids. */
  readonly vocabularySize: number;
  /** Ids of a text. Unless told otherwise, no special token is added, and the spelling of a special token is text like any other. */
  encode(text: string, options?: EncodeOptions): Uint32Array<ArrayBuffer>;
  /** Text of some ids. Bytes that are not UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /** Decoder for ids that come one at a time: text appears as soon as its last byte is there. */
  stream(): TokenStream;
  /** Content of the file `tokenizer.json` in Hugging Face's layout. */
  toJSON(): TokenizerJson;
}

/** How {@linkcode Tokenizer.encode} treats special tokens. */
export interface EncodeOptions {
  /** Whether the spelling of a special token, such as `<|end_of_text|>`, becomes that token. Text of others should stay text: false by default. */
  readonly parseSpecial?: boolean;
  /** Whether to add what the tokenizer's post-processor adds, such as a begin token. False by default. */
  readonly addSpecial?: boolean;
}

/** Text of ids that come one at a time. */
export interface TokenStream {
  /** Text that `id` completes, often one character, empty in the middle of one. */
  push(id: number): string;
  /** What is left: U+FFFD where the last character is incomplete. */
  end(): string;
}

/** Parsed content of a `tokenizer.json`; the fields that matter here are named. */
export interface TokenizerJson {
  /** Vocabulary and merges. */
  readonly model?: TokenizerModelJson;
  /** Tokens outside the model, special ones among them. */
  readonly added_tokens?: readonly unknown[];
  /** Normalizer, pre-tokenizer, post-processor, decoder and more. */
  readonly [field: string]: unknown;
}

/** The field `model` of a `tokenizer.json`. */
export interface TokenizerModelJson {
  /** Kind of model: "BPE", "Unigram", "WordPiece". */
  readonly type?: string;
  /** Id of each token. */
  readonly vocab?: Readonly<Record<string, number>>;
  /** Pairs of tokens to be merged, the first ones first. */
  readonly merges?: readonly unknown[];
  /** What else a kind of model needs. */
  readonly [field: string]: unknown;
}

/** What {@linkcode loadTokenizer} may be told. */
export interface LoadTokenizerOptions {
  /** Content of the `tokenizer_config.json` beside it. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Whether fields that are not known are passed over with a warning each. False by default: they are refused. */
  readonly allowUnknown?: boolean;
}

/**
 * The tokenizer that a `tokenizer.json` describes.
 *
 * @param json Parsed content of the file. The layout that {@linkcode byteTokenizer} writes is recognised and needs no library; any other
 * is read by npm `@huggingface/tokenizers`, loaded on demand.
 * @throws {TypeError} Where `json` is not the content of a `tokenizer.json`.
 *
 * @example
 * ```ts
 * import { byteTokenizer, loadTokenizer } from "@hestia/hestia";
 * const tokenizer = await loadTokenizer(byteTokenizer.toJSON()); // or the parsed file of a checkpoint
 * console.log(tokenizer.encode("Hi")); // 72, 105
 * ```
 */
export async function loadTokenizer(json: unknown, _options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  if (!isTokenizerJson(json)) {
    throw new TypeError('Cannot load a tokenizer: wanted the content of a tokenizer.json, an object with "model.vocab"');
  }
  return isByteLayout(json) ? byteTokenizer : await huggingFaceTokenizer(json);
}

function isTokenizerJson(json: unknown): json is TokenizerJson {
  if (typeof json !== "object" || json === null || !("model" in json)) return false;
  const { model } = json;
  return typeof model === "object" && model !== null && "vocab" in model && typeof model.vocab === "object";
}

async function huggingFaceTokenizer(json: TokenizerJson): Promise<Tokenizer> {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const [inner, plain] = [json.added_tokens ?? [], (json.added_tokens ?? []).filter((token) => !isSpecial(token))]
    .map((added_tokens) => inContext(() => new Tokenizer({ ...json, added_tokens }, {})));
  const ids = inner.get_vocab(true).values();
  const decode = (ids: ArrayLike<number>): string =>
    ids.length === 0 ? "" : inner.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  return {
    vocabularySize: ids.reduce((largest, id) => Math.max(largest, id), -1) + 1,
    encode: (text, { parseSpecial = false, addSpecial = false } = {}) =>
      Uint32Array.from((parseSpecial ? inner : plain).encode(text, { add_special_tokens: addSpecial }).ids),
    decode,
    stream: () => streamOf(decode),
    toJSON: () => json,
  };
}

function isSpecial(token: unknown): boolean {
  return isJsonObject(token) && token.special === true;
}

/** What `make` gives. What a library says against a `tokenizer.json` becomes an error of ours. */
function inContext<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new TypeError(`Cannot load a tokenizer: ${(cause as Error).message}`, { cause });
  }
}

/**
 * Streaming with a decoder that only knows whole texts. Ids are held back while the text ends inside a character, and decoded together
 * with those told before them, since some decoders treat the first id of a text in a special way.
 */
function streamOf(decode: (ids: ArrayLike<number>) => string): TokenStream {
  let told: number[] = [];
  let pending: number[] = [];
  const take = (): string => {
    const text = decode([...told, ...pending]).slice(decode(told).length);
    [told, pending] = [pending, []];
    return text;
  };
  return {
    push(id) {
      pending.push(id);
      return decode([...told, ...pending]).endsWith("\uFFFD") ? "" : take();
    },
    end: () => pending.length === 0 ? "" : take(),
  };
}

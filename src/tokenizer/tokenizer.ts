/**
 * Text to token ids and back: byte-pair encoding as a Hugging Face `tokenizer.json` describes it.
 *
 * @module
 */

import type { ReadingOptions } from "../io/fields.ts";
import { isJsonObject } from "../io/json.ts";
import { AddedTokens, addedTokensOf } from "./added.ts";
import { Bpe } from "./bpe.ts";
import { byteTokenizer, isByteLayout } from "./bytes.ts";
import { configured } from "./config.ts";
import { byteStreams, decoderOf, joinsBytes, textsAlone, windowStream } from "./decode.ts";
import { checkTokenizerJson } from "./fields.ts";
import { IdList } from "./merges.ts";
import { normalizerOf } from "./normalize.ts";
import { surroundingsOf } from "./post_process.ts";
import { splitterOf } from "./split.ts";

/** Text to ids and back. Ids are from 0 to `vocabularySize - 1`. */
export interface Tokenizer {
  /** Number of ids. */
  readonly vocabularySize: number;
  /** Ids of a text. Unless told otherwise, no special token is added, and the spelling of a special token is text like any other. */
  encode(text: string, options?: EncodeOptions): Uint32Array<ArrayBuffer>;
  /** Text of some ids. Bytes that are not UTF-8 become U+FFFD. Throws a `RangeError` that names an id which is none of the tokenizer's. */
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
export interface LoadTokenizerOptions extends ReadingOptions {
  /** Content of the `tokenizer_config.json` beside it. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/**
 * The tokenizer that a `tokenizer.json` describes: byte-pair encoding, of bytes or of characters, with any of the normalizers,
 * pre-tokenizers, post-processors and decoders that such models come with. Encoding takes time in proportion to the text, whatever
 * that is.
 *
 * @param json Parsed content of the file.
 * @throws {TypeError} Where `json` is not the content of a `tokenizer.json`.
 * @throws {RangeError} Where it has a field or a value that is not known, which is named; other kinds of models (Unigram, WordPiece) are
 * refused too.
 *
 * @example
 * ```ts
 * import { byteTokenizer, loadTokenizer } from "@hestia/hestia";
 * const tokenizer = await loadTokenizer(byteTokenizer.toJSON()); // or the parsed file of a checkpoint
 * console.log(tokenizer.encode("Hi")); // 72, 105
 * ```
 */
export function loadTokenizer(json: unknown, options: LoadTokenizerOptions = {}): Promise<Tokenizer> {
  return Promise.try(() => {
    if (!isTokenizerJson(json)) {
      throw new TypeError('Cannot load a tokenizer: wanted the content of a tokenizer.json, an object with "model.vocab"');
    }
    const { config, ...reading } = options;
    checkTokenizerJson(json, reading);
    const whole = withLists(json);
    const both = config ? inContext(() => configured(whole, config, reading)) : whole;
    return isByteLayout(both) ? byteTokenizer : inContext(() => bpeTokenizer(both));
  });
}

/** With empty lists in place of nulls. */
function withLists(json: TokenizerJson): TokenizerJson {
  const whole = json.added_tokens === null ? { ...json, added_tokens: [] } : json;
  return json.model?.merges === null ? { ...whole, model: { ...json.model, merges: [] } } : whole;
}

function isTokenizerJson(json: unknown): json is TokenizerJson {
  return isJsonObject(json) && isJsonObject(json.model) && typeof json.model.vocab === "object" && json.model.vocab !== null;
}

/** What `make` gives; what it says against a tokenizer is put into a sentence. */
function inContext<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    const { message } = cause as Error;
    const action = "Cannot load a tokenizer: ";
    throw new RangeError(message.startsWith(action) ? message : action + message, { cause });
  }
}

function bpeTokenizer(json: TokenizerJson): Tokenizer {
  const splitter = splitterOf(json.pre_tokenizer);
  const model = new Bpe(json.model!, splitter.spell);
  const tokens = addedTokensOf(json.added_tokens ?? [], model.vocabulary);
  const normalize = normalizerOf(json.normalizer);
  const added = new AddedTokens(tokens, normalize);
  const { before, behind } = surroundingsOf(json.post_processor);
  const spellings = new Map([...model.vocabulary.entries().map(([token, id]) => [id, token] as const)]);
  for (const { id, content, normalized } of tokens) spellings.set(id, normalized && normalize ? normalize(content) : content);
  const vocabularySize = spellings.keys().reduce((largest, id) => Math.max(largest, id), -1) + 1;
  const spellingOf = (id: number): string => {
    const spelling = spellings.get(id);
    if (spelling !== undefined || id >= 0 && id < vocabularySize && Number.isInteger(id)) return spelling ?? "";
    throw new RangeError(`Cannot decode: an id must be a whole number from 0 to ${vocabularySize - 1}, got ${id}`);
  };
  const decodeTokens = decoderOf(json.decoder);
  const alone = textsAlone(json.decoder);
  const decode = (ids: ArrayLike<number>): string => decodeTokens(Array.from(ids, spellingOf).filter((token) => token !== ""));
  return {
    vocabularySize,
    encode(text, { parseSpecial = false, addSpecial = false } = {}) {
      const ids = new IdList(text.length >> 1);
      if (addSpecial) ids.pushAll(before);
      added.find(text, parseSpecial, (start, end, id) => {
        if (id !== undefined) return ids.push(id);
        const piece = start === 0 && end === text.length ? text : text.slice(start, end);
        const normal = normalize ? normalize(piece) : piece;
        added.findNormalized(normal, parseSpecial, (from, to, id) => {
          if (id !== undefined) return ids.push(id);
          splitter.split(normal.slice(from, to), start === 0 && from === 0, (word) => model.encode(word, ids));
        });
      });
      if (addSpecial) ids.pushAll(behind);
      return ids.toArray();
    },
    decode,
    stream: joinsBytes(json.decoder) ? byteStreams(spellingOf) : () => windowStream(decode, (id) => alone(spellingOf(id))),
    toJSON: () => json,
  };
}

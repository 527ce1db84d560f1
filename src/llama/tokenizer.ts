/**
 * Text to token ids and back: bytes as tokens, or any Hugging Face `tokenizer.json`.
 *
 * @module
 */

/** Text to ids and back. Ids are from 0 to `vocabularySize - 1`. */
export interface Tokenizer {
  /** Number of ids. */
  readonly vocabularySize: number;
  /** Ids of a text. No special token is added. */
  encode(text: string): Uint32Array<ArrayBuffer>;
  /** Text of some ids. Bytes that are not UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /** Decoder for ids that come one at a time: text appears as soon as its last byte is there. */
  stream(): TokenStream;
  /** Content of the file `tokenizer.json` in Hugging Face's layout. */
  toJSON(): TokenizerJson;
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

/**
 * The 256 bytes of UTF-8 as tokens: id = byte.
 *
 * @example
 * ```ts
 * import { byteTokenizer } from "@hestia/hestia";
 * const ids = byteTokenizer.encode("né");
 * console.assert(ids.join() === "110,195,169" && byteTokenizer.decode(ids) === "né");
 * ```
 */
export const byteTokenizer: Tokenizer = {
  vocabularySize: 256,
  encode: (text) => Uint32Array.from(new TextEncoder().encode(text)),
  decode: (ids) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytesOf(ids)),
  stream() {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return { push: (id) => decoder.decode(bytesOf([id]), { stream: true }), end: () => decoder.decode() };
  },
  toJSON: byteTokenizerJson,
};

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
export async function loadTokenizer(json: unknown): Promise<Tokenizer> {
  if (!isTokenizerJson(json)) {
    throw new TypeError('Cannot load a tokenizer: wanted the content of a tokenizer.json, an object with "model.vocab"');
  }
  return isByteLayout(json) ? byteTokenizer : await huggingFaceTokenizer(json);
}

function bytesOf(ids: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(ids, (id) => {
    if (!(id >= 0 && id < 256)) throw new RangeError(`Cannot decode bytes: an id must be from 0 to 255, got ${id}`);
    return id;
  });
}

/**
 * A printable character for each byte, as GPT-2's byte-level vocabulary has it: itself where Latin-1 shows it, otherwise the next
 * character from U+0100 on.
 */
function byteSymbols(): string[] {
  const shown = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(shown(byte) ? byte : next++));
}

function byteTokenizerJson(): TokenizerJson {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(byteSymbols().map((symbol, byte) => [symbol, byte])),
      merges: [],
    },
  };
}

function isTokenizerJson(json: unknown): json is TokenizerJson {
  if (typeof json !== "object" || json === null || !("model" in json)) return false;
  const { model } = json;
  return typeof model === "object" && model !== null && "vocab" in model && typeof model.vocab === "object";
}

/** Whether ids are bytes: the 256 symbols in byte order, nothing merged, nothing added, nothing rewritten. */
function isByteLayout({ model, added_tokens: added = [], normalizer, post_processor: processor }: TokenizerJson): boolean {
  const vocabulary = model?.vocab ?? {};
  const plain = added.length === 0 && (model?.merges ?? []).length === 0 && normalizer == null && processor == null;
  return plain && Object.keys(vocabulary).length === 256 && byteSymbols().every((symbol, byte) => vocabulary[symbol] === byte);
}

async function huggingFaceTokenizer(json: TokenizerJson): Promise<Tokenizer> {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const inner = inContext(() => new Tokenizer(json, {}));
  const ids = inner.get_vocab(true).values();
  const decode = (ids: ArrayLike<number>): string =>
    ids.length === 0 ? "" : inner.decode(Array.from(ids), { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  return {
    vocabularySize: ids.reduce((largest, id) => Math.max(largest, id), -1) + 1,
    encode: (text) => Uint32Array.from(inner.encode(text, { add_special_tokens: false }).ids),
    decode,
    stream: () => streamOf(decode),
    toJSON: () => json,
  };
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

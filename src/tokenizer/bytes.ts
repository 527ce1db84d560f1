/**
 * The simplest tokenizer there is, bytes, and the alphabet in which vocabularies of bytes are spelt.
 *
 * @module
 */

import { isJsonObject } from "../io/json.ts";
import type { Tokenizer, TokenizerJson } from "./tokenizer.ts";

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
 * A printable character for each byte, as GPT-2's byte-level vocabulary has it: itself where Latin-1 shows it, otherwise the next
 * character from U+0100 on.
 */
export function byteSymbols(): string[] {
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

/** Whether ids are bytes: the 256 symbols in byte order, nothing merged, nothing added, nothing rewritten. */
export function isByteLayout(json: TokenizerJson): boolean {
  const { model, added_tokens: added = [], pre_tokenizer: part, decoder, normalizer, post_processor: processor } = json;
  const spellsBytes = isJsonObject(part) && part.type === "ByteLevel" && part.add_prefix_space === false;
  const joinsBytes = isJsonObject(decoder) && decoder.type === "ByteLevel";
  const plain = added.length === 0 && (model?.merges ?? []).length === 0 && normalizer == null && processor == null;
  const vocabulary = model?.vocab ?? {};
  return spellsBytes && joinsBytes && plain && Object.keys(vocabulary).length === 256 &&
    byteSymbols().every((symbol, byte) => vocabulary[symbol] === byte);
}

function bytesOf(ids: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(ids, (id) => {
    if (!(Number.isInteger(id) && id >= 0 && id < 256)) {
      throw new RangeError(`Cannot decode bytes: an id must be a whole number from 0 to 255, got ${id}`);
    }
    return id;
  });
}

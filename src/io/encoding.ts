/**
 * Text from bytes: UTF-8 is required, a byte-order mark is dropped, and whatever else it is is refused by what it looks like.
 *
 * @module
 */

/** What a text begins with that is not UTF-8, or is compressed or no text at all. Longer marks stand before those that begin them. */
const marks: readonly (readonly [bytes: readonly number[], what: string])[] = [
  [[0xff, 0xfe, 0x00, 0x00], "UTF-32 (little-endian)"],
  [[0x00, 0x00, 0xfe, 0xff], "UTF-32 (big-endian)"],
  [[0xff, 0xfe], "UTF-16 (little-endian)"],
  [[0xfe, 0xff], "UTF-16 (big-endian)"],
  [[0x1f, 0x8b], "a gzip file"],
  [[0x28, 0xb5, 0x2f, 0xfd], "a Zstandard file"],
  [[0x50, 0x41, 0x52, 0x31], "a Parquet file"],
  [[0x50, 0x4b, 0x03, 0x04], "a ZIP file"],
  [[0x25, 0x50, 0x44, 0x46, 0x2d], "a PDF file"],
  [[0x89, 0x50, 0x4e, 0x47], "a PNG image"],
  [[0x47, 0x47, 0x55, 0x46], "a GGUF file"],
];

/** What bytes are by the mark that they begin with, if it is one of those that no text in UTF-8 begins with. */
export function markOf(bytes: Uint8Array): string | undefined {
  return marks.find(([mark]) => mark.every((byte, at) => bytes[at] === byte))?.[1];
}

/** What else files begin with that are not what their name says: the first bytes as text, and what that is. */
const beginnings: readonly (readonly [text: string, what: string])[] = [
  ["version ", "a pointer of Git LFS, in place of the file itself; git lfs pull fetches it"],
  ["<", "a page of HTML or XML, such as a server sends in place of a file"],
  ["{", "JSON"],
];

/** What the first bytes of a file look like, where that is nothing of numbers, in a few words; undefined where nobody can tell. */
export function looksLike(first: Uint8Array): string | undefined {
  const text = new TextDecoder("latin1").decode(first.subarray(0, 8));
  return markOf(first) ?? beginnings.find(([beginning]) => text.startsWith(beginning))?.[1];
}

/** Bytes that a guess about an encoding looks at. */
const sampleBytes = 65536;

/**
 * What bytes look like that are not UTF-8, in a few words: "UTF-16 (little-endian)", "Latin-1 (ISO 8859-1)".
 *
 * @param bytes a piece of a file that is not all UTF-8
 * @param position where in the file it begins
 */
function foreignEncoding(bytes: Uint8Array, position = 0): string {
  const { valid, invalid, first } = utf8Sequences(bytes);
  const start = Math.max(0, first - sampleBytes / 2);
  const sample = bytes.subarray(start, start + sampleBytes);
  const other = (position === 0 ? markOf(bytes) : undefined) ?? wideEncoding(sample);
  if (other) return other;
  if (invalid === 0) return "UTF-8 that ends inside a character";
  if (valid > invalid) return `UTF-8 that is damaged at byte ${position + first}`;
  return eightBitEncoding(sample);
}

/** UTF-16 or UTF-32 without a mark: every second byte, or three of four, is zero where the text is mostly ASCII. */
function wideEncoding(sample: Uint8Array): string | undefined {
  const zeros = [0, 0, 0, 0];
  sample.forEach((byte, at) => zeros[at % 4] += byte === 0 ? 1 : 0);
  const [a, b, c, d] = zeros.map((count) => count > sample.length / 4 * 0.7);
  const total = zeros.reduce((sum, count) => sum + count, 0);
  if (b && c && d && !a) return "UTF-32 (little-endian)";
  if (a && b && c && !d) return "UTF-32 (big-endian)";
  if (b && d && !a && !c) return "UTF-16 (little-endian)";
  if (a && c && !b && !d) return "UTF-16 (big-endian)";
  return total > sample.length / 10 ? "binary data" : undefined;
}

/** Encodings of East Asia, with the characters that a text in each is mostly made of. */
const eastAsian: readonly (readonly [label: string, name: string, common: RegExp])[] = [
  ["shift_jis", "Shift-JIS", /[\u3040-\u30ff]/g],
  ["euc-jp", "EUC-JP", /[\u3040-\u30ff]/g],
  ["euc-kr", "EUC-KR", /[\uac00-\ud7a3]/g],
  ["gb18030", "GB 18030", /[\u4e00-\u9fff]/g],
  ["big5", "Big5", /[\u4e00-\u9fff]/g],
];

/** An encoding of one or two bytes a character. */
function eightBitEncoding(sample: Uint8Array): string {
  const high = sample.filter((byte) => byte >= 0x80);
  const control = sample.filter((byte) => byte < 0x20 && byte !== 9 && byte !== 10 && byte !== 12 && byte !== 13).length;
  if (control > sample.length / 50) return "binary data";
  for (const [label, name, common] of eastAsian) {
    const text = decoded(sample, label);
    if (text !== undefined && (text.match(common)?.length ?? 0) > high.length / 5) return name;
  }
  return high.some((byte) => byte < 0xa0) ? "Windows-1252" : "Latin-1 (ISO 8859-1)";
}

/** A text in an encoding, its last character perhaps cut off; undefined where it is not in that encoding. */
function decoded(bytes: Uint8Array, label: string): string | undefined {
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return undefined;
  }
}

/** How many characters beyond ASCII are right in UTF-8, how many are not, and where the first of these stands. */
function utf8Sequences(bytes: Uint8Array): { valid: number; invalid: number; first: number } {
  let [valid, invalid, first] = [0, 0, -1];
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at];
    const length = byte < 0x80
      ? 1
      : byte >= 0xc2 && byte < 0xe0
      ? 2
      : byte >= 0xe0 && byte < 0xf0
      ? 3
      : byte >= 0xf0 && byte < 0xf5
      ? 4
      : 0;
    const rest = bytes.subarray(at + 1, at + Math.max(1, length));
    const whole = length > 0 && rest.every((next) => next >> 6 === 2);
    if (whole && at + length > bytes.length) break; // cut off here
    if (whole && length > 1) valid++;
    if (!whole) {
      invalid++;
      if (first < 0) first = at;
    }
    at += whole ? length : 1;
  }
  return { valid, invalid, first };
}

/** Text that is not UTF-8. */
export class EncodingError extends RangeError {
  override readonly name = "EncodingError";
  /** What it looks like, and what was wanted, in a few words. */
  readonly reason: string;

  constructor(source: string, looksLike: string, options?: ErrorOptions) {
    const reason = `it looks like ${looksLike}, wanted UTF-8`;
    super(`Cannot read ${source} as text: ${reason}`, options);
    this.reason = reason;
  }
}

/** Decodes UTF-8 that comes in pieces. A byte-order mark at its beginning is dropped. */
export class Utf8Decoder {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  readonly #source: string;
  #position = 0;

  /** @param source what errors call the text: `"notes.txt"` */
  constructor(source: string) {
    this.#source = source;
  }

  /** Text of the next bytes. Throws an `EncodingError` that names the source and what it looks like where it is not UTF-8. */
  push(bytes: Uint8Array): string {
    const first = this.#position === 0 && bytes.length > 0;
    const other = first ? markOf(bytes) ?? wideEncoding(bytes.subarray(0, sampleBytes)) : undefined; // zeros are UTF-8 too
    if (other) throw new EncodingError(this.#source, other);
    try {
      const text = this.#decoder.decode(bytes, { stream: true });
      this.#position += bytes.length;
      return text;
    } catch (cause) {
      throw new EncodingError(this.#source, foreignEncoding(bytes, this.#position), { cause });
    }
  }

  /** Throws where the last character is incomplete. */
  end(): string {
    try {
      return this.#decoder.decode();
    } catch (cause) {
      throw new EncodingError(this.#source, "UTF-8 that ends inside a character", { cause });
    }
  }
}

/**
 * A text in UTF-8, without its byte-order mark.
 *
 * @param source what errors call it: `"notes.txt"`
 * @throws EncodingError that names the source and what it looks like where it is not UTF-8
 */
export function decodeUtf8(bytes: Uint8Array, { source }: { readonly source: string }): string {
  const decoder = new Utf8Decoder(source);
  return decoder.push(bytes) + decoder.end();
}

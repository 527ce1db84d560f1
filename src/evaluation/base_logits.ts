/**
 * llama.cpp's file of a model's log-probabilities, which other models are compared with: `llama-perplexity --kl-divergence-base`.
 *
 * "_logits_", then int32: tokens of a chunk, of the vocabulary, chunks; all tokens as int32; then for each chunk the rows of its second half.
 * A row is a step and a least value in float32, and log p as so many steps above it, in 16 bits over 16 nats at most.
 *
 * @module
 */

import type { Bytes } from "../io/bytes.ts";

/** What the file begins with. */
export interface BaseHeader {
  /** Tokens of a chunk. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  /** Tokens of each chunk, as the text has them. */
  readonly chunks: readonly Int32Array[];
}

const magic = "_logits_";
const sizesAt = magic.length;
/** Bytes before the tokens. */
export const fixedBytes = sizesAt + 12;
/** log p below the largest that is told apart, in nats. */
const range = 16;

/** Rows of a chunk: a prediction for each token behind the middle. */
export function rowsOfChunk(contextLength: number): number {
  return contextLength - 1 - Math.floor(contextLength / 2);
}

/** 16-bit words of a row: four for the two floats, and an even number for the tokens. */
function wordsOfRow(vocabularySize: number): number {
  return 4 + 2 * Math.ceil(vocabularySize / 2);
}

/** Where a chunk's rows lie in the file. */
export function chunkPlace(
  { contextLength, vocabularySize, chunks }: BaseHeader,
  chunk: number,
): { start: number; bytes: number } {
  const bytes = 2 * rowsOfChunk(contextLength) * wordsOfRow(vocabularySize);
  return { start: fixedBytes + 4 * contextLength * chunks.length + chunk * bytes, bytes };
}

/** The beginning of a file. */
export function headerBytes({ contextLength, vocabularySize, chunks }: BaseHeader): Bytes {
  const bytes = new Uint8Array(fixedBytes + 4 * contextLength * chunks.length);
  bytes.set(new TextEncoder().encode(magic));
  const view = new DataView(bytes.buffer);
  [contextLength, vocabularySize, chunks.length, ...chunks.flatMap((tokens) => Array.from(tokens))].forEach((value, at) =>
    view.setInt32(sizesAt + 4 * at, value, true)
  );
  return bytes;
}

/**
 * The beginning of a file, of which `read` gives a part.
 *
 * @throws RangeError where it is no such file, or not all of one
 */
export async function readHeader(
  { byteLength, read }: { readonly byteLength: number; readonly read: (start: number, bytes: number) => Promise<Uint8Array> },
): Promise<BaseHeader> {
  const refuse = (reason: string) => new RangeError(`Cannot read the file of base logits: ${reason}`);
  if (byteLength < fixedBytes) throw refuse(`it has ${byteLength} bytes`);
  const fixed = await read(0, fixedBytes);
  if (new TextDecoder().decode(fixed.subarray(0, sizesAt)) !== magic) throw refuse(`it does not begin with "${magic}"`);
  const sizes = new DataView(fixed.buffer, fixed.byteOffset + sizesAt);
  const [contextLength, vocabularySize, count] = [0, 4, 8].map((at) => sizes.getInt32(at, true));
  if (contextLength < 2 || vocabularySize < 1 || count < 1) {
    throw refuse(`${count} chunks of ${contextLength} tokens of ${vocabularySize} kinds`);
  }
  const wanted = chunkPlace({ contextLength, vocabularySize, chunks: new Array(count) }, count).start;
  if (byteLength < wanted) throw refuse(`it has ${byteLength} bytes, wanted ${wanted}; was the run that wrote it ended early?`);
  const tokens = await read(fixedBytes, 4 * contextLength * count);
  const view = new DataView(tokens.buffer, tokens.byteOffset);
  const chunks = Array.from(
    { length: count },
    (_, chunk) => Int32Array.from({ length: contextLength }, (_, at) => view.getInt32(4 * (chunk * contextLength + at), true)),
  );
  return { contextLength, vocabularySize, chunks };
}

/** Rows of logits as the file holds them. */
export function encodedRows(logits: Float32Array, vocabularySize: number): Bytes {
  const words = wordsOfRow(vocabularySize);
  const rows = logits.length / vocabularySize;
  const result = new Uint16Array(rows * words);
  const floats = new Float32Array(2);
  for (let row = 0; row < rows; row++) {
    const own = logits.subarray(row * vocabularySize, (row + 1) * vocabularySize);
    const { most, least, logSum } = extremes(own);
    const bottom = Math.max(least, most - range);
    floats.set([(most - bottom) / 65535, bottom - most - logSum]);
    result.set(new Uint16Array(floats.buffer), row * words);
    if (floats[0] === 0) continue;
    for (let token = 0; token < vocabularySize; token++) {
      if (own[token] > bottom) result[row * words + 4 + token] = Math.min(65535, Math.round((own[token] - bottom) / floats[0]));
    }
  }
  return new Uint8Array(result.buffer);
}

/** log p of a row, in nats, from what the file holds of a chunk. */
export function decodedRow(bytes: Uint8Array, row: number, vocabularySize: number): Float32Array {
  const size = 2 * wordsOfRow(vocabularySize);
  const own = bytes.slice(row * size, (row + 1) * size).buffer; // aligned
  const [step, least] = new Float32Array(own, 0, 2);
  const counts = new Uint16Array(own, 8, vocabularySize);
  const logs = new Float32Array(vocabularySize);
  for (let token = 0; token < vocabularySize; token++) logs[token] = step * counts[token] + least;
  return logs;
}

/** The largest and the least logit of a row, and the logarithm of the sum of all by the largest. */
export function extremes(logits: Float32Array): { most: number; least: number; logSum: number } {
  let [most, least] = [-Infinity, Infinity];
  for (const value of logits) {
    if (value > most) most = value;
    if (value < least) least = value;
  }
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - most);
  return { most, least, logSum: Math.log(sum) };
}

/**
 * Files as streams of bytes: read in pieces, decompressed on the way, cut into lines.
 *
 * @module
 */

import { markOf } from "./encoding.ts";
import { needFiles, reasonOf } from "./files.ts";

/** Bytes that are read at a time. */
const pieceBytes = 1 << 18;

/** How a file is compressed. */
export type Compression = "gzip" | "zstd";

/** What a compressed file looks like by its first bytes. */
const looks: Readonly<Record<Compression, string>> = { gzip: "a gzip file", zstd: "a Zstandard file" };

/** Settings of {@linkcode byteStream}. */
export interface ByteStreamOptions {
  /** None by default. */
  readonly compression?: Compression;
  /** Is told how many bytes of the file were read, each time some were. */
  readonly onRead?: (bytes: number) => void;
}

/**
 * The content of a file in pieces of about 256 KiB. Each is the reader's own.
 *
 * @throws Error that names the path where it cannot be read, is not compressed as `compression` says, or is damaged
 */
export async function* byteStream(path: string, { compression, onRead }: ByteStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const pieces = filePieces(path, onRead);
  if (!compression) return yield* pieces;
  const first = await pieces.next();
  const start = first.value ?? new Uint8Array(0);
  if (markOf(start) !== looks[compression]) {
    await pieces.return(undefined);
    throw new Error(`Cannot read "${path}": its name says ${looks[compression]}, and it does not begin as one`);
  }
  try {
    yield* (compression === "gzip" ? gunzipped : unzstd)(prepended(start, pieces));
  } catch (cause) {
    if (cause instanceof Error && cause.message.startsWith("Cannot ")) throw cause;
    throw new Error(`Cannot read "${path}": its compressed content is damaged (${(cause as Error).message})`, { cause });
  }
}

async function* prepended(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield* rest;
}

async function* filePieces(path: string, onRead?: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  needFiles(`Cannot read "${path}"`);
  const fail = (cause: unknown) => new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  const file = await Deno.open(path).catch((cause) => {
    throw fail(cause);
  });
  let buffer = spare ?? new Uint8Array(pieceBytes);
  spare = undefined;
  try {
    for (;;) {
      const count = await file.read(buffer).catch((cause) => {
        throw fail(cause);
      });
      if (count === null) break;
      onRead?.(count);
      const isFull = count > pieceBytes / 2;
      yield isFull ? buffer.subarray(0, count) : buffer.slice(0, count);
      if (isFull) buffer = new Uint8Array(pieceBytes);
    }
    spare = buffer;
  } finally {
    file.close();
  }
}

/** A buffer that nobody reads into: many small files need no new one each. */
let spare: Uint8Array<ArrayBuffer> | undefined;

async function* gunzipped(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { createGunzip } = await import("node:zlib"); // unlike DecompressionStream it goes on where files were joined
  const { Readable } = await import("node:stream");
  const { pipeline } = await import("node:stream/promises");
  const stream = createGunzip({ chunkSize: pieceBytes });
  const written = pipeline(Readable.from(pieces), stream);
  written.catch(() => {}); // whoever reads hears of it
  for await (const piece of stream) yield piece;
  await written;
}

async function* unzstd(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { Decompress } = await import("fzstd"); // Deno's node:zlib stops at the first frame, and does not notice a missing end
  const ready: Uint8Array[] = [];
  const stream = new Decompress((piece) => void ready.push(piece));
  for await (const piece of pieces) {
    stream.push(piece);
    yield* ready.splice(0).filter(({ length }) => length > 0);
  }
  stream.push(new Uint8Array(0), true);
  yield* ready.splice(0).filter(({ length }) => length > 0);
}

/**
 * Lines of a stream, without their ends: `\n`, or `\r\n`. What follows the last end is a line where it is not empty. A line is copied
 * only where it crosses pieces.
 */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let open: Uint8Array[] = [];
  for await (const piece of pieces) {
    let start = 0;
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, start)) {
      yield trimmed(joined(open, piece.subarray(start, end)));
      if (open.length > 0) open = [];
      start = end + 1;
    }
    if (start < piece.length) open.push(piece.subarray(start));
  }
  if (open.length > 0) yield trimmed(joined(open, new Uint8Array(0)));
}

const trimmed = (line: Uint8Array): Uint8Array => line.at(-1) === 13 ? line.subarray(0, -1) : line;

function joined(open: readonly Uint8Array[], last: Uint8Array): Uint8Array {
  if (open.length === 0) return last;
  const whole = new Uint8Array(open.reduce((sum, { length }) => sum + length, last.length));
  let at = 0;
  for (const part of [...open, last]) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

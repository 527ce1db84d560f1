/**
 * Compressed files: gzip, written and read by fflate.
 *
 * @module
 */

import { Gunzip, gunzipSync, gzipSync } from "fflate";
import { type Bytes, joinBytes } from "./bytes.ts";

/** Most bytes that one compressed byte can stand for. */
const highestRatio = 1032;

/** Compressed bytes that are looked at in one go, to see how the content begins. */
const pieceBytes = 1 << 11;

/** The bytes as a gzip file. The same bytes give the same file. */
export function gzip(bytes: Uint8Array): Bytes {
  return gzipSync(bytes, { level: 6, mtime: 0 }) as Bytes;
}

/** How a gzip file is read. */
export interface GunzipOptions {
  /** What errors call the file. */
  readonly source: string;
  /**
   * Is given longer and longer beginnings of the content, and how many bytes it has by the file's end, until it returns true or throws:
   * nothing of that size is allocated before.
   */
  readonly check?: (beginning: Uint8Array, totalBytes: number) => boolean;
}

/**
 * Content of a gzip file. Throws a `RangeError` that names `source` where it is damaged by length or checksum, or promises more than so many
 * bytes can hold.
 */
export function gunzip(bytes: Uint8Array, { source, check }: GunzipOptions): Bytes {
  const [checksum, promised] = bytes.length < 18 ? [0, 0] : endOf(bytes);
  if (promised > highestRatio * bytes.length) {
    throw new RangeError(`Cannot read ${source}: ${bytes.length} compressed bytes cannot hold ${promised}`);
  }
  const damaged = (cause: unknown) =>
    new RangeError(`Cannot read ${source}: its compressed content is damaged (${(cause as Error).message})`, { cause });
  if (check) checkBeginning(bytes, (beginning) => check(beginning, promised), damaged);
  let content;
  try {
    content = gunzipSync(bytes, { out: new Uint8Array(promised) });
  } catch (cause) {
    throw damaged(cause);
  }
  if (content.length !== promised || bytes.length < 18) {
    throw new RangeError(`Cannot read ${source}: its compressed content has ${content.length} bytes, wanted ${promised}`);
  }
  if (crc32(content) !== checksum) {
    throw new RangeError(`Cannot read ${source}: its compressed content is damaged (it has another checksum than was written)`);
  }
  return content as Bytes;
}

/** Checksum and length of the content, the last eight bytes. */
function endOf(bytes: Uint8Array): [checksum: number, length: number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 8);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}

/** Decompresses piece by piece until the beginning suffices. */
function checkBeginning(
  bytes: Uint8Array,
  isEnough: (beginning: Uint8Array) => boolean,
  damaged: (cause: unknown) => Error,
): void {
  const pieces: Uint8Array[] = [];
  const stream = new Gunzip((piece) => void pieces.push(piece));
  let [length, looked] = [0, 0];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    try {
      stream.push(bytes.subarray(at, at + pieceBytes), at + pieceBytes >= bytes.length);
    } catch (cause) {
      throw damaged(cause);
    }
    length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (length < 2 * looked && at + pieceBytes < bytes.length) continue; // a long header is looked at a few times, not at each piece
    looked = length;
    const beginning = joinBytes(pieces.splice(0));
    pieces.push(beginning);
    if (isEnough(beginning)) return;
  }
}

/** What each byte contributes to a checksum. */
const contributions = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte >>> 1 ^ (byte & 1 ? 0xedb88320 : 0);
  return byte;
});

/** The checksum of gzip (CRC-32 of ISO 3309). */
export function crc32(bytes: Uint8Array): number {
  let sum = ~0;
  for (let at = 0; at < bytes.length; at++) sum = contributions[(sum ^ bytes[at]) & 255] ^ sum >>> 8;
  return ~sum >>> 0;
}

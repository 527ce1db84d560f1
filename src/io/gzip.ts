/**
 * Compressed files: gzip, written and read by fflate.
 *
 * @module
 */

import { gunzipSync, gzipSync } from "fflate";
import type { Bytes } from "./bytes.ts";

/** Most bytes that one compressed byte can stand for. */
const highestRatio = 1032;

/** The bytes as a gzip file. The same bytes give the same file. */
export function gzip(bytes: Uint8Array): Bytes {
  return gzipSync(bytes, { level: 6, mtime: 0 }) as Bytes;
}

/** Whether bytes begin as a gzip file does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Content of a gzip file. Throws a `RangeError` that names `source` where it is damaged, or promises more than so many bytes can hold, which
 * would be allocated at once.
 */
export function gunzip(bytes: Uint8Array, { source }: { readonly source: string }): Bytes {
  const promised = bytes.length < 18 ? 0 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4, true);
  if (promised > highestRatio * bytes.length) {
    throw new RangeError(`Cannot read ${source}: ${bytes.length} compressed bytes cannot hold ${promised}`);
  }
  const out = new Uint8Array(promised);
  let content;
  try {
    content = gunzipSync(bytes, { out });
  } catch (cause) {
    throw new RangeError(`Cannot read ${source}: its compressed content is damaged (${(cause as Error).message})`, { cause });
  }
  if (content.length === promised && bytes.length >= 18) return content as Bytes;
  throw new RangeError(`Cannot read ${source}: its compressed content has ${content.length} bytes, wanted ${promised}`);
}

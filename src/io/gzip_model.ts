/**
 * Compressed model files, whose content is as long as its own header says: a small file cannot ask for more memory than it tells first.
 *
 * @module
 */

import { BeginningTooShort, type Bytes } from "./bytes.ts";
import { parseGgufHeader } from "./gguf_reader.ts";
import { gunzip } from "./gzip.ts";
import { parseSafetensorsHeader, safetensorsHeaderBytes } from "./safetensors.ts";

/** Bytes that a GGUF file may have behind its tensors. */
const ggufPadding = 1 << 16;

/** Content of a compressed safetensors or GGUF file. Throws an error that names `source` where its header does not explain its length. */
export function gunzipModel(bytes: Uint8Array, { source }: { readonly source: string }): Bytes {
  return gunzip(bytes, {
    source,
    check: (beginning, total) => {
      if (beginning.length < Math.min(9, total)) return false;
      return beginning[8] === "{".charCodeAt(0)
        ? checkSafetensors(beginning, total, source)
        : checkGguf(beginning, total, source);
    },
  });
}

/** Throws where the header is wrong for a file of that length; false where the beginning is not all of the header. */
function checkSafetensors(beginning: Uint8Array, total: number, source: string): boolean {
  const dataStart = 8 + safetensorsHeaderBytes(beginning.subarray(0, 8), total, source);
  if (beginning.length < dataStart) return false;
  parseSafetensorsHeader(beginning.subarray(8, dataStart), total - dataStart, source);
  return true;
}

function checkGguf(beginning: Uint8Array, total: number, source: string): boolean {
  try {
    const { spans } = parseGgufHeader(beginning, { source, fileBytes: total });
    const end = [...spans.values()].reduce((last, span) => Math.max(last, span.end), beginning.length);
    if (total <= end + ggufPadding) return true;
    throw new RangeError(`Cannot read ${source}: its content has ${total} bytes, its tensors end at ${end}`);
  } catch (error) {
    if (error instanceof BeginningTooShort && beginning.length < total) return false;
    throw error;
  }
}

/**
 * GGUF on disk, read one tensor at a time, so that a model may be larger than memory.
 *
 * @module
 */

import { BeginningTooShort } from "./bytes.ts";
import { needFiles, readAt } from "./files.ts";
import { type GgufEntry, type GgufFile, present } from "./gguf.ts";
import { type GgufHeader, parseGgufHeader } from "./gguf_reader.ts";
import { joinedFiles, splitOf, splitPaths } from "./gguf_split.ts";

/** Bytes of the beginning that are read first; the header of a small model fits. */
const firstBytes = 1 << 18;

/**
 * Opens a GGUF file; of a model in several files any of them, with the others beside it. Only as much is read as the header takes, and each
 * tensor when it is asked for. Throws an error that names the path, and the key or tensor at fault.
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, openGgufFile, pack } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 64 }, { seed: 1 });
 * const path = await Deno.makeTempFile();
 * await Deno.writeFile(path, await pack({ ...model, tokenizer: byteTokenizer, quantization: { quantizer: "ternary", groupSize: 64 } }));
 * using file = await openGgufFile(path);
 * console.log(file.tensors.get("blk.0.attn_q.weight")?.type); // Q2_0
 * await Deno.remove(path);
 * ```
 */
export async function openGgufFile(path: string): Promise<GgufFile> {
  const file = await openOne(path);
  const split = splitOf(file.metadata);
  if (split.count === 1) return file;
  file.close();
  const files: GgufFile[] = [];
  try {
    for (const part of splitPaths(path, split)) files.push(await openOne(part));
    return joinedFiles(files, `"${path}"`);
  } catch (error) {
    files.forEach((each) => each.close());
    throw error;
  }
}

async function openOne(path: string): Promise<GgufFile> {
  const source = `"${path}"`;
  needFiles(`Cannot open ${source}`);
  const file = await Deno.open(path).catch((cause) => {
    throw new Error(`Cannot open ${source}: ${(cause as Error).message}`, { cause });
  });
  try {
    const { size } = await file.stat();
    return fileOf(file, { header: readHeader(file, size, source), source });
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The header, from as many bytes as it turns out to need. */
function readHeader(file: Deno.FsFile, fileBytes: number, source: string): GgufHeader {
  for (let length = firstBytes;; length *= 4) {
    try {
      return parseGgufHeader(readAt(file, 0, Math.min(length, fileBytes)), { source, fileBytes });
    } catch (error) {
      if (!(error instanceof BeginningTooShort) || length >= fileBytes) throw error;
    }
  }
}

function fileOf(file: Deno.FsFile, { header, source }: { readonly header: GgufHeader; readonly source: string }): GgufFile {
  const { metadata, spans } = header;
  const entries = [...spans].map(([name, { type, shape, begin, end }]): [string, GgufEntry] => {
    return [name, { type, shape, byteLength: end - begin }];
  });
  const close = () => file.close();
  // deno-lint-ignore require-await -- errors reject
  const readBytes = async (name: string, start: number, length: number) => {
    const bytes = readAt(file, present(spans.get(name), name).begin + start, length);
    if (bytes.length === length) return bytes;
    throw new RangeError(
      `Cannot read tensor "${name}" of ${source}: wanted ${start + length} bytes, the file now ends after ${
        start + bytes.length
      }`,
    );
  };
  return {
    metadata,
    tensors: new Map(entries),
    async read(name) {
      const { type, shape, begin, end } = present(spans.get(name), name);
      return { type, shape, bytes: await readBytes(name, 0, end - begin) };
    },
    readBytes,
    close,
    [Symbol.dispose]: close,
  };
}

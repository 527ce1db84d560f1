/**
 * Writing a file all at once or not at all.
 *
 * @module
 */

import { needFiles, reasonOf, syncFolder } from "./files.ts";

/** What a file can be written from: text, bytes, or chunks of bytes made one at a time. */
export type FileContent = string | Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes `content` to a temporary file in the folder of `path`, then renames it into place: a reader sees the old file or the new
 * one, never half of one, and after it the file outlives a loss of power. On any failure the temporary file is removed, an older file stays as it was, and an `Error` names the
 * path and the reason (its `cause` is the original error). A `RangeError` of the content itself is thrown as it is.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  needFiles(`Cannot write "${path}"`);
  const temporary = `${path}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeChunks(temporary, chunksOf(content));
    await Deno.rename(temporary, path);
    await syncFolder(path.replace(/[^/\\]*$/, "") || ".");
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {}); // it may never have been made
    if (cause instanceof RangeError) throw cause;
    throw new Error(`Cannot write "${path}": ${writingReasonOf(cause)}`, { cause });
  }
}

function chunksOf(content: FileContent): Iterable<Uint8Array> | AsyncIterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}

async function writeChunks(path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  const file = await Deno.open(path, { write: true, createNew: true });
  try {
    for await (const chunk of chunks) {
      for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
    }
    await file.sync();
  } finally {
    file.close();
  }
}

function writingReasonOf(cause: unknown): string {
  if (cause instanceof Deno.errors.NotFound) return "its folder does not exist";
  if (cause instanceof Deno.errors.NotADirectory) return "its folder is a file";
  if (cause instanceof Deno.errors.IsADirectory) return "a folder of that name exists";
  if (cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable) {
    return "its folder is not writable";
  }
  return reasonOf(cause);
}

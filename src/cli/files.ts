/**
 * Files a command reads and folders it writes, with an error in one line where that cannot be done.
 *
 * @module
 */

import { decodeUtf8, EncodingError } from "../io/encoding.ts";
import { reasonOf as fileReason } from "../io/files.ts";
import { UsageError } from "./errors.ts";

/**
 * Content of a text file in UTF-8; a byte-order mark is dropped.
 *
 * @param path The file.
 * @param what What the file is for, as the message calls it: "configuration".
 * @throws {UsageError} Where it cannot be read, or is not UTF-8: the message names the encoding that it looks like.
 */
export async function readText(path: string, what: string): Promise<string> {
  try {
    return decodeUtf8(await Deno.readFile(path), { source: path });
  } catch (error) {
    throw new UsageError(`cannot read the ${what} ${path}: ${reasonOf(error)}`);
  }
}

/**
 * Make a folder, and those above it, unless it is there, and prove that files can be written to it: before any work is spent.
 *
 * @throws {UsageError} Where that cannot be done; nothing is left behind in the folder.
 */
export async function makeWritableFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
    await Deno.remove(await Deno.makeTempFile({ dir: path, prefix: ".probe-" }));
  } catch (error) {
    throw new UsageError(`cannot write to the folder ${path}: ${reasonOf(error)}`);
  }
}

/**
 * Check that a folder which a command is to write is new, or empty: nobody's files are written over.
 *
 * @throws {UsageError} Where something lies there.
 */
export async function checkNewFolder(path: string): Promise<void> {
  const names = await Array.fromAsync(Deno.readDir(path), ({ name }) => name).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return [];
    throw new UsageError(`cannot write to the folder ${path}: ${reasonOf(error)}`);
  });
  if (names.length > 0) {
    throw new UsageError(`cannot write to the folder ${path}: it holds files, such as "${names[0]}"; wanted a new one`);
  }
}

/** The reason of a failed file operation in a few words; of text in another encoding, that. */
export function reasonOf(error: unknown): string {
  return error instanceof EncodingError ? error.reason : fileReason(error);
}

/** The last part of a path: the name of a file or folder. */
export function nameOf(path: string): string {
  return path.replace(/[/\\]+$/, "").replace(/^.*[/\\]/, "");
}

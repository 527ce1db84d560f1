/**
 * Files and folders, with errors that name the path.
 *
 * @module
 */

import type { Bytes } from "./bytes.ts";
import { decodeUtf8 } from "./encoding.ts";
import { type JsonObject, parseJsonObject } from "./json.ts";

/** Throws where the platform has no files, as in a browser; `action` is what was to be done. */
export function needFiles(action: string): void {
  if (typeof Deno !== "undefined") return;
  throw new Error(`${action}: this platform has no files, only Deno has; functions that take or give bytes run here too`);
}

/** Content of a file that holds one JSON object. Throws an error that names the path when it cannot be read or is none. */
export async function readJsonFile(path: string): Promise<JsonObject> {
  needFiles(`Cannot read "${path}"`);
  const bytes = await Deno.readFile(path).catch((cause) => {
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  });
  return parseJsonObject(decodeUtf8(bytes, { source: `"${path}"` }), `Cannot read "${path}"`);
}

/** Content of a file; undefined where there is none. Throws an error that names the path when it cannot be read. */
export async function readFileIfThere(path: string): Promise<Bytes | undefined> {
  needFiles(`Cannot read "${path}"`);
  return await Deno.readFile(path).catch((cause) => {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  });
}

/**
 * Reads `length` bytes at `position`; fewer only when the file ends. Synchronous, so that nothing moves the file between seek
 * and read.
 */
export function readAt(file: Deno.FsFile, position: number, length: number): Bytes {
  const bytes = new Uint8Array(length);
  file.seekSync(position, Deno.SeekMode.Start);
  let filled = 0;
  while (filled < length) {
    const count = file.readSync(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/**
 * Reads `length` bytes of a file at `position`, without leaving it open. Throws an error that names the path where it cannot be read or
 * has fewer.
 */
export async function readFileAt(path: string, position: number, length: number): Promise<Bytes> {
  needFiles(`Cannot read "${path}"`);
  const file = await Deno.open(path).catch((cause) => {
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  });
  try {
    await file.seek(position, Deno.SeekMode.Start);
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      const count = await file.read(bytes.subarray(filled));
      if (count === null) {
        throw new Error(`Cannot read "${path}": it ends at byte ${position + filled}, wanted ${position + length}`);
      }
      filled += count;
    }
    return bytes;
  } finally {
    file.close();
  }
}

/** Whether there is a folder at a path: false for a file, undefined where there is nothing. Throws where nobody may look. */
export async function isFolder(path: string): Promise<boolean | undefined> {
  needFiles(`Cannot read "${path}"`);
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return undefined;
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  }
}

/** Size of a file. Throws an error that names the path where it cannot be read. */
export async function byteLengthOf(path: string): Promise<number> {
  needFiles(`Cannot read "${path}"`);
  return (await Deno.stat(path).catch((cause) => {
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  })).size;
}

/** Makes a folder, and those above it, unless it is there; it outlives a loss of power. Throws an error that names the path. */
export async function makeFolder(path: string): Promise<void> {
  needFiles(`Cannot make the folder "${path}"`);
  try {
    const missing = await missingFolders(path);
    await Deno.mkdir(path, { recursive: true });
    for (const each of missing) await syncFolder(parentOf(each));
  } catch (cause) {
    throw new Error(`Cannot make the folder "${path}": ${reasonOf(cause)}`, { cause });
  }
}

/** A folder and those above it that are not there. */
async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path.replace(/[/\\]+$/, ""); at !== "" && await isFolder(at) === undefined; at = parentOf(at)) {
    missing.push(at);
    if (parentOf(at) === at) break;
  }
  return missing;
}

const parentOf = (path: string): string => path.replace(/[/\\]*[^/\\]*$/, "") || (/^[/\\]/.test(path) ? "/" : ".");

/** Makes sure that what was made or renamed in a folder stays so when the power fails, where the system can do that. */
export async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return; // folders cannot be opened there
  try {
    const folder = await Deno.open(path);
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    const { code } = error as { readonly code?: string };
    if (!["EACCES", "EINVAL", "ENOTSUP", "EBADF"].includes(code ?? "")) throw error; // may be written but not read, or is no disk
  }
}

/** The reason of a failed file operation in a few words. */
export function reasonOf(cause: unknown): string {
  const code = (cause as { code?: string } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") return "the disk is full";
  if (code === "EROFS") return "the file system is read-only";
  if (cause instanceof Deno.errors.NotFound) return "no such file or folder";
  if (cause instanceof Deno.errors.IsADirectory) return "it is a folder";
  if (cause instanceof Deno.errors.NotADirectory || cause instanceof Deno.errors.AlreadyExists) return "a file is in the way";
  if (cause instanceof Deno.errors.PermissionDenied) return "permission denied";
  return cause instanceof Error ? cause.message : String(cause);
}

/**
 * Telling files from one another without reading them whole.
 *
 * @module
 */

import { needFiles, readAt } from "./files.ts";

/** Pieces of a file that are looked at, and their length. */
const [pieces, pieceBytes] = [64, 4096];

/**
 * A digest of a file, or of the files of a folder: their names, lengths, and pieces spread over each. Weights that were trained on, or files
 * that were edited and have another length, give another one; a changed byte in a large file may go unseen.
 *
 * @throws Deno.errors where a file cannot be read
 */
export async function sampledDigest(path: string): Promise<string> {
  needFiles(`Cannot read "${path}"`);
  const isFolder = (await Deno.stat(path)).isDirectory;
  const names = isFolder
    ? (await Array.fromAsync(Deno.readDir(path), async ({ name }) => (await Deno.stat(`${path}/${name}`)).isFile ? name : []))
      .flat()
    : [];
  const parts: BlobPart[] = [];
  for (const name of isFolder ? names.sort() : [""]) {
    const file = await Deno.open(name === "" ? path : `${path}/${name}`);
    try {
      const { size } = await file.stat();
      parts.push(`${name}\0${size}\0`);
      const step = Math.max(pieceBytes, (size - pieceBytes) / (pieces - 1));
      for (let at = 0; at < size; at += step) parts.push(readAt(file, Math.floor(at), pieceBytes));
    } finally {
      file.close();
    }
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer())).toHex();
}

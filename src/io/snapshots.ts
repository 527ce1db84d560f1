/**
 * Snapshots of a long piece of work: one folder each, whole or not there, with checksums. Older ones go only when the newer is safe.
 *
 * @module
 */

import { type FileContent, writeFileAtomic } from "./atomic.ts";
import { byteStream } from "./byte_stream.ts";
import { makeFolder, readJsonFile, syncFolder } from "./files.ts";
import { sha256 } from "./fingerprint.ts";
import { isJsonObject, type JsonObject } from "./json.ts";

/** What a snapshot says of itself, besides its files. */
export interface Snapshot {
  /** Where its files lie. */
  readonly folder: string;
  /** The number it was written under. */
  readonly number: number;
  /** What was written with it. */
  readonly info: JsonObject;
}

/** The newest snapshot that is whole. */
export interface NewestSnapshot extends Partial<Snapshot> {
  /** Newer ones that are not, in words: "step-00000012: state.safetensors has other bytes than were written". */
  readonly damaged: readonly string[];
}

/** The file of each folder that is written last, before the folder gets its name. */
const indexName = "checkpoint.json";
/** Beginnings of the names of folders that are under way; what lies there after a fault is nobody's. */
const [writing, removing] = [".writing-", ".removing-"];

const nameOf = (number: number) => `step-${String(number).padStart(8, "0")}`;

/**
 * Writes a snapshot: its files, then an index with their checksums, each synced, then the folder gets its name. Then all but the newest
 * `keep` are removed. One that has the same number is replaced.
 *
 * @throws Error that names the file which cannot be written; earlier snapshots are then as they were
 */
export async function writeSnapshot(
  folder: string,
  number: number,
  { files, info, keep }: {
    readonly files: Readonly<Record<string, FileContent>>;
    readonly info: Readonly<Record<string, unknown>>;
    readonly keep: number;
  },
): Promise<void> {
  await makeFolder(folder);
  const target = `${folder}/${nameOf(number)}`;
  const own = `${folder}/${writing}${crypto.randomUUID().slice(0, 8)}`;
  try {
    await makeFolder(own);
    const sums: Record<string, JsonObject> = {};
    for (const [name, content] of Object.entries(files)) {
      await writeFileAtomic(`${own}/${name}`, content);
      sums[name] = { ...await checksum(`${own}/${name}`) };
    }
    await writeFileAtomic(`${own}/${indexName}`, JSON.stringify({ ...info, files: sums }, null, 2) + "\n");
    await discard(target);
    await Deno.rename(own, target);
    await syncFolder(folder);
  } catch (cause) {
    await Deno.remove(own, { recursive: true }).catch(() => {}); // it may never have been made
    throw cause instanceof Error && cause.message.startsWith("Cannot ")
      ? cause
      : new Error(`Cannot write "${target}": ${(cause as Error).message}`, { cause });
  }
  const older = (await numbersIn(folder)).filter((each) => each < number);
  for (const each of older.slice(0, Math.max(0, older.length - keep + 1))) await discard(`${folder}/${nameOf(each)}`);
}

/** The newest snapshot of a folder whose files are what was written. Its fields are absent where there is none. What a fault left goes. */
export async function newestSnapshot(folder: string): Promise<NewestSnapshot> {
  const damaged: string[] = [];
  for (const number of (await numbersIn(folder)).reverse()) {
    const path = `${folder}/${nameOf(number)}`;
    const found = await verified(path);
    if (typeof found !== "string") return { folder: path, number, info: found, damaged };
    damaged.push(`${nameOf(number)}: ${found}`);
  }
  return { damaged };
}

/** What a snapshot says of itself, or what is wrong with it. */
async function verified(path: string): Promise<JsonObject | string> {
  try {
    const { files, ...info } = await readJsonFile(`${path}/${indexName}`);
    if (!isJsonObject(files)) return `${indexName} names no files`;
    for (const [name, wanted] of Object.entries(files)) {
      const { bytes, sha256 } = await checksum(`${path}/${name}`);
      const { bytes: wantedBytes, sha256: wantedSum } = wanted as JsonObject;
      if (bytes !== wantedBytes) return `${name} has ${bytes} bytes, wanted ${wantedBytes}`;
      if (sha256 !== wantedSum) return `${name} has other bytes than were written`;
    }
    return info;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Numbers of the snapshots of a folder, in order. */
async function numbersIn(folder: string): Promise<number[]> {
  const numbers: number[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      if (name.startsWith(writing) || name.startsWith(removing)) {
        await Deno.remove(`${folder}/${name}`, { recursive: true }).catch(() => {}); // another time
      } else if (/^step-\d{8,}$/.test(name)) numbers.push(Number(name.slice(5)));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return numbers.sort((a, b) => a - b);
}

/** Removes a snapshot; one that is removed by half is never taken for one. */
async function discard(path: string): Promise<void> {
  const gone = path.replace(/[^/\\]*$/, `${removing}${crypto.randomUUID().slice(0, 8)}`);
  try {
    await Deno.rename(path, gone);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  await Deno.remove(gone, { recursive: true }).catch(() => {}); // the next one tries again
}

/** Length and SHA-256 of a file. */
export async function checksum(path: string): Promise<{ readonly bytes: number; readonly sha256: string }> {
  let bytes = 0;
  const hash = await sha256(byteStream(path, { onRead: (count) => bytes += count }));
  return { bytes, sha256: hash };
}

/**
 * What a file holds, by a hash, remembered while size and times of the file stay as they are.
 *
 * @module
 */

import { writeFileAtomic } from "./atomic.ts";
import { byteStream } from "./byte_stream.ts";
import { makeFolder, needFiles, reasonOf } from "./files.ts";

/** The folder in which this user's programs keep what they can make again. Throws where the environment names none. */
export function userCacheFolder(): string {
  needFiles("Cannot find the cache folder");
  const { env, build: { os } } = Deno;
  const home = env.get("HOME");
  const usual = home && (os === "darwin" ? `${home}/Library/Caches` : `${home}/.cache`);
  const folder = os === "windows" ? env.get("LOCALAPPDATA") : env.get("XDG_CACHE_HOME") || usual;
  if (folder) return `${folder}/hestia`;
  throw new Error("Cannot find the cache folder: wanted the environment variable XDG_CACHE_HOME or HOME");
}

/** SHA-256 of some bytes or texts, one behind the other, in hexadecimal digits. */
export async function sha256(parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array | string>): Promise<string> {
  const { createHash } = await import("node:crypto"); // that of the web takes no streams
  const hash = createHash("sha256");
  for await (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/** A file, and the hash of its content. */
export interface Fingerprint {
  readonly path: string;
  readonly bytes: number;
  readonly hash: string;
}

/** A file that changed so recently that its times say nothing about the next change. */
const freshMilliseconds = 2000;

/** Remembers hashes in a file, whose loss only costs time. */
export class Fingerprints {
  readonly #file: string;
  readonly #known: Map<string, string>;
  #changed = false;

  private constructor(file: string, known: Map<string, string>) {
    this.#file = file;
    this.#known = known;
  }

  /** @param folder where hashes are remembered; it is made where it is missing */
  static async open(folder: string): Promise<Fingerprints> {
    const file = `${folder}/files.json`;
    await makeFolder(folder);
    const text = await Deno.readTextFile(file).catch(() => "{}");
    try {
      return new Fingerprints(file, new Map(Object.entries<string>(JSON.parse(text))));
    } catch {
      return new Fingerprints(file, new Map()); // it was not ours, or damaged: it is written anew
    }
  }

  /** Size and hash of a file. Throws an error that names the path where it cannot be read. */
  async of(path: string, onRead?: (bytes: number) => void): Promise<Fingerprint> {
    const { state, bytes, fresh } = await stateOf(path);
    const absolute = /^([/\\]|[A-Za-z]:)/.test(path) ? path : `${Deno.cwd()}/${path}`;
    const [seen, known] = this.#known.get(absolute)?.split(" ") ?? [];
    if (seen === state) {
      onRead?.(bytes);
      return { path, bytes, hash: known };
    }
    const hash = await sha256(byteStream(path, { onRead }));
    if (!fresh) {
      this.#known.set(absolute, `${state} ${hash}`);
      this.#changed = true;
    }
    return { path, bytes, hash };
  }

  /** Writes down what was found out. */
  async save(): Promise<void> {
    if (!this.#changed) return;
    await writeFileAtomic(this.#file, JSON.stringify(Object.fromEntries(this.#known)));
    this.#changed = false;
  }
}

async function stateOf(path: string) {
  try {
    const { size, mtime, ctime, ino } = await Deno.stat(path);
    const times = [mtime, ctime].map((time) => time?.getTime() ?? 0);
    const fresh = Math.max(...times) > Date.now() - freshMilliseconds;
    return { state: [size, ...times, ino ?? 0].join(":"), bytes: size, fresh };
  } catch (cause) {
    throw new Error(`Cannot read "${path}": ${reasonOf(cause)}`, { cause });
  }
}

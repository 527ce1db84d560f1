/**
 * One file from the Hub: fetched in as many pieces as connections break into, and checked before it counts.
 *
 * @module
 */

import { createHash, type Hash } from "node:crypto";
import type { HubFile } from "./listing.ts";
import { HubError, OUT_OF_RANGE, patientFetch, reasonOf, type Requests, sleep, TRIES } from "./patient_fetch.ts";

/** How a file is fetched. */
export interface DownloadOptions extends Requests {
  /** Where it is on the Hub. */
  readonly url: string;
  /** Called with the bytes that arrived since the last call; negative where some must be fetched again. */
  readonly onBytes?: (bytes: number) => void;
}

/** A connection on which nothing arrives for so long is given up, and another one goes on. */
const STALLED_MS = 60_000;

/**
 * Fetches a file to `target`. Until it is whole and its hash is right, its bytes are in `target` and ".incomplete", where a later call goes
 * on. A file with another hash is removed and fetched once more.
 *
 * @throws {HubError} Where it cannot be had, or is wrong twice.
 */
export async function download(file: HubFile, target: string, options: DownloadOptions): Promise<void> {
  const partial = `${target}.incomplete`;
  let wrong = "";
  for (let attempt = 1; attempt <= 2; attempt++) {
    const found = await fetched(file, partial, options);
    if (found === file.hash.hex) return await Deno.rename(partial, target);
    options.onBytes?.(-(await Deno.stat(partial)).size);
    await Deno.remove(partial);
    wrong = found === undefined ? `its length was not ${file.bytes} bytes` : `its hash was not ${file.hash.hex}`;
  }
  throw new HubError(`${file.path} arrives damaged: twice ${wrong}; what arrived is removed`);
}

/** Fetches what is missing of a file. @returns The hash of all of it; undefined where it is shorter or longer than the Hub said. */
async function fetched({ path, bytes, hash }: HubFile, partial: string, options: DownloadOptions): Promise<string | undefined> {
  using out = await Deno.open(partial, { read: true, write: true, create: true });
  let digest = newDigest(hash.kind, bytes);
  let done = await digestFile(out, digest, bytes);
  options.onBytes?.(done);
  const restart = (): void => {
    out.truncateSync(0);
    options.onBytes?.(-done);
    [digest, done] = [newDigest(hash.kind, bytes), 0];
  };
  for (let failures = 0; done < bytes;) {
    const before = done;
    try {
      const range: HeadersInit = done === 0 ? {} : { range: `bytes=${done}-` };
      const answer = await patientFetch(options.url, { headers: { "accept-encoding": "identity", ...range } }, options);
      if (answer.status === OUT_OF_RANGE) return undefined;
      if (done > 0 && !goesOn(answer, done)) restart();
      for await (const chunk of chunksOf(answer, options.signal)) {
        if (done + chunk.length > bytes) return undefined;
        writeAt(out, done, chunk);
        digest.update(chunk);
        done += chunk.length;
        options.onBytes?.(chunk.length);
      }
      if (done < bytes) throw new Error(`it ended after ${done} of ${bytes} bytes`);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (error instanceof HubError || isFileError(error)) throw error;
      failures = done > before ? 1 : failures + 1;
      if (failures === TRIES) {
        throw new HubError(`the connection for ${path} breaks again and again: ${reasonOf(error as Error)}`);
      }
      await sleep(options.pauseMs * 2 ** (failures - 1), options.signal);
    }
  }
  out.syncSync();
  return digest.digest("hex");
}

/** Whether an answer goes on at a position; a server may send everything instead. */
function goesOn(answer: Response, position: number): boolean {
  return answer.status === 206 && (answer.headers.get("content-range") ?? "").startsWith(`bytes ${position}-`);
}

const isFileError = (error: unknown): boolean =>
  error instanceof Error && /^(ENOSPC|EDQUOT|EIO|EFBIG|EROFS)$/.test((error as { code?: string }).code ?? "");

/** The hash by which git, or its storage of large files, knows content. */
function newDigest(kind: HubFile["hash"]["kind"], bytes: number): Hash {
  return kind === "sha256" ? createHash("sha256") : createHash("sha1").update(`blob ${bytes}\0`);
}

/** Takes what an earlier call left into the hash. @returns Its bytes; 0, and an empty file, where they are too many. */
async function digestFile(file: Deno.FsFile, digest: Hash, most: number): Promise<number> {
  const { size } = await file.stat();
  if (size > most) {
    await file.truncate(0);
    return 0;
  }
  const piece = new Uint8Array(2 ** 20);
  for (let count: number | null; (count = await file.read(piece)) !== null;) digest.update(piece.subarray(0, count));
  return size;
}

function writeAt(file: Deno.FsFile, position: number, bytes: Uint8Array): void {
  file.seekSync(position, Deno.SeekMode.Start);
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(file.writeSync(rest));
}

/** The body of an answer. Throws where it stalls. */
async function* chunksOf(answer: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = answer.body!.getReader();
  try {
    for (;;) {
      signal?.throwIfAborted();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const stalled = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`nothing arrived for ${STALLED_MS / 1000} s`)), STALLED_MS);
      });
      const { done, value } = await Promise.race([reader.read(), stalled]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {}); // it may be broken already
  }
}

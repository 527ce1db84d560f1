/**
 * What is fetched from the Hub for a command, with its progress.
 *
 * @module
 */

import type { DataSpec } from "../data/source.ts";
import { type HubOptions, type HubProgress, resolveDataset, resolveModel } from "../hub/resolve.ts";
import { reportedProgress } from "./progress.ts";

/** Models that this process has asked for, so that each is asked for once. */
const models = new Map<string, Promise<string>>();

/**
 * The path of a model: the given one where something lies there, otherwise the folder in the cache of the model of that name on the Hub.
 *
 * @throws {Error} Where there is neither ("Cannot …").
 */
export function localModel(path: string): Promise<string> {
  const asked = models.get(path) ?? fetching(path, (options) => resolveModel(path, options));
  models.set(path, asked);
  return asked;
}

/**
 * Sources of text on this machine: those of the Hub (`dataset:owner/name`) become the files in the cache, others stay.
 *
 * @throws {Error} Where there is no such data set ("Cannot …").
 */
export async function localSources(specs: readonly DataSpec[]): Promise<DataSpec[]> {
  const local: DataSpec[] = [];
  for (const spec of specs) {
    local.push(spec.path.startsWith("dataset:") ? { ...spec, path: await localPattern(spec.path) } : spec);
  }
  return local;
}

/** Fetches the files of a data set. @returns A pattern that names them and no others. */
async function localPattern(spec: string): Promise<string> {
  const files = await fetching(spec, (options) => resolveDataset(spec, options));
  const folder = files[0].replace(/(\/snapshots\/[0-9a-f]{40}\/).*$/, "$1");
  const names = files.map((file) => file.slice(folder.length));
  return names.length === 1 ? folder + names[0] : `${folder}{${names.join(",")}}`;
}

/** Does `work` with a display of the bytes that arrive. Ctrl-C ends it at once; what arrived is kept. */
async function fetching<T>(what: string, work: (options: HubOptions) => Promise<T>): Promise<T> {
  const interruption = new AbortController();
  const stop = () => interruption.abort(new DOMException("Interrupted", "AbortError"));
  using shown = reportedProgress({ title: `fetching ${what}`, unit: "bytes", afterSeconds: 0 });
  const onProgress = ({ bytes, of, files }: HubProgress): void =>
    shown.update(bytes, of, files === 1 ? "1 file" : `${files} files`);
  Deno.addSignalListener("SIGINT", stop);
  try {
    return await work({ onProgress, onMessage: console.error, signal: interruption.signal });
  } catch (error) {
    if (interruption.signal.aborted) console.error("What arrived is kept: the same command goes on from there.");
    throw error;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
  }
}

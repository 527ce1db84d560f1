/**
 * Finished results on disk, each with the settings that it was made with, so that an experiment that was ended goes on where it was.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { makeFolder, readJsonFile } from "../io/files.ts";

/** A folder of results. */
export interface Store {
  readonly folder: string;
  /**
   * The stored result of a name, such as "seed-1/ste", where it was made with the same settings; otherwise what `make` gives, stored.
   * Nothing is stored where `make` throws.
   */
  result<T>(name: string, settings: unknown, make: () => Promise<T>): Promise<T>;
  /** Whether `result` would find one. */
  has(name: string, settings: unknown): Promise<boolean>;
}

/** Settings of {@linkcode openStore}. */
export interface StoreOptions {
  /** Every result is made again, once. */
  readonly fresh?: boolean;
  /** Told of every result that is there already. */
  readonly onKept?: (name: string) => void;
}

/** Opens a folder. */
export function openStore(folder: string, { fresh = false, onKept }: StoreOptions = {}): Store {
  const made = new Set<string>();
  const find = async (name: string, settings: unknown): Promise<{ result: unknown } | undefined> => {
    if (fresh && !made.has(name)) return undefined;
    const stored = await readJsonFile(`${folder}/${name}.json`).catch(() => undefined); // missing, or not ours: made again
    return stored && JSON.stringify(stored.settings) === canonical(settings) ? { result: stored.result } : undefined;
  };
  return {
    folder,
    has: async (name, settings) => await find(name, settings) !== undefined,
    async result<T>(name: string, settings: unknown, make: () => Promise<T>): Promise<T> {
      const found = await find(name, settings);
      if (found) {
        onKept?.(name);
        return found.result as T;
      }
      const result = await make();
      const path = `${folder}/${name}.json`;
      await makeFolder(path.slice(0, path.lastIndexOf("/")));
      await writeFileAtomic(path, JSON.stringify({ settings, result }) + "\n");
      made.add(name);
      return result;
    },
  };
}

/** As it is after having been written and read, where undefined fields are gone. */
const canonical = (settings: unknown): string => JSON.stringify(JSON.parse(JSON.stringify(settings)));

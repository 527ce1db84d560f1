/**
 * Locks that end with the process that holds them, and folders that make room for others.
 *
 * @module
 */

import { needFiles } from "./files.ts";

/** A lock that is held; `using` gives it back. */
export interface Lock extends Disposable {
  /** Whether the file at the path is still the one that was locked: somebody may have moved it, or its folder. */
  isInPlace(): Promise<boolean>;
}

/**
 * Locks the file at a path, which is made where it is missing and stays when the lock is given back. The lock is the operating system's: it
 * ends with the process, however that ends. Undefined where somebody else holds it.
 *
 * @throws Deno.errors where the file cannot be made or opened
 */
export async function lockFile(path: string): Promise<Lock | undefined> {
  needFiles(`Cannot lock "${path}"`);
  const file = await Deno.open(path, { create: true, read: true, write: true });
  try {
    if (await file.tryLock(true)) return heldLock(path, file);
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

function heldLock(path: string, file: Deno.FsFile): Lock {
  return {
    async isInPlace() {
      const [now, own] = [await Deno.stat(path).catch(() => undefined), await file.stat()];
      return now !== undefined && now.dev === own.dev && now.ino === own.ino;
    },
    [Symbol.dispose]: () => file.close(),
  };
}

/**
 * Renames a file or folder to the first free of `PATH.1`, `PATH.2`, …
 *
 * @returns where it lies now
 * @throws Deno.errors where it cannot be renamed; it is then where it was
 */
export async function moveAside(path: string): Promise<string> {
  needFiles(`Cannot move "${path}" aside`);
  for (let number = 1;; number++) {
    const free = `${path}.${number}`;
    if (await isThere(free)) continue;
    await Deno.rename(path, free);
    return free;
  }
}

/** Whether there is anything at a path, a link to nowhere included. */
export async function isThere(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });
}

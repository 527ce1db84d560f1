/**
 * The folder of a run: recognised by its manifest, locked while the run lasts, and written only in new places. Nothing that lies there is
 * ever deleted: an earlier run is moved aside, and a folder that holds something else is refused.
 *
 * @module
 */

import { VERSION } from "../core/version.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJsonFile } from "../io/files.ts";
import { type Lock, lockFile, moveAside } from "../io/lock.ts";
import type { RunConfig } from "./config.ts";
import { UsageError } from "./errors.ts";
import { reasonOf } from "./files.ts";

/** Name of the manifest, by which a folder is known to be a run's. */
const manifestName = "run.json";
const lockName = "run.lock";

/** What `run.json` begins with. */
const format = "hestia run";
const formatVersion = 1;

/** What a run knows of itself. */
export interface Manifest {
  readonly format: typeof format;
  readonly formatVersion: number;
  /** Version of the library that began it. */
  readonly hestia: string;
  /** When it began: a date in ISO 8601. */
  readonly started: string;
  readonly state: "unfinished" | "finished";
  /** The resolved configuration. */
  readonly config: RunConfig;
}

/** The folder of the run at hand. `using` gives the lock back. */
export interface RunFolder extends Disposable {
  readonly path: string;
  /** Where the earlier run is now that lay there, if one did. */
  readonly movedTo?: string;
  readonly manifest: Manifest;
  /** Writes the manifest again with these fields. */
  update(fields: Partial<Pick<Manifest, "state">>): Promise<void>;
}

/**
 * Refuses a folder that no run may be written to, before any work. Nothing is made or changed.
 *
 * @throws {UsageError} Where it is a file, or holds something else than a run.
 */
export async function checkRunFolder(folder: string): Promise<void> {
  await refusingFolder(folder, () => contentOf(folder));
}

/**
 * Makes the folder of a run, locks it, and writes manifest and configuration. An earlier run is moved to the first free of `FOLDER.1`,
 * `FOLDER.2`, …, whole, with all that lies in it.
 *
 * @throws {UsageError} Where it cannot be written, holds something else than a run, or a run is using it.
 */
export async function openRunFolder(folder: string, config: RunConfig): Promise<RunFolder> {
  return await refusingFolder(folder, async () => {
    await contentOf(folder);
    await Deno.mkdir(folder, { recursive: true });
    const path = (await Deno.realPath(folder)).replaceAll("\\", "/"); // of links, the target is moved
    const found = await lockFolder(path);
    if (await contentOf(path) === "nothing") return await begin(path, { config, lock: found });
    using _ = found; // it goes with the earlier run
    const movedTo = await moveAside(path);
    await Deno.mkdir(path).catch((error) => {
      throw error instanceof Deno.errors.AlreadyExists ? inUse(folder) : error;
    });
    return { ...await begin(path, { config, lock: await lockFolder(path) }), movedTo };
  });
}

async function lockFolder(path: string): Promise<Lock> {
  const lock = await lockFile(`${path}/${lockName}`);
  if (lock && await lock.isInPlace()) return lock;
  lock?.[Symbol.dispose]();
  throw inUse(path);
}

const inUse = (folder: string) =>
  new UsageError(
    `cannot write a run to ${folder}: another run is using it; wanted another --output, or wait until that one ends`,
  );

async function begin(path: string, { config, lock }: { readonly config: RunConfig; readonly lock: Lock }): Promise<RunFolder> {
  let manifest: Manifest = {
    ...{ format, formatVersion, hestia: VERSION },
    started: new Date().toISOString(),
    state: "unfinished",
    config,
  };
  const update: RunFolder["update"] = async (fields) => {
    manifest = { ...manifest, ...fields };
    await writeJson(`${path}/${manifestName}`, manifest);
  };
  try {
    await update({});
    await writeJson(`${path}/config.json`, config);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return {
    path,
    get manifest() {
      return manifest;
    },
    update,
    [Symbol.dispose]: () => lock[Symbol.dispose](),
  };
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, JSON.stringify(value, null, 2) + "\n");
}

/**
 * What a folder holds: a run, or nothing but what a run leaves that ended before it had a manifest. Throws where it is something else.
 */
async function contentOf(folder: string): Promise<"nothing" | "run"> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "nothing";
    throw error;
  }
  if (names.includes(manifestName) && isManifest(await readJsonFile(`${folder}/${manifestName}`).catch(() => undefined))) {
    return "run";
  }
  const foreign = names.find((name) => name !== lockName && !(name.startsWith(`${manifestName}.`) && name.endsWith(".tmp")));
  if (foreign === undefined) return "nothing";
  throw new UsageError(
    `cannot write a run to ${folder}: it holds other files, such as "${foreign}"; wanted a new folder, or one of an earlier run`,
  );
}

function isManifest(value: unknown): value is Manifest {
  const { format: found, formatVersion: version } = (value ?? {}) as Partial<Manifest>;
  return found === format && typeof version === "number";
}

async function refusingFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof Error)) throw error;
    throw new UsageError(`cannot write to the folder ${folder}: ${reasonOf(error).replace(/^Cannot write ".*?": /, "")}`);
  }
}

/**
 * The folder of a run: recognised by its manifest, locked while the run lasts, and written only in new places. Nothing that lies there is
 * ever deleted: an earlier run is moved aside, and a folder that holds something else is refused.
 *
 * @module
 */

import { VERSION } from "../core/version.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJsonFile, syncFolder } from "../io/files.ts";
import { type Lock, lockFile, moveAside } from "../io/lock.ts";
import type { RunConfig } from "./config.ts";
import { UsageError } from "./errors.ts";
import type { HeldOut } from "./summary.ts";
import { reasonOf } from "./files.ts";

/** Name of the manifest, by which a folder is known to be a run's. */
export const manifestName = "run.json";
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
  /** Digests of what the run reads, by the field that names it: "model.path", "data". */
  readonly inputs: Readonly<Record<string, string>>;
  /** Wall time by phase. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Losses of the model in full precision and of its rounding, once they are known. */
  readonly heldOut?: Readonly<Record<"fullPrecision" | "rounded", HeldOut>>;
  /** Most device memory that a step of each phase takes, in bytes. */
  readonly memoryBytes?: Readonly<Record<string, number>>;
  /** SHA-256 of `calibration.json`, once it is there. */
  readonly calibration?: string;
  /** Each time that the run went on: when, with which version, and which fields of the configuration were changed. */
  readonly resumed?: readonly { readonly at: string; readonly hestia: string; readonly changed: readonly string[] }[];
}

/** What a run is. */
export interface RunDescription extends Pick<Manifest, "config" | "inputs"> {
  /** Move an unfinished run aside too. */
  readonly fresh?: boolean;
}

/** The folder of the run at hand. `using` gives the lock back. */
export interface RunFolder extends Disposable {
  /** As the user called it. */
  readonly name: string;
  /** Where it is. */
  readonly path: string;
  /** Where the earlier run is now that lay there, if one was moved. */
  readonly movedTo?: string;
  /** Whether the run began earlier, and goes on. */
  readonly goesOn: boolean;
  readonly manifest: Manifest;
  /** Writes the manifest again with these fields. */
  update(fields: Partial<Pick<Manifest, "state" | "seconds" | "heldOut" | "calibration" | "memoryBytes">>): Promise<void>;
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
 * Makes the folder of a run, locks it, and writes manifest and configuration. An unfinished run of the same configuration and inputs goes
 * on. A finished one, or any with `fresh`, is moved to the first free of `FOLDER.1`, `FOLDER.2`, …, whole, with all that lies in it.
 *
 * @throws {UsageError} Where it cannot be written, holds something else than a run, or an unfinished one that differs, or one is using it.
 */
export async function openRunFolder(folder: string, run: RunDescription): Promise<RunFolder> {
  return await refusingFolder(folder, async () => {
    await contentOf(folder);
    await Deno.mkdir(folder, { recursive: true });
    const path = (await Deno.realPath(folder)).replaceAll("\\", "/"); // of links, the target is moved
    await syncFolder(path.replace(/[^/]*$/, ""));
    const found = await lockFolder(path);
    const earlier = await contentOf(path);
    const named = { ...run, name: folder, path };
    if (earlier === undefined) return await begin(named, found);
    if (earlier.state === "unfinished" && !run.fresh) return await goOn(named, found, earlier);
    using _ = found; // it goes with the earlier run
    const movedTo = await moveAside(path);
    await Deno.mkdir(path).catch((error) => {
      throw error instanceof Deno.errors.AlreadyExists ? inUse(folder) : error;
    });
    return Object.assign(await begin(named, await lockFolder(path)), { movedTo });
  });
}

/**
 * Fields that may change while a run goes on: what they decide comes later, or does not change what is computed. Those of full precision
 * may not: calibration and quantized training build on what it left.
 */
const mayChange =
  /^quantize\.(steps|warmupSteps|hardSteps|learningRate)$|^optimizer\.clipNorm$|^(output|checkpoints|evaluation|sample|statistics|trackers)\.|^recomputeEvery$/;

/** A description, and where it is to run. */
type Placed = RunDescription & Pick<RunFolder, "name" | "path">;

async function goOn(run: Placed, lock: Lock, earlier: Manifest): Promise<RunFolder> {
  const { config, inputs } = run;
  const [before, now] = [earlier.config, config].map((value) => new Map(leaves(value)));
  const changed = [...new Set([...before.keys(), ...now.keys()])].filter((name) => before.get(name) !== now.get(name));
  const other = Object.keys(inputs).find((name) => earlier.inputs[name] !== inputs[name]);
  const wrong = changed.find((name) => !mayChange.test(name)) ?? other;
  if (wrong !== undefined) {
    lock[Symbol.dispose]();
    const values = changed.includes(wrong) ? ` from ${before.get(wrong) ?? "nothing"} to ${now.get(wrong) ?? "nothing"}` : "";
    throw new UsageError(
      `cannot go on with the unfinished run ${run.name}: ${wrong} has changed${values}; wanted it as it was, or --fresh, which moves that run aside`,
    );
  }
  const resumed = [...earlier.resumed ?? [], { at: new Date().toISOString(), hestia: VERSION, changed }];
  await sweep(run.path);
  const { heldOut, ...known } = earlier;
  const measured = changed.some((name) => name.startsWith("evaluation.")) ? {} : { heldOut };
  return await opened(run, { ...known, ...measured, config, resumed }, lock);
}

/** Fields of nested records, with dots in their names, and their values as JSON. */
export function leaves(value: unknown, name = ""): [string, string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [[name, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, name === "" ? key : `${name}.${key}`));
}

/** Removes files that were being written when an earlier process of this run ended. */
async function sweep(path: string): Promise<void> {
  for (const folder of [path, `${path}/base`, `${path}/model`, `${path}/packed`]) {
    const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name).catch(() => []);
    for (const name of names.filter((name) => temporary.test(name))) await Deno.remove(`${folder}/${name}`).catch(() => {});
  }
}

/** What `writeFileAtomic` calls files that are not whole. */
const temporary = /\.\d+-[0-9a-f]{8}\.tmp$/;

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

async function begin(run: Placed, lock: Lock): Promise<RunFolder> {
  const { config, inputs } = run;
  const started = new Date().toISOString();
  return await opened(
    run,
    { format, formatVersion, hestia: VERSION, started, state: "unfinished", config, inputs, seconds: {} },
    lock,
  );
}

async function opened({ name, path }: Placed, first: Manifest, lock: Lock): Promise<RunFolder> {
  let manifest = first;
  const update: RunFolder["update"] = async (fields) => {
    manifest = { ...manifest, ...fields };
    await writeJson(`${path}/${manifestName}`, manifest);
  };
  try {
    await update({});
    await writeJson(`${path}/config.json`, manifest.config);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return {
    ...{ name, path, goesOn: first.resumed !== undefined },
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
 * The manifest of the run that a folder holds; undefined where it holds nothing but what a run leaves that ended before it had one.
 * Throws where it holds something else.
 */
async function contentOf(folder: string): Promise<Manifest | undefined> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const manifest: unknown = names.includes(manifestName) &&
    await readJsonFile(`${folder}/${manifestName}`).catch(() => undefined);
  if (isManifest(manifest)) return manifest;
  const foreign = names.find((name) => name !== lockName && !(name.startsWith(`${manifestName}.`) && temporary.test(name)));
  if (foreign === undefined) return undefined;
  throw new UsageError(
    `cannot write a run to ${folder}: it holds other files, such as "${foreign}"; wanted a new folder, or one of an earlier run`,
  );
}

/** The manifest of the run that a folder holds; undefined where it holds none. */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const found: unknown = await readJsonFile(`${folder}/${manifestName}`).catch(() => undefined);
  return isManifest(found) ? found : undefined;
}

function isManifest(value: unknown): value is Manifest {
  const { format: found, formatVersion: version } = (value || {}) as Partial<Manifest>;
  return found === format && version === formatVersion;
}

async function refusingFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UsageError || !(error instanceof Error)) throw error;
    throw new UsageError(`cannot write to the folder ${folder}: ${reasonOf(error).replace(/^Cannot write ".*?": /, "")}`);
  }
}

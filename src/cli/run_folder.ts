/**
 * The folder of a run.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { resolveConfig, type RunConfig } from "./config.ts";
import { UsageError } from "./errors.ts";
import { makeWritableFolder } from "./files.ts";

/** What a run writes; an earlier run's files of these names are removed, so that none is taken for the new one's. */
const files = ["metrics.jsonl", "base", "calibration.json", "model", "packed", "summary.json"];

/**
 * Makes the folder of a run and writes the resolved configuration into it. What an earlier run left there is removed.
 *
 * @throws {UsageError} Where it cannot be written, or holds something else than a run.
 */
export async function prepareRunFolder(folder: string, config: RunConfig): Promise<void> {
  await makeWritableFolder(folder);
  if (!await isEmpty(folder) && !await holdsRun(folder)) {
    throw new UsageError(`cannot write a run to ${folder}: it holds other files; wanted a new folder, or one of an earlier run`);
  }
  for (const name of files) {
    await Deno.remove(`${folder}/${name}`, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  await makeWritableFolder(`${folder}/packed`);
  await writeFileAtomic(`${folder}/config.json`, JSON.stringify(config, null, 2) + "\n");
}

async function isEmpty(folder: string): Promise<boolean> {
  for await (const _ of Deno.readDir(folder)) return false;
  return true;
}

/** Whether the folder's configuration is one of `deno task train`. */
async function holdsRun(folder: string): Promise<boolean> {
  try {
    resolveConfig(JSON.parse(await Deno.readTextFile(`${folder}/config.json`)));
    return true;
  } catch {
    return false;
  }
}

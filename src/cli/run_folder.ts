/**
 * The folder of a run.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import type { RunConfig } from "./config.ts";
import { makeWritableFolder } from "./files.ts";

/** What a run writes; an earlier run's files of these names are removed, so that none is taken for the new one's. */
const files = ["metrics.jsonl", "calibration.json", "model", "packed", "summary.json"];

/**
 * Makes the folder of a run and writes the resolved configuration into it.
 *
 * @throws {UsageError} Where it cannot be written.
 */
export async function prepareRunFolder(folder: string, config: RunConfig): Promise<void> {
  await makeWritableFolder(folder);
  for (const name of files) {
    await Deno.remove(`${folder}/${name}`, { recursive: true }).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
  await makeWritableFolder(`${folder}/packed`);
  await writeFileAtomic(`${folder}/config.json`, JSON.stringify(config, null, 2) + "\n");
}

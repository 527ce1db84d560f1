/**
 * The folder of a run, finished or not, as its page shows it.
 *
 * @module
 */

import type { RunView } from "../report/run_page.ts";
import { columnsOf, tensorColumnsOf, thinned } from "../report/thinned.ts";
import { UsageError } from "./errors.ts";
import { nameOf, reasonOf } from "./files.ts";
import { leaves, type Manifest, readManifest } from "./run_folder.ts";
import { recordFiles, recordsOf, type RunRecord } from "./run_records.ts";
import type { RunSummary } from "./summary.ts";

/** Steps and statistics of a phase that a page draws at most. */
const most = { metrics: 2000, tensors: 150 };

/**
 * Reads a run as it is now.
 *
 * @throws {UsageError} Where the folder holds no run, or a file of it cannot be read.
 */
export async function readRun(folder: string, name = nameOf(folder)): Promise<RunView> {
  const manifest = await readManifest(folder);
  if (!manifest) throw new UsageError(`cannot show ${folder}: it holds no run; wanted a folder that deno task train has written`);
  const [metrics, tensors] = await Promise.all(recordFiles.map((file) => recordsOf(`${folder}/${file}`)));
  const byPhase = <T>(records: readonly RunRecord[], limit: number, field: string | undefined, make: (rows: never[]) => T) => {
    const phases = Object.entries(Object.groupBy(records, ({ phase }) => phase)) as [
      string,
      (RunRecord & Record<string, unknown>)[],
    ][];
    return Object.fromEntries(phases.map(([phase, rows]) => [phase, make(thinned(rows, limit, field) as never[])]));
  };
  const steps = metrics.filter((each) => "lossNats" in each);
  const summary = await jsonOf<RunSummary>(`${folder}/summary.json`);
  const calibration = await jsonOf<NonNullable<RunView["calibration"]>>(`${folder}/calibration.json`);
  return {
    name,
    state: manifest.state,
    started: manifest.started,
    pretrainSteps: manifest.config.pretrain.steps,
    config: Object.fromEntries(leaves(manifest.config).map(([field, value]) => [field, withoutToken(value)])),
    metrics: byPhase(steps, most.metrics, "lossNats", columnsOf),
    heldOut: byPhase(metrics.filter((each) => "heldOutLossNats" in each), most.metrics, "heldOutLossNats", columnsOf),
    tensors: byPhase(tensors.filter((each) => "tensors" in each), most.tensors, undefined, tensorColumnsOf),
    ...calibration && { calibration },
    losses: lossesOf(manifest, summary),
    sample: summary?.sample,
    checkpoints: await checkpointsOf(`${folder}/checkpoints`),
    seconds: manifest.seconds,
    memoryBytes: manifest.memoryBytes ?? {},
  };
}

/** A page is shown to others; the token of a tracker is not. */
const withoutToken = (value: string) => value.replace(/\bwrite_token=[^&"]*/g, "write_token=…");

/** A file that is written whole; undefined where it is not there yet. */
async function jsonOf<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new UsageError(`cannot read ${path}: ${reasonOf(error)}`);
  }
}

function lossesOf({ heldOut, config }: Manifest, summary: RunSummary | undefined): RunView["losses"] {
  const titles = {
    fullPrecision: summary?.base ?? "full precision",
    rounded: "rounded without training",
    quantized: `trained with ${config.quantize.quantizer}`,
    packed: "packed",
  };
  const known = Object.entries(summary?.heldOut ?? heldOut ?? {});
  return known.map(([name, loss]) => ({ model: titles[name as keyof typeof titles], ...loss }));
}

async function checkpointsOf(folder: string): Promise<RunView["checkpoints"]> {
  const list = (path: string) =>
    Array.fromAsync(Deno.readDir(path)).catch((): Deno.DirEntry[] => []).then((all) => all.map(({ name }) => name).sort());
  const found = [];
  for (const phase of await list(folder)) {
    for (const name of (await list(`${folder}/${phase}`)).filter((each) => /^step-\d+$/.test(each))) {
      const path = `${folder}/${phase}/${name}`;
      const sizes = await Promise.all(
        (await list(path)).map((file) => Deno.stat(`${path}/${file}`).then(({ size }) => size, () => 0)),
      );
      found.push({ folder: `${phase}/${name}`, step: Number(name.slice(5)), bytes: sizes.reduce((a, b) => a + b, 0) });
    }
  }
  return found;
}

/**
 * The calibration of a run, which goes on where an earlier process of the run ended.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { checksum, newestSnapshot, writeSnapshot } from "../io/snapshots.ts";
import type { LlamaModel } from "../llama/model.ts";
import { calibrate, type Calibration, type CalibrationOptions } from "../pipeline/calibrate.ts";
import { isTraceState, type TraceState } from "../quant/trace_state.ts";
import type { Batch } from "../train/data.ts";
import { showCalibration } from "./calibration_progress.ts";
import type { RunFolder } from "./run_folder.ts";

const stateName = "traces.json";

/** Seconds between two states of a calibration at most: they are small. */
const longestInterval = 5;

/** The result that is there, or else that of a calibration, which writes `calibration.json`. */
export async function calibrateInRun(
  model: LlamaModel,
  data: readonly Batch[],
  options: CalibrationOptions,
  run: RunFolder,
): Promise<Calibration> {
  const path = `${run.path}/calibration.json`;
  const done = await doneIn(path, run);
  if (done) return done;
  const states = `${run.path}/checkpoints/calibrate`;
  const { everySeconds } = run.manifest.config.checkpoints;
  const interval = 1000 * Math.min(everySeconds, longestInterval);
  using shown = showCalibration(options);
  let saved = performance.now();
  const result = await calibrate(model, data, {
    ...options,
    resume: await stateIn(states),
    onProgress: async ({ probes, of, scaleError, state }) => {
      shown.update({ probes, of, scaleError });
      if (!options.signal?.aborted && probes < of && performance.now() - saved < interval) return;
      saved = performance.now();
      await writeSnapshot(states, probes, { files: { [stateName]: JSON.stringify(state) }, info: { probes }, keep: 1 });
    },
  });
  await writeFileAtomic(path, JSON.stringify(result, null, 2) + "\n");
  await run.update({ calibration: (await checksum(path)).sha256 });
  return result;
}

/** The calibration that the run has finished, if its file is as it was written. */
async function doneIn(path: string, { manifest: { calibration } }: RunFolder): Promise<Calibration | undefined> {
  if (calibration === undefined) return undefined;
  const found = await checksum(path).catch(() => undefined);
  if (found?.sha256 === calibration) return JSON.parse(await Deno.readTextFile(path));
  console.error(`${path} is not as it was written; calibrating again`);
}

/** Where the calibration stood; undefined where nothing usable is there. */
async function stateIn(states: string): Promise<TraceState | undefined> {
  const { folder, damaged } = await newestSnapshot(states);
  damaged.forEach((reason) => console.error(`checkpoint calibrate/${reason}`));
  const state: unknown = folder && JSON.parse(await Deno.readTextFile(`${folder}/${stateName}`));
  return isTraceState(state) ? state : undefined;
}

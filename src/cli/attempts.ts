/**
 * The phases of a run from its newest states on, again where the device is lost; and what ended a run early, in a line.
 *
 * @module
 */

import type { LanguageModel } from "../llama/checkpoint.ts";
import { backendInfo, useBackend } from "../runtime.ts";
import type { RunConfig } from "./config.ts";
import { FailedWork, UsageError } from "./errors.ts";
import { openLog } from "./log.ts";
import type { Context } from "./main.ts";
import { memoryAdvice } from "./memory_plan.ts";
import type { RunData } from "./run_data.ts";
import type { RunFolder } from "./run_folder.ts";
import { openRecords, type RunListeners } from "./run_records.ts";
import { RunStates, trainingPhases } from "./run_states.ts";
import { RunWatch } from "./run_watch.ts";
import type { RunSummary } from "./summary.ts";
import { Run } from "./train_run.ts";

/** What a run is made of. */
export interface RunParts {
  readonly run: RunFolder;
  readonly start: LanguageModel;
  readonly data: RunData;
  readonly context: Context;
  /** Gives the model that the run begins with once more: what lay on a device that was lost is lost too. */
  readonly again: () => Promise<LanguageModel>;
  /** Who is told of each record. */
  readonly listeners: RunListeners;
}

/** Losses of the device in a row, without a state between them, that a run goes on after. */
const mostLosses = 3;

/** Runs all phases that are not done. A device that is lost is replaced, and the run goes on behind its newest state. */
export async function runPhases({ run, data, context, again, listeners, ...parts }: RunParts): Promise<RunSummary> {
  let { start } = parts;
  let [place, losses] = ["", 0];
  for (;;) {
    const states = await RunStates.open(run.path, run.manifest.config.checkpoints);
    checkSteps(states, run);
    if (losses > 0) console.error(`${run.name} goes on ${placeText(states)}`);
    else if (run.goesOn) console.error(`${run.name} goes on ${placeText(states)}; --fresh begins anew`);
    losses = placeText(states) === place ? losses : 0;
    place = placeText(states);
    using log = openLog({ metricsPath: `${run.path}/metrics.jsonl` });
    await using records = openRecords(run.path, listeners);
    const watch = new RunWatch(run, start, data, records);
    try {
      return await new Run(run, states, start, data, log, watch, context).all();
    } catch (error) {
      await states.settled();
      const { message } = error as Error;
      if (!isLoss(message) || context.signal.aborted || ++losses > mostLosses) {
        throw await endOf(error as Error, run, { states, signal: context.signal });
      }
      console.error(message.replace(/ Start again.*/, ""));
    }
    start = await again();
  }
}

/** Whether an error says that the device is gone, with all that lay there. */
const isLoss = (message: string): boolean => /The GPU was lost|lost with its device/.test(message);

/** Behind which step a run goes on, in words. */
function placeText(states: RunStates): string {
  const phase = trainingPhases.findLast((each) => states.step(each) !== undefined);
  return phase === undefined ? "from its beginning" : `behind step ${states.step(phase)} of ${phase}`;
}

/** Refuses a training that is to end before the step behind which it goes on. */
function checkSteps(states: RunStates, { name, manifest: { config } }: RunFolder): void {
  for (const phase of trainingPhases) {
    const [done, { steps }] = [states.step(phase), config[phase]];
    if (done === undefined || done <= steps) continue;
    throw new UsageError(
      `cannot go on with the unfinished run ${name}: ${done} steps of ${phase} are done, and ${phase}.steps is ${steps}; ` +
        `wanted ${done} or more, or --fresh, which moves that run aside`,
    );
  }
}

/** What ended a run early, in a line; an error of the program stays as it is. */
async function endOf(
  error: Error,
  { name, manifest }: RunFolder,
  { states: { newest }, signal: { aborted } }: { readonly states: RunStates; readonly signal: AbortSignal },
): Promise<Error> {
  const goesOn = `${name} keeps what was done, and the same command goes on with it`;
  if (aborted) console.error(`Interrupted: ${goesOn}.`);
  const isKnown = /^(Training diverged|The GPU (is out of memory|was lost)|Cannot (?!read properties))/.test(error.message);
  if (!isKnown || aborted) return error;
  const advice = error.message.startsWith("The GPU is out of memory") ? await adviceFor(manifest.config) : "";
  const last = newest === undefined ? "" : `the newest checkpoint is of ${newest}; `;
  return new FailedWork(`${error.message.replace(/\s+/g, " ")}; ${advice}${last}${goesOn}`);
}

/** What options would save of the memory that was short; nothing where the model cannot be read any more. */
async function adviceFor(config: RunConfig): Promise<string> {
  const device = await backendInfo();
  await useBackend("reference"); // frees all that the run holds
  const advice = await useBackend(device.name).then(() => memoryAdvice(config)).catch(() => undefined);
  return advice === undefined ? "" : `${advice}; `;
}

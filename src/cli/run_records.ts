/**
 * What a run writes down while it trains, and who is told of it.
 *
 * @module
 */

import type { StepStatistics } from "../pipeline/tensor_statistics.ts";
import type { HeldOutMetrics, StepMetrics } from "../train/log.ts";
import { reasonOf } from "./files.ts";

/** A line of `tensors.jsonl`. */
export interface TensorMetrics extends StepStatistics {
  readonly phase: string;
}

/** A line of `metrics.jsonl` or of `tensors.jsonl`. */
export type RunRecord = StepMetrics | HeldOutMetrics | TensorMetrics;

/** Somebody who is told of each record, in order. What fails is said once; training goes on. */
export interface RunListener {
  /** As messages call it. */
  readonly name: string;
  /** Must not wait for anything slow. */
  tell(record: RunRecord): void;
  /** Called once, at the end of the run. */
  close?(): Promise<void> | void;
}

/** Files of records in the folder of a run. */
export const recordFiles = ["metrics.jsonl", "tensors.jsonl"] as const;

/** Writes records down, and tells listeners. `await using` closes files and listeners. */
export interface RunRecords extends AsyncDisposable {
  tell(record: RunRecord): void;
}

/** Opens the files of records, to be appended to. Steps are written by the log of the run, and only told here. */
export function openRecords(folder: string, listeners: readonly RunListener[] = []): RunRecords {
  const [metrics, tensors] = recordFiles.map((name) => fileListener(`${folder}/${name}`));
  let awake: readonly RunListener[] = listeners;
  const told = (listener: RunListener, work: () => void) => {
    try {
      work();
    } catch (error) {
      awake = awake.filter((each) => each !== listener);
      if (failedOnce.has(listener)) return;
      failedOnce.add(listener);
      console.error(`${listener.name} is told no more, training goes on: ${reasonOf(error)}`);
    }
  };
  const failedOnce = new Set<RunListener>();
  return {
    tell(record) {
      const file = "tensors" in record ? tensors : "lossNats" in record ? undefined : metrics;
      for (const each of [...file ? [file] : [], ...awake]) told(each, () => each.tell(record));
    },
    async [Symbol.asyncDispose]() {
      for (const each of [metrics, tensors, ...awake]) {
        await Promise.resolve(each.close?.()).catch((error) =>
          told(each, () => {
            throw error;
          })
        );
      }
    },
  };
}

function fileListener(path: string): RunListener {
  const file = Deno.openSync(path, { append: true, create: true });
  const encoder = new TextEncoder();
  return {
    name: path,
    tell: (record) => void file.writeSync(encoder.encode(JSON.stringify(record) + "\n")),
    close: () => file.close(),
  };
}

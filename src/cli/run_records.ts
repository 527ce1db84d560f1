/**
 * What a run writes down while it trains, and who is told of it.
 *
 * @module
 */

import { isJsonObject } from "../io/json.ts";
import type { StepStatistics } from "../pipeline/tensor_statistics.ts";
import type { HeldOutMetrics, StepMetrics } from "../train/log.ts";
import { UsageError } from "./errors.ts";
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
  tell(record: RunRecord): unknown;
  /** Called once, at the end of the run. */
  close?(): Promise<void> | void;
}

/** Files of records in the folder of a run. */
export const recordFiles = ["metrics.jsonl", "tensors.jsonl"] as const;

/**
 * The records of a file; none where there is no file. A line that is being written is left out.
 *
 * @throws {UsageError} Where it cannot be read, or another line is no record.
 */
export async function recordsOf(path: string): Promise<RunRecord[]> {
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw new UsageError(`cannot read ${path}: ${reasonOf(error)}`);
  });
  const lines = text.split("\n");
  return lines.slice(0, -1).flatMap((line, at) => {
    try {
      const record = JSON.parse(line);
      if (isJsonObject(record) && typeof record.step === "number" && typeof record.phase === "string") return [record as never];
    } catch { /* said below */ }
    throw new UsageError(`cannot read ${path}: line ${at + 1} is no record of a step; wanted JSON with step and phase`);
  });
}

/** Listeners as one; `await using` closes them. */
export interface RunListeners extends AsyncDisposable {
  tell(record: RunRecord): void;
}

/** Tells each of several listeners, but for those that have failed. */
export function listenersOf(all: readonly RunListener[]): RunListeners {
  const failed = new Set<RunListener>();
  const fail = (listener: RunListener, error: unknown) => {
    if (!failed.has(listener)) console.error(`${listener.name} is told no more, training goes on: ${reasonOf(error)}`);
    failed.add(listener);
  };
  return {
    tell(record) {
      for (const each of all.filter((each) => !failed.has(each))) {
        try {
          each.tell(record);
        } catch (error) {
          fail(each, error);
        }
      }
    },
    async [Symbol.asyncDispose]() {
      for (const each of all) await Promise.resolve(each.close?.()).catch((error) => fail(each, error));
    },
  };
}

/**
 * Opens the files of records, to be appended to, and tells others too, who stay open. Steps are written by the log of the run, and only
 * told here.
 */
export function openRecords(folder: string, others: Pick<RunListeners, "tell">): RunListeners {
  const [metrics, tensors] = recordFiles.map((name) => fileListener(`${folder}/${name}`));
  const files = listenersOf([
    { ...metrics, tell: (record) => "heldOutLossNats" in record && metrics.tell(record) },
    { ...tensors, tell: (record) => "tensors" in record && tensors.tell(record) },
  ]);
  return {
    tell(record) {
      files.tell(record);
      others.tell(record);
    },
    [Symbol.asyncDispose]: () => files[Symbol.asyncDispose](),
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

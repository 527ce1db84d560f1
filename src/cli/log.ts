/**
 * What a training run tells: to a person its progress, and to a file one JSON object a step.
 *
 * @module
 */

import type { StepMetrics, TrainingLog } from "../train/log.ts";
import { reasonOf } from "./files.ts";
import { type Progress, progress, type ProgressStream } from "./progress.ts";

/** Where a log goes. */
export interface LogOptions {
  /** Path of the file that gets one JSON object a step, appended; no file if absent. */
  readonly metricsPath?: string;
  /** Where progress is shown; stderr if absent. */
  readonly stream?: ProgressStream;
}

/**
 * Open a log.
 *
 * @throws {Deno.errors.NotFound} Where the folder of `metricsPath` is missing.
 *
 * @example
 * ```ts
 * import { openLog } from "./log.ts";
 *
 * using log = openLog({ stream: { isTerminal: false, hasColour: false, columns: () => 80, write: () => {} } });
 * log.begin("full precision", 2);
 * log.step({ step: 1, phase: "pretrain", lossNats: 5.5, learningRate: 1e-3, gradientNorm: 1, tokensPerSecond: 4000 });
 * ```
 */
export function openLog({ metricsPath, stream }: LogOptions = {}): TrainingLog {
  const file = metricsPath === undefined ? undefined : Deno.openSync(metricsPath, { append: true, create: true });
  const encoder = new TextEncoder();
  let shown: Progress | undefined;
  let isFull = false;
  const end = (): void => {
    shown?.done();
    shown = undefined;
  };
  const write = (metrics: StepMetrics): void => {
    try {
      file?.writeSync(encoder.encode(JSON.stringify(metrics) + "\n"));
    } catch (error) {
      if (!isFull) console.error(`no metrics from step ${metrics.step} on, training goes on: ${metricsPath}: ${reasonOf(error)}`);
      isFull = true;
    }
  };
  return {
    begin(title, totalSteps) {
      end();
      shown = progress({ title, total: totalSteps, stream });
    },
    step(metrics) {
      write(metrics);
      if (metrics.skipped) console.error(`step ${metrics.step} was skipped: ${skippedFor(metrics)}`);
      shown?.update(metrics.step, describe(metrics));
    },
    end,
    [Symbol.dispose]() {
      end();
      file?.close();
    },
  };
}

/** A piece of work with trainings in it. */
export interface LoggedPart {
  /** As `begin` is told of its training. */
  readonly title: string;
  /** In any unit, the same for all parts. */
  readonly cost: number;
}

/** Open a log that shows how far all of some parts are, which come in their order; each may have more in it than its training. */
export function openOverallLog(
  parts: readonly LoggedPart[],
  { stream }: Pick<LogOptions, "stream"> = {},
): TrainingLog & { /** All parts are done. */ complete(): void } {
  const total = parts.reduce((sum, { cost }) => sum + cost, 0);
  const shown = progress({ title: "experiment", total, unit: "%", stream });
  let before = 0;
  let current = { title: "", cost: 0, steps: 1 };
  return {
    begin(title, steps) {
      const at = parts.findIndex((part) => part.title === title);
      before = parts.slice(0, Math.max(0, at)).reduce((sum, { cost }) => sum + cost, 0);
      current = { title, cost: parts[at]?.cost ?? 0, steps };
    },
    step(metrics) {
      const { title, cost, steps } = current;
      shown.update(before + cost * metrics.step / steps, `${title} ${metrics.step}/${steps} · ${describe(metrics)}`);
    },
    end() {}, // there is more in a part than its training
    complete() {
      if (total > 0) shown.update(total);
      shown.done();
    },
    [Symbol.dispose]: () => shown.done(),
  };
}

function skippedFor({ lossNats, gradientNorm }: StepMetrics): string {
  return Number.isFinite(lossNats) ? `its gradient has a norm of ${gradientNorm}` : `its loss is ${lossNats}`;
}

/** The numbers of a step that people watch. */
function describe({ lossNats, tokensPerSecond, pressure, temperature }: StepMetrics): string {
  const parts = [`loss ${lossNats.toFixed(3)}`, `${Math.round(tokensPerSecond)} tokens/s`];
  if (pressure !== undefined) parts.push(`pressure ${pressure.toFixed(2)}`);
  if (temperature !== undefined) parts.push(`temperature ${temperature.toFixed(3)}`);
  return parts.join(" · ");
}

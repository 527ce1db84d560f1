/**
 * What a training run tells: to a person (a progress bar on a terminal, a line every few seconds in a pipe) and to a file (one JSON object
 * a step).
 *
 * @module
 */

import cliProgress from "cli-progress";

/** One training step. A line of `metrics.jsonl` is this object. */
export interface StepMetrics {
  /** Counted from 1 within the phase. */
  readonly step: number;
  /** Name of the phase: "pretrain", "quantize". */
  readonly phase: string;
  /** Mean cross-entropy of the step's batch, in nats a token. */
  readonly lossNats: number;
  /** Learning rate of the step. */
  readonly learningRate: number;
  /** Global norm of the gradient before clipping. */
  readonly gradientNorm: number;
  /** How far weights are pressed to the grid, 0 to 1; absent in full precision. */
  readonly pressure?: number;
  /** Mean temperature over the quantized tensors; absent in full precision. */
  readonly temperature?: number;
  /** Predicted tokens a second of wall time. */
  readonly tokensPerSecond: number;
}

/** Where a log goes. */
export interface LogOptions {
  /** Path of the file that gets one JSON object a step, appended; no file if absent. */
  readonly metricsPath?: string;
  /** Draw a progress bar; if absent, whether stderr is a terminal. */
  readonly terminal?: boolean;
  /** Seconds between two lines where there is no progress bar; 5 if absent. */
  readonly intervalSeconds?: number;
  /** Takes a line where there is no progress bar; `console.error` if absent. */
  readonly write?: (line: string) => void;
}

/** The log of a run; `using` closes its file and gives the terminal back. */
export interface TrainingLog extends Disposable {
  /** Begin a phase of `totalSteps` steps. `title` is what people see. */
  begin(title: string, totalSteps: number): void;
  /** Tell of a step of the phase at hand. */
  step(metrics: StepMetrics): void;
  /** End the phase at hand, as a run does that is done or interrupted. */
  end(): void;
}

/** How a phase is shown while it runs. */
interface Display {
  step(metrics: StepMetrics): void;
  end(): void;
}

/**
 * Open a log.
 *
 * @throws {Deno.errors.NotFound} Where the folder of `metricsPath` is missing.
 *
 * @example
 * ```ts
 * using log = openLog({ terminal: false, write: () => {} });
 * log.begin("full precision", 2);
 * log.step({ step: 1, phase: "pretrain", lossNats: 5.5, learningRate: 1e-3, gradientNorm: 1, tokensPerSecond: 4000 });
 * ```
 */
export function openLog(options: LogOptions = {}): TrainingLog {
  const { metricsPath, terminal = Deno.stderr.isTerminal() } = options;
  const file = metricsPath === undefined ? undefined : Deno.openSync(metricsPath, { append: true, create: true });
  const encoder = new TextEncoder();
  let display: Display | undefined;
  const end = (): void => {
    display?.end();
    display = undefined;
  };
  return {
    begin(title, totalSteps) {
      end();
      display = terminal ? barDisplay(title, totalSteps) : lineDisplay(title, totalSteps, options);
    },
    step(metrics) {
      file?.writeSync(encoder.encode(JSON.stringify(metrics) + "\n"));
      display?.step(metrics);
    },
    end,
    [Symbol.dispose]() {
      end();
      file?.close();
    },
  };
}

/** The part of `cli-progress` that is used here; the package comes without types. */
interface ProgressBar {
  start(total: number, value: number, payload: { readonly details: string }): void;
  update(value: number, payload: { readonly details: string }): void;
  stop(): void;
}

/** A bar that is drawn over itself, on stderr. */
function barDisplay(title: string, totalSteps: number): Display {
  const format = `${title} {bar} {value}/{total} · {details} · {eta_formatted} left`;
  const options = { format, barsize: 24, hideCursor: true, fps: 5, etaBuffer: 20 };
  const bar: ProgressBar = new cliProgress.SingleBar(options, cliProgress.Presets.rect);
  bar.start(totalSteps, 0, { details: "first step" });
  return {
    step: (metrics) => bar.update(metrics.step, { details: describe(metrics) }),
    end: () => bar.stop(),
  };
}

/** A line now and then: the first step, one every few seconds, the last one. */
function lineDisplay(title: string, totalSteps: number, options: LogOptions): Display {
  const { intervalSeconds = 5, write = console.error } = options;
  const started = performance.now();
  let written = -Infinity;
  let unwritten: string | undefined;
  return {
    step(metrics) {
      const now = performance.now();
      const secondsLeft = (now - started) / 1000 / metrics.step * (totalSteps - metrics.step);
      unwritten = `${title} ${metrics.step}/${totalSteps} · ${describe(metrics)} · ${Math.ceil(secondsLeft)} s left`;
      if (metrics.step < totalSteps && now - written < intervalSeconds * 1000) return;
      write(unwritten);
      written = now;
      unwritten = undefined;
    },
    end() {
      if (unwritten !== undefined) write(unwritten);
    },
  };
}

/** The numbers of a step that people watch. */
function describe({ lossNats, tokensPerSecond, pressure, temperature }: StepMetrics): string {
  const parts = [`loss ${lossNats.toFixed(3)}`, `${Math.round(tokensPerSecond)} tokens/s`];
  if (pressure !== undefined) parts.push(`pressure ${pressure.toFixed(2)}`);
  if (temperature !== undefined) parts.push(`temperature ${temperature.toFixed(3)}`);
  return parts.join(" · ");
}

/**
 * What a person sees while a command works: one line that is drawn over itself on a terminal, a line now and then in a pipe.
 *
 * Nothing writes into it: what is said meanwhile, by {@linkcode Progress.message} or through `console` (see
 * {@linkcode keepMessagesAbove}), appears above. It is drawn anew for the width that the terminal has at the time.
 *
 * @module
 */

import { visible, writeText } from "./output.ts";
import { fit, type Parts } from "./progress_line.ts";
import { formatBytes, formatSeconds } from "./table.ts";
import { TimeLeft } from "./time_left.ts";

/** Where progress is shown. */
export interface ProgressStream {
  readonly isTerminal: boolean;
  /** Whether escape sequences of colour are welcome. */
  readonly hasColour: boolean;
  /** Columns of the terminal at this moment. */
  columns(): number;
  write(text: string): void;
}

/** What is going on, and how much of it there is. */
export interface ProgressOptions {
  /** A few words: "calibration", "downloading model.safetensors". */
  readonly title: string;
  /** All that is to be done; the number alone is told where nobody knows it. It may be a share of work, such as a cost, with `unit: "%"`. */
  readonly total?: number;
  /** What is counted: "steps". "bytes" are told in KiB and MiB, "%" as a percentage; without one, numbers are bare. */
  readonly unit?: string;
  /** Where to; stderr if absent. */
  readonly stream?: ProgressStream;
  /** Seconds of work before anything is shown, for work that is often done at once; 0 if absent. */
  readonly afterSeconds?: number;
  /** Seconds between two lines in a pipe, at first; 5 if absent. They grow with the time that has passed, to a minute. */
  readonly intervalSeconds?: number;
  /** Milliseconds from any fixed moment; `performance.now` if absent. */
  readonly clock?: () => number;
  /** When the work began, on that clock; now if absent. */
  readonly started?: number;
}

/** A piece of work that is under way; `using` ends it. */
export interface Progress extends Disposable {
  /** Tell how much is done, of the total. `text` is what else people watch: "loss 2.31 · 4096 tokens/s"; the last one stays. */
  update(done: number, text?: string): void;
  /** The total is another than was thought, or was not known. */
  expect(total: number): void;
  /** Say something meanwhile: a line of its own, above. */
  message(line: string): void;
  /** End it, finished or not: the last line stays, with the time that it took. */
  done(): void;
}

/** Displays that are drawn on terminals, the one that is seen last. */
const drawn: TerminalProgress[] = [];

/**
 * Show the progress of a piece of work. Nothing is shown before the first `update`.
 *
 * @example
 * ```ts
 * import { progress } from "./progress.ts";
 *
 * const lines: string[] = [];
 * const stream = { isTerminal: false, hasColour: false, columns: () => 80, write: (text: string) => void lines.push(text) };
 * using work = progress({ title: "calibration", total: 8, unit: "probes", stream });
 * for (let probe = 1; probe <= 8; probe++) work.update(probe);
 * work.done();
 * console.log(lines.at(-1)); // calibration 8/8 probes · took 0.0 s
 * ```
 */
export function progress(options: ProgressOptions): Progress {
  const { stream = standardError } = options;
  return stream.isTerminal ? new TerminalProgress(options, stream) : new PipeProgress(options, stream);
}

/** The progress of work that tells its total with its news. */
export interface ReportedProgress extends Disposable {
  /** As {@linkcode Progress.update}, for the `onProgress` of a function. Another total is another piece of work. */
  readonly update: (done: number, total: number, text?: string) => void;
  readonly done: () => void;
}

/** Show the progress of work whose total comes with its news. What takes less than a second is not shown. */
export function reportedProgress(options: Omit<ProgressOptions, "total">): ReportedProgress {
  const { clock = () => performance.now() } = options;
  let shown: Progress | undefined;
  let current: number | undefined;
  let started = clock();
  const done = (): void => shown?.done();
  const update = (amount: number, total: number, text?: string): void => {
    if (total !== current) {
      done();
      shown = progress({ afterSeconds: 1, ...options, total, started });
      current = total;
    }
    shown!.update(amount, text);
    started = clock(); // of the next piece, if there is one
  };
  return { update, done, [Symbol.dispose]: done };
}

/** Ends what is being shown, as a command does before it ends. */
export function endProgress(): void {
  [...drawn].reverse().forEach((each) => each.done());
}

/**
 * From now on what `console` says appears above the progress. `main` calls this once, as it owns the terminal; what other code of the
 * process writes past `console`, it cannot see. Where stderr cannot be written, such as a pipe that nobody reads any more, work goes on in
 * silence; what terminals act upon is spelt out (see {@linkcode visible}); stdout is what a command is for, so there it is an error.
 */
export function keepMessagesAbove(): void {
  for (const level of ["log", "info", "warn", "error", "debug"] as const) {
    const say = console[level].bind(console);
    console[level] = (...given: unknown[]) => {
      const words = given.map((word) => typeof word === "string" ? visible(word) : word);
      const seen = drawn.at(-1);
      seen?.lift();
      level === "error" || level === "warn" ? quietly(() => say(...words)) : say(...words);
      seen?.draw();
    };
  }
}

function quietly(write: () => void): void {
  try {
    write();
  } catch {
    // nobody can be told
  }
}

/** Standard error, as it is. */
export const standardError: ProgressStream = {
  get isTerminal() {
    return Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb";
  },
  get hasColour() {
    return !Deno.noColor;
  },
  columns() {
    try {
      return Deno.consoleSize().columns || 80;
    } catch {
      return 80; // no terminal, or one that does not say
    }
  },
  write(text) {
    quietly(() => writeText(Deno.stderr, text));
  },
};

/** What both ways of showing have in common: how much is done, what is said of it, and how long it will take. */
abstract class Shown implements Progress {
  protected readonly clock: () => number;
  protected readonly time: TimeLeft;
  protected amount: number | undefined;
  #text = "";
  #ended = false;

  constructor(protected readonly options: ProgressOptions, protected readonly stream: ProgressStream) {
    const { clock = () => performance.now(), total, started = clock() } = options;
    this.clock = clock;
    this.time = new TimeLeft(total, started);
  }

  update(done: number, text?: string): void {
    if (this.#ended) return;
    this.amount = done;
    this.#text = text ?? this.#text;
    this.time.observe(done, this.clock());
    if (this.clock() - this.time.started >= 1000 * (this.options.afterSeconds ?? 0)) this.changed();
  }

  expect(total: number): void {
    this.time.total = total;
  }

  message(line: string): void {
    this.stream.write(`${line}\n`);
  }

  done(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.end();
  }

  [Symbol.dispose](): void {
    this.done();
  }

  /** Something is known that was not. */
  protected abstract changed(): void;
  protected abstract end(): void;

  protected parts(): Parts {
    const { title, unit } = this.options;
    const { total } = this.time;
    const done = this.amount ?? 0;
    const left = this.#ended ? undefined : this.time.secondsLeft(this.clock());
    return {
      title,
      count: countText(done, total, unit),
      share: total === undefined ? undefined : Math.min(1, total > 0 ? done / total : 1),
      details: this.#text === "" ? [] : this.#text.split(" · "),
      time: this.#ended ? this.#took(done) : left === undefined ? "" : leftText(left),
    };
  }

  #took(done: number): string {
    const seconds = formatSeconds((this.clock() - this.time.started) / 1000);
    return this.time.total === undefined || done >= this.time.total ? `took ${seconds}` : `ended after ${seconds}`;
  }
}

/** "8 s left", "1 min 05 s left". */
function leftText(seconds: number): string {
  const whole = Math.max(1, Math.ceil(seconds));
  return `${whole < 10 ? `${whole} s` : formatSeconds(whole)} left`;
}

/** How much is done, as people read it: "120/400 steps", "1.5 MiB of 2.0 GiB", "45 %". */
function countText(done: number, total: number | undefined, unit: string | undefined): string {
  if (unit === "%") return `${Math.floor(100 * done / (total ?? 100))} %`;
  const text = unit === "bytes" ? formatBytes : String;
  const slash = unit === "bytes" ? " of " : "/";
  const count = total === undefined ? text(done) : `${text(done)}${slash}${text(total)}`;
  return unit === undefined || unit === "bytes" ? count : `${count} ${unit}`;
}

/** A line now and then: the first news, one every few seconds, the last one. */
class PipeProgress extends Shown {
  #written = -Infinity;
  #pending = false;

  protected changed(): void {
    const now = this.clock();
    const passed = (now - this.time.started) / 1000;
    const pause = Math.max(this.options.intervalSeconds ?? 5, Math.min(60, passed / 20));
    this.#pending = now - this.#written < pause * 1000 || this.amount === this.time.total; // the end tells the last one
    if (this.#pending) return;
    this.#write();
  }

  #write(): void {
    const { title, count, details, time } = this.parts();
    this.stream.write([`${title} ${count}`, ...details, time].filter((part) => part !== "").join(" · ") + "\n");
    this.#written = this.clock();
  }

  protected end(): void {
    if (this.#pending) this.#write();
  }
}

/** Redrawn no more often than this, in milliseconds, and at least this often, since time passes. */
const SHORTEST = 100;
const LONGEST = 1000;

/** A line that is drawn over itself. */
class TerminalProgress extends Shown {
  /** Columns of what is on the terminal; 0 where nothing is. */
  #length = 0;
  #drawnAt = -Infinity;
  readonly #timer = setInterval(() => this.#redraw(), LONGEST);

  constructor(options: ProgressOptions, stream: ProgressStream) {
    super(options, stream);
    this.#timer.unref();
  }

  override message(line: string): void {
    this.lift();
    super.message(line);
    this.draw();
  }

  /** Take the line away, as before something else is written. */
  lift(): void {
    this.stream.write(this.#erasure());
    this.#length = 0;
  }

  /** Put the line there, in place of the old one. The last column stays free, so that the cursor stays on the line. */
  draw(): void {
    if (drawn.at(-1) !== this || this.amount === undefined) return;
    const line = fit(this.parts(), Math.max(1, this.stream.columns() - 1), { colour: this.stream.hasColour });
    this.stream.write(this.#erasure() + line.text);
    this.#length = line.columns;
    this.#drawnAt = this.clock();
  }

  /** What takes the line away. The terminal may have become narrower since it was drawn, so that the line became several. */
  #erasure(): string {
    if (this.#length === 0) return "";
    const up = Math.ceil(this.#length / this.stream.columns()) - 1;
    return `\r\x1b[K${"\x1b[A\x1b[K".repeat(up)}`; // row by row: erasing all below would put it into tmux's history
  }

  #redraw(): void {
    if (this.clock() - this.#drawnAt >= SHORTEST) this.draw();
  }

  protected changed(): void {
    if (!drawn.includes(this)) {
      drawn.at(-1)?.lift();
      drawn.push(this);
    }
    this.#redraw();
  }

  protected end(): void {
    clearInterval(this.#timer);
    const at = drawn.indexOf(this);
    if (at < 0) return;
    if (at === drawn.length - 1) {
      this.draw();
      this.stream.write("\n");
    }
    this.#length = 0;
    drawn.splice(at, 1);
    drawn.at(-1)?.draw();
  }
}

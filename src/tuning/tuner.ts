/**
 * Chooses among kernels of equal results by time, and remembers.
 *
 * @module
 */

import type { Contest, Program } from "../core/program.ts";
import { VERSION } from "../core/version.ts";
import { environment, readChoices, rememberChoices } from "./file.ts";

/**
 * Whether kernels are timed: `true` in any case and without a limit, `false` never, and then what is remembered is not used either. The
 * name of a kernel takes that wherever it applies, which tests do.
 */
export type Tuning = boolean | string;

/** What of a device a tuner needs to know. */
interface Timed {
  readonly adapter: string;
  readonly texelReads: boolean;
  time?(programs: readonly Program[]): Promise<readonly (number | undefined)[]>;
}

/** The variable of the environment that says what nobody says in words. */
const variable = "HESTIA_TUNE";
/**
 * Seconds that one process spends on trials that nobody asked for. A software driver compiles each kernel for a second or two, more than
 * most programs would gain.
 */
const budgetSeconds = (device: Timed) => device.texelReads ? 0 : 5;
/** A kernel replaces the default if it takes at most this share of its time. */
const clearWin = 0.95;

/** How the compiler picks kernels on one device, see `PickOptions`. */
export class Tuner {
  readonly variant?: string;
  readonly fastest?: (shapeClass: string) => string | undefined;
  readonly #choices = new Map<string, string>();
  /** Under which choices are remembered. */
  readonly #memory: string;
  #secondsLeft = Infinity;

  /** @param asked what was said when it was opened */
  private constructor(private readonly device: Timed, readonly asked: Tuning | undefined, tune: Tuning) {
    this.#memory = `${VERSION} ${device.adapter}`;
    if (typeof tune === "string") this.variant = tune;
    else if (tune) {
      this.fastest = (shapeClass) => this.#choices.get(shapeClass) ?? (this.#secondsLeft > 0 ? undefined : "the default");
    }
  }

  /**
   * What is known of a device, and permission to find out more.
   *
   * @param variants names of the kernels that may be asked for
   * @throws Error where `asked`, or the environment, says what nobody understands
   */
  static async open(device: Timed, { asked, variants }: { asked?: Tuning; variants: readonly string[] }): Promise<Tuner> {
    const tune = asked ?? fromEnvironment(variants);
    if (typeof tune === "string" && !variants.includes(tune)) {
      throw new Error(`Cannot use the kernel "${tune}" wherever it applies: there are ${variants.join(", ")}`);
    }
    const tuner = new Tuner(device, asked, device.time ? tune ?? true : false);
    if (tune === undefined) tuner.#secondsLeft = budgetSeconds(device);
    if (tuner.fastest) {
      Object.entries(await readChoices(tuner.#memory)).forEach(([name, kernel]) => tuner.#choices.set(name, kernel));
    }
    return tuner;
  }

  /** Name of the fastest kernel by class of calls. */
  get choices(): ReadonlyMap<string, string> {
    return this.#choices;
  }

  /** Decides contests while there is time; what is left keeps its default in this process. */
  async decide(contests: readonly Contest[]): Promise<void> {
    const made: Record<string, string> = {};
    for (const { shapeClass, names, programs } of contests) {
      const start = performance.now();
      const times = this.#secondsLeft > 0 ? await this.device.time!(programs).catch(() => []) : []; // a lost device is told of elsewhere
      this.#secondsLeft -= (performance.now() - start) / 1000;
      const winner = names[fastest(times)];
      this.#choices.set(shapeClass, winner);
      if (times[0] !== undefined) made[shapeClass] = winner;
    }
    await rememberChoices(this.#memory, made);
  }
}

function fromEnvironment(variants: readonly string[]): Tuning | undefined {
  const text = environment(variable);
  if (!text || variants.includes(text)) return text || undefined;
  if (text !== "on" && text !== "off") {
    throw new Error(`Cannot understand ${variable}="${text}": wanted on, off, or one of ${variants.join(", ")}`);
  }
  return text === "on";
}

/** Position of the first of several times, unless another is clearly shorter. */
function fastest(times: readonly (number | undefined)[]): number {
  const [first = -Infinity] = times;
  const known = times.map((time = Infinity) => time);
  const best = known.indexOf(Math.min(...known));
  return known[best] <= clearWin * first ? best : 0;
}

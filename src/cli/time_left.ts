/**
 * How long a piece of work will still take.
 *
 * @module
 */

/** News closer than this, in milliseconds, is of one moment: steps are often told in bundles. */
const ONE_MOMENT = 50;

/** So much was done at a time, in milliseconds. */
interface Sample {
  readonly done: number;
  readonly at: number;
}

/** Samples that are kept at most. Half of them go when there are more. */
const MOST_SAMPLES = 256;

/**
 * The time left, by the rate of the recent half of the work. What comes before the first news (compiling, opening files) is no work:
 * it does not count, and nothing is said before the second news.
 */
export class TimeLeft {
  #samples: Sample[] = [];
  /** Whether several news have come in one moment. */
  #inBundles = false;

  /**
   * @param total All that is to be done; nothing is said where it is unknown. It may be set when it becomes known.
   * @param started When the work began, in milliseconds.
   */
  constructor(public total: number | undefined, readonly started: number) {}

  /** Learn that so much was done at a time. */
  observe(done: number, at: number): void {
    const last = this.#samples.at(-1);
    if (last && done <= last.done) return;
    if (last && at - last.at < ONE_MOMENT) {
      this.#samples[this.#samples.length - 1] = { done, at: last.at };
      this.#inBundles = true;
      return;
    }
    if (this.#samples.length === MOST_SAMPLES) this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
    this.#samples.push({ done, at });
  }

  /** Seconds that are left at a time; undefined while nobody can tell. */
  secondsLeft(now: number): number | undefined {
    const fresh = this.#inBundles && this.#samples.length > 1 && now - this.#samples.at(-1)!.at < ONE_MOMENT; // more may be on its way
    const samples = fresh ? this.#samples.slice(0, -1) : this.#samples;
    const last = samples.at(-1);
    if (this.total === undefined || !last || this.#samples.at(-1)!.done >= this.total) return undefined;
    const rate = this.#rate(samples[0], last);
    return rate === undefined ? undefined : Math.max(0, ((this.total - last.done) / rate - (now - last.at)) / 1000);
  }

  /** Of the work, a millisecond; undefined where one moment is all that is known. */
  #rate(first: Sample, last: Sample): number | undefined {
    if (first === last) return undefined;
    const middle = (first.done + last.done) / 2;
    const from = this.#samples.findLast(({ done }) => done <= middle) ?? first;
    return (last.done - from.done) / (last.at - from.at);
  }
}

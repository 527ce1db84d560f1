/**
 * Work in the order in which it was asked for.
 *
 * @module
 */

/** Something to do with a device. */
export interface Work<Device> {
  /** What has to be waited for first; `undefined` where nothing has, or nothing any more. */
  readonly before?: (device: Device) => Promise<void> | undefined;
  /** A promise that it returns, which does not fail, holds back the work behind it. */
  readonly run: (device: Device) => Promise<void> | undefined | void;
  /** Hears what `run` or `before` threw, if they had to wait. */
  readonly fail: (error: Error) => void;
}

/** Does work at once where that is possible, and in order where it has to wait: for a device, or for what comes before other work. */
export class WorkQueue<Device> {
  readonly #waiting: Work<Device>[] = [];
  #device: Device | undefined;
  #held: Promise<void> | undefined;

  /** Whether all that was asked for is done. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && !this.#held;
  }

  /** What work waits for to happen first, if any does; afterwards, other work may wait for more. */
  get held(): Promise<void> | undefined {
    return this.#held;
  }

  /** Throws what the work throws where it is done at once. */
  push(work: Work<Device>): void {
    const first = this.isIdle;
    const before = first && this.#device ? work.before?.(this.#device) : undefined;
    if (first && this.#device && !before) return this.#hold(work.run(this.#device));
    this.#waiting.push(work);
    this.#hold(before);
  }

  /** Works off what waits. */
  open(device: Device): void {
    this.#device = device;
    this.#workOff();
  }

  /** From now on all work waits for another device. */
  close(): void {
    this.#device = undefined;
  }

  /** Gives up what waits. */
  failAll(error: Error): void {
    for (const { fail } of this.#waiting.splice(0)) fail(error);
  }

  #workOff(): void {
    while (this.#device && !this.#held && this.#waiting.length > 0) {
      const [work] = this.#waiting;
      try {
        const before = work.before?.(this.#device);
        if (before) return this.#hold(before);
        this.#hold(work.run(this.#device));
      } catch (error) {
        work.fail(error as Error);
      }
      this.#waiting.shift();
    }
  }

  #hold(first: Promise<void> | undefined | void): void {
    if (!first) return;
    this.#held = first.then(() => {
      this.#held = undefined;
      this.#workOff();
    });
  }
}

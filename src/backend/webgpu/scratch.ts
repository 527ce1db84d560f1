/**
 * Memory for intermediate results, and textures to read copies from. Programs run one after another on one queue, so all of them
 * share it.
 *
 * @module
 */

/** What is shared by all programs of a device, by length. */
export class Arena<T> {
  readonly #things: { readonly thing: T; readonly length: number }[] = [];

  /** @param make makes one more of the given length */
  constructor(private readonly make: (length: number) => T) {}

  /** One thing for each length, all different; the arena grows where it has none that fits. */
  assign(lengths: readonly number[]): T[] {
    const free = [...this.#things].sort((a, b) => a.length - b.length);
    const result = new Array<T>(lengths.length);
    const longestFirst = lengths.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a]);
    for (const index of longestFirst) {
      const length = lengths[index];
      const fit = free.findIndex((each) => each.length >= length);
      if (fit >= 0) result[index] = free.splice(fit, 1)[0].thing;
      else this.#things.push({ thing: result[index] = this.make(length), length });
    }
    return result;
  }
}

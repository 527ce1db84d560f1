/**
 * Memory for intermediate results, and textures to read copies from. Programs run one after another on one queue, so all of them
 * share it.
 *
 * @module
 */

/** What is shared by all programs of a device, by length: as many things as the program with most of them needs, none longer than any needs. */
export class Arena<T> {
  readonly #things: { readonly thing: T; readonly length: number }[] = [];
  #version = 0;

  /** @param maker makes one more of the given length, and drops one that a longer one replaces */
  constructor(private readonly maker: { make(length: number): T; drop(thing: T): void }) {}

  /** Changes when things are replaced: whoever was assigned some before has to ask again, and may. */
  get version(): number {
    return this.#version;
  }

  /** One thing for each length, all different. Where none that is left fits, a longer one replaces the longest of those. */
  assign(lengths: readonly number[]): T[] {
    const free = [...this.#things].sort((a, b) => a.length - b.length);
    const result = new Array<T>(lengths.length);
    const longestFirst = lengths.map((_, index) => index).sort((a, b) => lengths[b] - lengths[a]);
    for (const index of longestFirst) {
      const length = lengths[index];
      const fit = free.findIndex((each) => each.length >= length);
      result[index] = fit >= 0 ? free.splice(fit, 1)[0].thing : this.#grow(length, free.pop());
    }
    return result;
  }

  /** Drops all. */
  clear(): void {
    for (const { thing } of this.#things.splice(0)) this.maker.drop(thing);
    this.#version++;
  }

  #grow(length: number, short: { readonly thing: T } | undefined): T {
    const thing = this.maker.make(length);
    this.#things.push({ thing, length });
    if (short) {
      this.#things.splice(this.#things.findIndex((each) => each.thing === short.thing), 1);
      this.maker.drop(short.thing);
      this.#version++;
    }
    return thing;
  }
}

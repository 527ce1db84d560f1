/**
 * A table that forgets what was not used for long.
 *
 * @module
 */

/** Values by text, of which the `capacity` used last are kept. */
export class Recent<T> {
  readonly #values = new Map<string, T>(); // from the one used longest ago to the one used last

  constructor(private readonly capacity: number) {}

  /** The value of a key, made where it is not known (any more). */
  get(key: string, make: () => T): T {
    let value = this.#values.get(key);
    if (value !== undefined) this.#values.delete(key);
    else value = make();
    this.#values.set(key, value);
    if (this.#values.size > this.capacity) this.#values.delete(this.#values.keys().next().value!);
    return value;
  }

  clear(): void {
    this.#values.clear();
  }
}

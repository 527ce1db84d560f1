/**
 * Many shards as one long row of token ids, of which any stretch can be read.
 *
 * @module
 */

import { type Batch, ignoredTarget } from "../train/data.ts";
import type { Shard } from "./shard.ts";

/** A stretch of ids, and what is known of each. */
export interface Stretch {
  readonly ids: Uint32Array<ArrayBuffer>;
  /** 1 for those that are learned. */
  readonly learned: Uint8Array<ArrayBuffer>;
  /** The number of the document of each, counted from 0 in the stretch; absent where nobody asked. */
  readonly documents?: Uint32Array<ArrayBuffer>;
}

/** How {@linkcode TokenRow.batch} cuts. */
export interface CutOptions {
  readonly sequenceLength: number;
  /** Whether attention stays within documents. Targets across their ends then do not count. */
  readonly documentMask?: boolean;
}

/** A row of ids in shards, or a part of one. Memory does not grow with its length. */
export class TokenRow {
  readonly #shards: readonly Shard[];
  /** Where each shard begins. */
  readonly #offsets: readonly number[];
  readonly #start: number;
  /** Ids in it. */
  readonly length: number;

  constructor(shards: readonly Shard[], [start, end]: readonly [number, number] = [0, Infinity]) {
    this.#shards = shards;
    let total = 0;
    this.#offsets = shards.map(({ entry }) => (total += entry.tokens) - entry.tokens);
    this.#start = start;
    this.length = Math.min(end, total) - start;
  }

  /** Whether some ids of its shards are not learned. */
  get masked(): boolean {
    return this.#shards.some(({ entry }) => entry.masked);
  }

  /** The part between two places. */
  part(start: number, end: number): TokenRow {
    return new TokenRow(this.#shards, [this.#start + start, this.#start + end]);
  }

  /** Sequences of so many targets that lie in it one behind the other, each with one id more that it shares with the next. */
  sequences(sequenceLength: number): number {
    return Math.max(0, Math.floor((this.length - 1) / sequenceLength));
  }

  /** Ids from a place on. Throws a RangeError where there are not so many. */
  async read(start: number, length: number, { documents = false }: { readonly documents?: boolean } = {}): Promise<Stretch> {
    if (!(start >= 0 && length >= 0 && start + length <= this.length)) {
      throw new RangeError(`Cannot read ${length} tokens from place ${start} on: there are ${this.length}`);
    }
    const ids = new Uint32Array(length);
    const learned = new Uint8Array(length).fill(1);
    const numbers = documents ? new Uint32Array(length) : undefined;
    let number = 0;
    for (let at = 0; at < length;) {
      const { shard, from, count } = this.#locate(this.#start + start + at, length - at);
      ids.set(await shard.ids(from, count), at);
      const mask = await shard.learned(from, count);
      if (mask) learned.set(mask, at);
      if (numbers) {
        number = numberDocuments(await shard.starts(), { from, numbers: numbers.subarray(at, at + count), number, at });
      }
      at += count;
    }
    return { ids, learned, ...(numbers ? { documents: numbers } : {}) };
  }

  #locate(place: number, wanted: number): { shard: Shard; from: number; count: number } {
    let [low, high] = [0, this.#shards.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#offsets[middle] <= place) low = middle;
      else high = middle - 1;
    }
    const shard = this.#shards[low];
    const from = place - this.#offsets[low];
    return { shard, from, count: Math.min(wanted, shard.entry.tokens - from) };
  }

  /** Sequence `index` as one row of a batch. */
  async sequence(index: number, { sequenceLength, documentMask }: CutOptions): Promise<Omit<Batch, "shape">> {
    const stretch = await this.read(index * sequenceLength, sequenceLength + 1, { documents: documentMask });
    return rowOf(stretch, sequenceLength);
  }
}

/** Numbers documents that begin in a shard on from `number`, which is that of the id before. Returns that of the last id. */
function numberDocuments(
  starts: Uint32Array,
  { from, numbers, number, at }: { from: number; numbers: Uint32Array; number: number; at: number },
): number {
  let [low, high] = [0, starts.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] < from) low = middle + 1;
    else high = middle;
  }
  let current = number;
  for (let place = 0; place < numbers.length; place++) {
    if (starts[low] === from + place) {
      low++;
      if (at + place > 0) current++;
    }
    numbers[place] = current;
  }
  return current;
}

/** Inputs and targets of a stretch of `sequenceLength + 1` ids, or of fewer, where targets at the end do not count. */
export function rowOf({ ids, learned, documents }: Stretch, sequenceLength: number): Omit<Batch, "shape"> {
  const inputs = new Uint32Array(sequenceLength);
  const targets = new Uint32Array(sequenceLength).fill(ignoredTarget);
  inputs.set(ids.subarray(0, Math.min(sequenceLength, ids.length)));
  for (let at = 0; at + 1 < ids.length; at++) {
    const counts = learned[at + 1] === 1 && (!documents || documents[at] === documents[at + 1]);
    if (counts) targets[at] = ids[at + 1];
  }
  if (!documents) return { inputs, targets };
  const numbers = new Uint32Array(sequenceLength).fill(documents.at(-1)! + 1);
  numbers.set(documents.subarray(0, Math.min(sequenceLength, documents.length)));
  return { inputs, targets, documents: numbers };
}

/** Rows of one length as a batch. */
export function joinRows(rows: readonly Omit<Batch, "shape">[], sequenceLength: number): Batch {
  const join = (part: (row: Omit<Batch, "shape">) => Uint32Array) => {
    const whole = new Uint32Array(rows.length * sequenceLength);
    rows.forEach((row, index) => whole.set(part(row), index * sequenceLength));
    return whole;
  };
  return {
    inputs: join(({ inputs }) => inputs),
    targets: join(({ targets }) => targets),
    ...(rows[0]?.documents ? { documents: join(({ documents }) => documents!) } : {}),
    shape: [rows.length, sequenceLength],
  };
}

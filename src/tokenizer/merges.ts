/**
 * Merging of pairs of tokens, the heart of byte-pair encoding.
 *
 * @module
 */

/** Ids that are added one after another. */
export class IdList {
  #ids: Uint32Array<ArrayBuffer>;
  length = 0;

  constructor(room: number) {
    this.#ids = new Uint32Array(Math.max(16, room));
  }

  push(id: number): void {
    if (this.length === this.#ids.length) this.#grow(1);
    this.#ids[this.length++] = id;
  }

  pushAll(ids: ArrayLike<number>): void {
    const count = ids.length;
    if (this.length + count > this.#ids.length) this.#grow(count);
    for (let i = 0; i < count; i++) this.#ids[this.length++] = ids[i];
  }

  /** The ids so far, in memory of their own. */
  toArray(): Uint32Array<ArrayBuffer> {
    return this.#ids.slice(0, this.length);
  }

  #grow(count: number): void {
    const larger = new Uint32Array(Math.max(2 * this.#ids.length, this.length + count));
    larger.set(this.#ids);
    this.#ids = larger;
  }
}

/** A pair of tokens, and the token that they become. */
export interface Merge {
  readonly left: number;
  readonly right: number;
  readonly product: number;
}

/** What is no rank: larger than all. */
const none = 0x7fffffff;
/** A word of more symbols is merged with a queue. */
const shortWord = 48;

/** The pairs that are merged, the first of a list first. */
export class MergeTable {
  // A table with open addressing: the entry of a pair is the first from its hash on that holds it.
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #ranks: Int32Array;
  readonly #products: Int32Array;
  readonly #mask: number;
  readonly #scratch = new Int32Array(shortWord);

  constructor(merges: readonly Merge[]) {
    const size = 2 ** Math.ceil(Math.log2(2 * merges.length + 2));
    this.#mask = size - 1;
    [this.#left, this.#right, this.#ranks, this.#products] = Array.from({ length: 4 }, () => new Int32Array(size).fill(-1));
    merges.forEach(({ left, right, product }, rank) => {
      const at = this.#entry(left, right); // of a pair that is listed twice the last one counts
      [this.#left[at], this.#right[at], this.#ranks[at], this.#products[at]] = [left, right, rank, product];
    });
  }

  /** The entry of a pair, or the one where it would be. */
  #entry(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let at = hash & this.#mask;
    while (this.#left[at] !== -1 && (this.#left[at] !== left || this.#right[at] !== right)) at = (at + 1) & this.#mask;
    return at;
  }

  #rank(left: number, right: number): number {
    const rank = this.#ranks[this.#entry(left, right)];
    return rank < 0 ? none : rank;
  }

  /** Merges the first `count` symbols, in place: always the pair of the lowest rank, the leftmost of equals. Returns how many are left. */
  merge(symbols: Int32Array, count: number): number {
    return count <= shortWord ? this.#mergeShort(symbols, count) : this.#mergeLong(symbols, count);
  }

  #mergeShort(symbols: Int32Array, count: number): number {
    const ranks = this.#scratch; // of the pair that begins there
    for (let i = 0; i + 1 < count; i++) ranks[i] = this.#rank(symbols[i], symbols[i + 1]);
    while (count > 1) {
      let [best, at] = [none, 0];
      for (let i = 0; i + 1 < count; i++) if (ranks[i] < best) [best, at] = [ranks[i], i];
      if (best === none) break;
      symbols[at] = this.#products[this.#entry(symbols[at], symbols[at + 1])];
      symbols.copyWithin(at + 1, at + 2, count);
      ranks.copyWithin(at + 1, at + 2, count - 1);
      count--;
      if (at > 0) ranks[at - 1] = this.#rank(symbols[at - 1], symbols[at]);
      if (at + 1 < count) ranks[at] = this.#rank(symbols[at], symbols[at + 1]);
    }
    return count;
  }

  /** With a queue of pairs and a list of neighbours, so that the time is n log n. */
  #mergeLong(symbols: Int32Array, count: number): number {
    const next = Int32Array.from({ length: count }, (_, i) => i + 1);
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    const queue = new PairQueue(count);
    const offer = (at: number): void => {
      if (at < 0 || next[at] >= count) return;
      const rank = this.#rank(symbols[at], symbols[next[at]]);
      if (rank !== none) queue.push(rank, at);
    };
    for (let i = 0; i + 1 < count; i++) offer(i);
    while (queue.pop()) {
      const { rank, at } = queue;
      const right = next[at];
      if (symbols[at] < 0 || right >= count || this.#rank(symbols[at], symbols[right]) !== rank) continue; // merged meanwhile
      symbols[at] = this.#products[this.#entry(symbols[at], symbols[right])];
      symbols[right] = -1;
      next[at] = next[right];
      if (next[at] < count) previous[next[at]] = at;
      offer(previous[at]);
      offer(at);
    }
    let kept = 0;
    for (let i = 0; i < count; i = next[i]) symbols[kept++] = symbols[i];
    return kept;
  }
}

/** Positions by rank, then from left to right: a heap of numbers that hold both. */
class PairQueue {
  #keys: Float64Array;
  #length = 0;
  /** What was popped last. */
  rank = 0;
  at = 0;

  constructor(room: number) {
    this.#keys = new Float64Array(room);
  }

  push(rank: number, at: number): void {
    if (this.#length === this.#keys.length) {
      const larger = new Float64Array(2 * this.#length);
      larger.set(this.#keys);
      this.#keys = larger;
    }
    const key = rank * 2 ** 31 + at;
    let here = this.#length++;
    while (here > 0) {
      const parent = (here - 1) >> 1;
      if (this.#keys[parent] <= key) break;
      this.#keys[here] = this.#keys[parent];
      here = parent;
    }
    this.#keys[here] = key;
  }

  /** Takes the smallest, as `rank` and `at`; false where there is none. */
  pop(): boolean {
    if (this.#length === 0) return false;
    const keys = this.#keys;
    this.rank = Math.floor(keys[0] / 2 ** 31);
    this.at = keys[0] - this.rank * 2 ** 31;
    const last = keys[--this.#length];
    let here = 0;
    for (;;) {
      let child = 2 * here + 1;
      if (child >= this.#length) break;
      if (child + 1 < this.#length && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= last) break;
      keys[here] = keys[child];
      here = child;
    }
    keys[here] = last;
    return true;
  }
}

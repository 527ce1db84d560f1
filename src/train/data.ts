/**
 * From a long row of tokens to the batches of a step. A batch depends on the seed and the step alone, so a resumed run sees the batches
 * that an uninterrupted one would have seen.
 *
 * @module
 */

import { checkOptions, seed as anySeed, whole } from "../core/options.ts";

/**
 * Target that does not count, as it stands in a `Uint32Array`: the bits of -100.
 *
 * @example
 * ```ts
 * import { ignoredTarget } from "@hestia/hestia";
 * console.assert(Uint32Array.of(-100)[0] === ignoredTarget);
 * ```
 */
export const ignoredTarget: number = 2 ** 32 - 100;

/** Token ids of a step. */
export interface Batch {
  /** What the model reads: `[batchSize, sequenceLength]`, row-major. */
  readonly inputs: Uint32Array<ArrayBuffer>;
  /** What follows each of the inputs, in the same shape; {@linkcode ignoredTarget} where a prediction does not count. */
  readonly targets: Uint32Array<ArrayBuffer>;
  /**
   * The document that each input belongs to, in the same shape: any numbers that differ between neighbouring documents of a sequence.
   * Attention then stays within a document. Without it, a sequence is one context.
   */
  readonly documents?: Uint32Array<ArrayBuffer>;
  /** `[batchSize, sequenceLength]`. */
  readonly shape: readonly [batchSize: number, sequenceLength: number];
}

/** A batch as it is given: targets that do not count may also be -100, in an `Int32Array`. */
export interface GivenBatch extends Omit<Batch, "targets"> {
  /** What follows each of the inputs, in the same shape. */
  readonly targets: Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

/** Size of a batch. */
export interface BatchSize {
  /** Sequences in a batch, at least 1. */
  readonly batchSize: number;
  /** Tokens predicted in one sequence, at least 1. A sequence takes one token more from the text. */
  readonly sequenceLength: number;
}

/**
 * Cut the end off a text, to be held out of training.
 *
 * @param tokens The whole text.
 * @param heldOutFraction Share of the tokens held out, 0 to 1.
 * @returns Two views of `tokens`; nothing is copied.
 *
 * @example
 * ```ts
 * import { splitTokens } from "@hestia/hestia";
 * const { training, heldOut } = splitTokens(new TextEncoder().encode("0123456789"), 0.1);
 * console.log(training.length, heldOut.length); // 9, 1
 * ```
 */
export function splitTokens<T extends Uint8Array | Uint32Array>(tokens: T, heldOutFraction: number): { training: T; heldOut: T } {
  if (!(heldOutFraction >= 0 && heldOutFraction <= 1)) {
    throw new RangeError(`Cannot split tokens: heldOutFraction must be from 0 to 1, got ${heldOutFraction}`);
  }
  const cut = tokens.length - Math.round(tokens.length * heldOutFraction);
  return { training: tokens.subarray(0, cut) as T, heldOut: tokens.subarray(cut) as T };
}

/** What batches are drawn for. */
const purposes = ["pretrain", "quantize", "calibration"] as const;

/** Seed of the batches of one purpose in the run of a seed: far from those of other purposes, and of other runs. */
export function seedFor(seed: number, purpose: typeof purposes[number]): number {
  return (seed + 1_000_000 * purposes.indexOf(purpose)) >>> 0;
}

/**
 * The batch of one step: windows of the text at places drawn uniformly, with replacement, by a counter-based generator.
 *
 * @param tokens Text to draw from, at least `sequenceLength + 1` tokens.
 * @param options Batch size, seed (an integer from 0 to 2³² - 1) and step (counted from 0).
 * @throws {RangeError} Where the text is shorter than one sequence.
 *
 * @example
 * ```ts
 * import { batchAt } from "@hestia/hestia";
 * const tokens = new TextEncoder().encode("Call me Ishmael. Some years ago");
 * const { inputs, targets, shape } = batchAt(tokens, { batchSize: 2, sequenceLength: 8, seed: 1, step: 0 });
 * console.assert(shape[0] === 2 && inputs.length === 16 && inputs[1] === targets[0]);
 * ```
 */
export function batchAt(
  tokens: ArrayLike<number>,
  options: BatchSize & { readonly seed: number; readonly step: number },
): Batch {
  const { batchSize, sequenceLength, seed, step } = options;
  checkOptions("Cannot cut a batch by the", options, {
    batchSize: whole(0),
    sequenceLength: whole(0),
    seed: anySeed,
    step: whole(0),
  });
  const places = tokens.length - sequenceLength;
  const starts = Array.from({ length: batchSize }, (_, row) => Math.floor(uniform(seed, step, row) * places));
  return cutBatch(tokens, starts, sequenceLength);
}

/**
 * Batches without end, from step `start` on: `batchAt` for each step in turn.
 *
 * @throws {RangeError} Where the text is shorter than one sequence.
 *
 * @example
 * ```ts
 * import { batches } from "@hestia/hestia";
 * const tokens = new TextEncoder().encode("Call me Ishmael. Some years ago");
 * for (const { shape } of batches(tokens, { batchSize: 2, sequenceLength: 8, seed: 1 }).take(3)) console.log(shape); // [2, 8]
 * ```
 */
export function* batches(
  tokens: ArrayLike<number>,
  options: BatchSize & { readonly seed: number; readonly start?: number },
): Generator<Batch, never> {
  for (let step = options.start ?? 0;; step++) yield batchAt(tokens, { ...options, step });
}

/**
 * Batches of consecutive windows that do not overlap, from the beginning of the text: what an evaluation averages over. Ends with the text
 * or after `limit` batches; windows that do not fill a batch, and tokens that do not fill a window, are left out. A text that has fewer
 * windows than `batchSize` gives one smaller batch.
 *
 * @throws {RangeError} Where the text is shorter than one sequence.
 *
 * @example
 * ```ts
 * import { windows } from "@hestia/hestia";
 * const tokens = new TextEncoder().encode("Call me Ishmael. Some years ago");
 * console.log([...windows(tokens, { batchSize: 1, sequenceLength: 8 })].length); // 3
 * ```
 */
export function* windows(
  tokens: ArrayLike<number>,
  { batchSize, sequenceLength, limit = Infinity }: BatchSize & { readonly limit?: number },
): Generator<Batch, void> {
  checkOptions("Cannot cut windows by the", { batchSize, sequenceLength }, { batchSize: whole(0), sequenceLength: whole(0) });
  const available = Math.max(1, Math.floor((tokens.length - 1) / sequenceLength));
  const rows = Math.min(batchSize, available);
  const count = Math.min(limit, Math.floor(available / rows));
  for (let batch = 0; batch < count; batch++) {
    const starts = Array.from({ length: rows }, (_, row) => (batch * rows + row) * sequenceLength);
    yield cutBatch(tokens, starts, sequenceLength);
  }
}

/** Batches one after another: at once where they are there, promised where they come from a file or a network. */
export interface BatchReader {
  next(): IteratorResult<GivenBatch, unknown> | Promise<IteratorResult<GivenBatch, unknown>>;
  /** Tells the source that no more are wanted. */
  close(): Promise<void>;
}

/**
 * Takes at most `count` batches. One that is promised is asked for while the one before is at work, so that nobody waits for it.
 */
export function readBatches(data: Iterable<GivenBatch> | AsyncIterable<GivenBatch>, count: number): BatchReader {
  if (!(Symbol.asyncIterator in data)) {
    const iterator = data[Symbol.iterator]();
    return { next: () => iterator.next(), close: async () => void await iterator.return?.() };
  }
  const iterator = data[Symbol.asyncIterator]();
  let asked = 0;
  const ask = () => {
    if (asked++ >= count) return undefined;
    const next = iterator.next();
    next.catch(() => {}); // whoever takes it hears of it
    return next;
  };
  let ahead = ask();
  return {
    async next() {
      const next = await (ahead ?? iterator.next());
      ahead = next.done ? undefined : ask();
      return next;
    },
    close: async () => void await iterator.return?.(),
  };
}

function cutBatch(tokens: ArrayLike<number>, starts: readonly number[], sequenceLength: number): Batch {
  if (starts.length < 1 || sequenceLength < 1 || tokens.length <= sequenceLength) {
    throw new RangeError(
      `Cannot cut ${starts.length} sequences of ${sequenceLength} tokens: wanted at least one of each and a text of at least ` +
        `${sequenceLength + 1} tokens, got ${tokens.length}`,
    );
  }
  const inputs = new Uint32Array(starts.length * sequenceLength);
  const targets = new Uint32Array(inputs.length);
  const isChecked = tokens instanceof Uint32Array || tokens instanceof Uint16Array || tokens instanceof Uint8Array;
  for (const [row, start] of starts.entries()) {
    if (!isChecked) requireIds(tokens, { from: start, to: start + sequenceLength + 1 }, "Cannot make a batch");
    for (let at = 0; at < sequenceLength; at++) {
      inputs[row * sequenceLength + at] = tokens[start + at];
      targets[row * sequenceLength + at] = tokens[start + at + 1];
    }
  }
  return { inputs, targets, shape: [starts.length, sequenceLength] };
}

/** Throws a RangeError unless the ids of a range are integers from 0 on, and below `vocabularySize`; or `ignored`. */
export function requireIds(
  ids: ArrayLike<number>,
  { from = 0, to = ids.length, vocabularySize = 2 ** 32, ignored = 0 }: {
    readonly from?: number;
    readonly to?: number;
    readonly vocabularySize?: number;
    readonly ignored?: number;
  },
  action: string,
): void {
  for (let at = from; at < to; at++) {
    const id = ids[at];
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize || id === ignored) continue;
    const also = ignored === 0 ? "" : `, or ${ignored} for a target that does not count`;
    throw new RangeError(`${action}: the token id ${id} at ${at}, wanted integers from 0 to ${vocabularySize - 1}${also}`);
  }
}

/** A batch as everything behind it takes it: of tokens of a vocabulary, in the lengths of its shape, all in arrays of uint32. */
export function checkedBatch({ inputs, targets, documents, shape }: GivenBatch, vocabularySize: number, action: string): Batch {
  const count = shape.length === 2 && shape.every((length) => length >= 1) ? shape[0] * shape[1] : NaN;
  for (const [what, { length }] of Object.entries({ inputs, targets, documents: documents ?? inputs })) {
    if (length === count) continue;
    throw new RangeError(
      `${action}: a batch of [${shape}] has ${length} ${what}, wanted [batchSize, sequenceLength] and as many of each`,
    );
  }
  const isSigned = !(targets instanceof Uint32Array);
  requireIds(inputs, { vocabularySize }, action);
  requireIds(targets, { vocabularySize, ignored: isSigned ? -100 : ignoredTarget }, `${action} (targets)`);
  if (documents && !(documents instanceof Uint32Array)) requireIds(documents, {}, `${action} (documents)`);
  const unsigned = (ids: GivenBatch["targets"]) => ids instanceof Uint32Array ? ids : Uint32Array.from(ids as ArrayLike<number>);
  return {
    inputs: unsigned(inputs),
    targets: unsigned(targets),
    ...documents ? { documents: unsigned(documents) } : {},
    shape,
  };
}

/** Throws a RangeError where no target of a batch counts. */
export function requireTarget({ targets }: Batch, action: string): void {
  if (targets.some((target) => target !== ignoredTarget)) return;
  throw new RangeError(`${action}: no target of the batch counts, so that it has no loss; leave it out`);
}

/** A number in [0, 1) that looks random and depends on the three counters alone. */
function uniform(seed: number, step: number, row: number): number {
  return mix(mix(mix(seed) ^ step) ^ row) / 2 ** 32;
}

/** A bijection of 32-bit integers in which every input bit moves every output bit (the finalizer of MurmurHash3, Appleby 2011). */
function mix(value: number): number {
  let bits = (value + 0x9e3779b9) >>> 0; // so that 0 does not stay 0
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

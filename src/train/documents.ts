/**
 * From documents to sequences, as the release of 2026 packs them: for training, for its perplexity, and for its calibration.
 *
 * @module
 */

import { type Batch, requireIds } from "./data.ts";

/** Token ids of a document; null for an empty text, which is passed over. A text without tokens is `[]`. */
export type TokenDocument = ArrayLike<number> | null;

/** Settings of `packDocuments`. */
export interface PackingOptions {
  /** Tokens of a sequence, at least 1. */
  readonly sequenceLength: number;
  /** Follows each document; nothing does where it is absent. */
  readonly endToken?: number;
  /** Ends after so many sequences; none by default. */
  readonly maxSequences?: number;
}

/**
 * Sequences of one length for training: documents one after another, each followed by the end token, cut wherever a sequence is full. The
 * rest that fills none is dropped.
 *
 * @throws RangeError for a length below 1
 *
 * @example
 * ```ts
 * import { packDocuments } from "@hestia/hestia";
 * console.log(packDocuments([[5, 6, 7], null, [8]], { sequenceLength: 3, endToken: 1 })); // [5, 6, 7], [1, 8, 1]
 * ```
 */
export function packDocuments(
  documents: Iterable<TokenDocument>,
  { sequenceLength, endToken, maxSequences = Infinity }: PackingOptions,
): number[][] {
  checkLength(sequenceLength);
  const sequences: number[][] = [];
  let open: number[] = [];
  for (const tokens of withEnds(documents, endToken)) {
    for (const token of tokens) {
      if (sequences.length >= maxSequences) return sequences;
      open.push(token);
      if (open.length < sequenceLength) continue;
      sequences.push(open);
      open = [];
    }
  }
  return sequences;
}

/** Settings of `packWholeDocuments`. */
export interface WholePackingOptions {
  /** Tokens of a sequence at most. A document that is longer, its end token included, is left out. */
  readonly sequenceLength: number;
  /** Follows each document. */
  readonly endToken: number;
  /** Begins each sequence; it is not counted where lengths are compared. */
  readonly beginToken?: number;
}

/**
 * Sequences of whole documents for the perplexity of the release: each takes documents as long as they fit, one after another. Its first
 * document begins a new sequence where it would not fit, which leaves a sequence of the begin token alone where it is that long.
 *
 * @throws RangeError for a length below 1
 *
 * @example
 * ```ts
 * import { packWholeDocuments } from "@hestia/hestia";
 * console.log(packWholeDocuments([[5, 6], [7], [8, 9]], { sequenceLength: 5, endToken: 1 })); // [5, 6, 1, 7, 1], [8, 9, 1]
 * ```
 */
export function packWholeDocuments(
  documents: Iterable<TokenDocument>,
  { sequenceLength, endToken, beginToken }: WholePackingOptions,
): number[][] {
  checkLength(sequenceLength);
  const empty = beginToken === undefined ? [] : [beginToken];
  requireIds(empty, {}, "Cannot pack documents");
  const sequences: number[][] = [];
  let open = [...empty];
  for (const tokens of withEnds(documents, endToken)) {
    if (tokens.length > sequenceLength) continue;
    if (open.length > 0 && open.length + tokens.length > sequenceLength) {
      sequences.push(open);
      open = [...empty];
    }
    open.push(...tokens);
  }
  if (open.length > empty.length) sequences.push(open);
  return sequences;
}

/**
 * Batches of sequences of equal length, of which the first `sequenceLength` tokens count: what the release calibrates on. The last batch may have
 * fewer rows.
 *
 * @param sequences token ids, at least two each
 *
 * @example
 * ```ts
 * import { recipes, sequenceBatches } from "@hestia/hestia";
 * const batches = sequenceBatches([[5, 6, 7], [8, 9, 5]], recipes["hestia-2026"].calibration);
 * console.log(batches.length, batches[0].shape); // 2, [1, 2]
 * // calibrate(model, batches, recipes["hestia-2026"].calibration) measures as the release does
 * ```
 */
export function sequenceBatches(
  sequences: readonly ArrayLike<number>[],
  { batches, batchSize, sequenceLength }: Readonly<Record<"batches" | "batchSize" | "sequenceLength", number>>,
): Batch[] {
  const rows = sequences.slice(0, batches * batchSize).map((tokens) => Array.from(tokens).slice(0, sequenceLength));
  const count = Math.ceil(rows.length / batchSize);
  return Array.from({ length: count }, (_, batch) => batchOf(rows.slice(batch * batchSize, (batch + 1) * batchSize)));
}

/** A batch of sequences of equal length: each token is predicted from those before it. */
export function batchOf(sequences: readonly (readonly number[])[]): Batch {
  const length = sequences[0].length - 1;
  return {
    inputs: Uint32Array.from(sequences.flatMap((tokens) => tokens.slice(0, -1))),
    targets: Uint32Array.from(sequences.flatMap((tokens) => tokens.slice(1))),
    shape: [sequences.length, length],
  };
}

function* withEnds(documents: Iterable<TokenDocument>, endToken: number | undefined): Generator<number[]> {
  for (const document of documents) {
    if (document === null) continue;
    const tokens = [...Array.from(document), ...(endToken === undefined ? [] : [endToken])];
    requireIds(tokens, {}, "Cannot pack documents");
    yield tokens;
  }
}

function checkLength(sequenceLength: number): void {
  if (Number.isInteger(sequenceLength) && sequenceLength >= 1) return;
  throw new RangeError(`Cannot pack documents into sequences of ${sequenceLength} tokens: wanted a whole number of at least 1`);
}

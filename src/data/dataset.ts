/**
 * Tokenized text as batches: shuffled, mixed, and the same for a step whenever it is asked for.
 *
 * @module
 */

import { type Batch, type BatchSize, ignoredTarget } from "../train/data.ts";
import { mixture, permuted } from "./order.ts";
import { type CutOptions, joinRows, rowOf, type TokenRow } from "./store.ts";

/** What was found in a source. */
export interface SourceReport {
  /** As it was given. */
  readonly path: string;
  /** Files of a known kind. */
  readonly files: number;
  /** Bytes of the files, as they are stored. */
  readonly bytes: number;
  /** Documents that have text. */
  readonly documents: number;
  /** Documents without text, which are passed over. */
  readonly empty: number;
  /** Rows that hold no document, which are passed over. */
  readonly corrupt: number;
  /** Ids to train on. */
  readonly trainingTokens: number;
  /** Ids that are held out. */
  readonly heldOutTokens: number;
  /** The first rows that hold no document: file, row, and what is wrong. */
  readonly problems: readonly string[];
  /** How text was held out: whole documents by their hash, or the end of a source that has too few of them. */
  readonly heldOutBy: "document" | "end" | "nothing";
}

/** Which batch is wanted. */
export interface BatchOptions extends BatchSize {
  /** Decides the order of the sequences: an integer from 0 to 2³² - 1. */
  readonly seed: number;
  /** Cuts attention between documents, and leaves targets across their ends out; false by default. */
  readonly documentMask?: boolean;
}

/** Text that is held out of training, as windows in its order. */
export interface HeldOut {
  /** Ids in it. */
  readonly tokens: number;
  /** Whether some of them are not learned, as what a user says is not: `windows` knows which. */
  readonly masked: boolean;
  /** Ids from the beginning on, `limit` at most (all by default): what `heldOutLoss` takes. */
  ids(options?: { readonly limit?: number }): Promise<Uint32Array<ArrayBuffer>>;
  /**
   * Batches of consecutive windows that do not overlap, `limit` at most. Every id but the first is a target once; what the last window
   * lacks is filled up with targets that do not count, and the last batch may be smaller.
   */
  windows(options: BatchSize & { readonly limit?: number; readonly documentMask?: boolean }): AsyncGenerator<Batch, void>;
}

/** Tokenized text. It holds no file open, and no text in memory. */
export interface Dataset {
  /** A hash of the content, the tokenizer and the settings: where it is the same, so are all batches. */
  readonly key: string;
  /** Ids to train on, over all sources. */
  readonly trainingTokens: number;
  /** What is not trained on. */
  readonly heldOut: HeldOut;
  /** One for each source. */
  readonly sources: readonly SourceReport[];
  /** Sequences of an epoch: cut one behind the other, the ids behind the last one left out. */
  sequences(sequenceLength: number): number;
  /**
   * The batch of a step, counted from 0. It depends on the options alone. Sequences come in an order that is random and another in each
   * epoch, each once an epoch; with weights, each source has its own epochs. Where nothing of a sequence is learned, as within a long
   * question, the next one stands for it.
   *
   * @throws RangeError where a source has not one sequence
   */
  batchAt(options: BatchOptions & { readonly step: number }): Promise<Batch>;
  /** Batches without end, from step `start` on: `batchAt` for each step in turn. */
  batches(options: BatchOptions & { readonly start?: number }): AsyncGenerator<Batch, never>;
}

/** A source as its ids. */
export interface TokenSource {
  readonly report: SourceReport;
  readonly weight?: number;
  readonly training: TokenRow;
  readonly heldOut: TokenRow;
}

/** The data set of some sources. */
export function datasetOf(sources: readonly TokenSource[], key: string): Dataset {
  const weighted = sources.some(({ weight }) => weight !== undefined);
  const groups = weighted ? sources.map((source) => [source]) : [sources]; // each has epochs of its own
  const draw = mixture(weighted ? sources.map(({ weight }) => weight!) : [1]);
  const dataset: Dataset = {
    key,
    trainingTokens: sources.reduce((sum, { training }) => sum + training.length, 0),
    heldOut: heldOutOf(sources.map(({ heldOut }) => heldOut)),
    sources: sources.map(({ report }) => report),
    sequences: (length) => sources.reduce((sum, { training }) => sum + training.sequences(length), 0),
    async batchAt({ batchSize, step, ...options }) {
      checkNumbers({ batchSize, sequenceLength: options.sequenceLength, step: step + 1, seed: options.seed + 1 });
      groups.forEach((group) => checkSequences(group, options.sequenceLength));
      const rows = Array.from({ length: batchSize }, (_, row) => {
        const { source, index } = draw(step * batchSize + row);
        return drawnSequence(groups[source], index, options);
      });
      return joinRows(await Promise.all(rows), options.sequenceLength);
    },
    async *batches({ start = 0, ...options }) {
      for (let step = start;; step++) yield await dataset.batchAt({ ...options, step });
    },
  };
  return dataset;
}

/** Sequences without a target that counts, one behind the other, after which nobody looks on. */
const mostUnlearned = 4096;

/**
 * The sequence of a draw from sources that share their epochs. One in which nothing is learned, in the middle of a long question, gives
 * way to the next one that has a target.
 */
async function drawnSequence(
  sources: readonly TokenSource[],
  draw: number,
  { seed, ...options }: CutOptions & { readonly seed: number },
): Promise<Omit<Batch, "shape">> {
  const counts = sources.map(({ training }) => training.sequences(options.sequenceLength));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const first = permuted(draw % total, total, { seed, epoch: Math.floor(draw / total) });
  for (let tried = 0; tried < Math.min(total, mostUnlearned); tried++) {
    let place = (first + tried) % total;
    let source = 0;
    while (place >= counts[source]) place -= counts[source++];
    const row = await sources[source].training.sequence(place, options);
    if (row.targets.some((target) => target !== ignoredTarget)) return row;
  }
  const names = sources.map(({ report }) => `"${report.path}"`).join(", ");
  throw new RangeError(
    `Cannot draw from ${names}: ${
      Math.min(total, mostUnlearned)
    } sequences of ${options.sequenceLength} tokens on end have nothing ` +
      `that is learned; wanted what an assistant says, or longer sequences`,
  );
}

function heldOutOf(rows: readonly TokenRow[]): HeldOut {
  const filled = rows.filter(({ length }) => length > 0);
  const tokens = filled.reduce((sum, { length }) => sum + length, 0);
  return {
    tokens,
    masked: filled.some(({ masked }) => masked),
    async ids({ limit = Infinity } = {}) {
      const whole = new Uint32Array(Math.min(limit, tokens));
      let at = 0;
      for (const row of filled) {
        const count = Math.min(row.length, whole.length - at);
        whole.set((await row.read(0, count)).ids, at);
        at += count;
      }
      return whole;
    },
    async *windows({ batchSize, sequenceLength, limit = Infinity, documentMask }) {
      checkNumbers({ batchSize, sequenceLength });
      let [pending, told]: [Omit<Batch, "shape">[], number] = [[], 0];
      for (const row of filled) {
        for (let start = 0; start + 1 < row.length && told < limit; start += sequenceLength) {
          const length = Math.min(sequenceLength + 1, row.length - start);
          pending.push(rowOf(await row.read(start, length, { documents: documentMask }), sequenceLength));
          if (pending.length < batchSize) continue;
          yield joinRows(pending, sequenceLength);
          pending = [];
          told++;
        }
      }
      if (pending.length > 0 && told < limit) yield joinRows(pending, sequenceLength);
    },
  };
}

/** Throws a RangeError unless all are integers above 0. */
function checkNumbers(numbers: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(numbers)) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    const [got, least] = name === "step" || name === "seed" ? [value - 1, 0] : [value, 1];
    throw new RangeError(`Cannot cut a batch: ${name} must be an integer of at least ${least}, got ${got}`);
  }
}

/** Throws a RangeError where sources have not one sequence together. */
export function checkSequences(sources: readonly Pick<TokenSource, "training" | "report">[], sequenceLength: number): void {
  if (sources.some(({ training }) => training.sequences(sequenceLength) > 0)) return;
  const tokens = sources.reduce((sum, { training }) => sum + training.length, 0);
  const documents = sources.reduce((sum, { report }) => sum + report.documents, 0);
  const longest = sources.reduce((most, { training }) => Math.max(most, training.length), 0);
  throw new RangeError(
    `Cannot cut sequences of ${sequenceLength} tokens from ${sources.map(({ report }) => `"${report.path}"`).join(", ")}: ` +
      `${documents} documents have ${tokens} tokens to train on${
        sources.length > 1 ? `, ${longest} in one source at most` : ""
      }; ` +
      `wanted ${sequenceLength + 1}${longest > 1 ? `, or sequences of ${longest - 1} at most` : " or more"}`,
  );
}

/**
 * The text of a command, as batches to train on and as text that is held out: the novel, or files of any kind.
 *
 * @module
 */

import type { TextFormat } from "../data/encode.ts";
import { sha256 } from "../io/fingerprint.ts";
import type { EvaluatedText } from "../pipeline/evaluate.ts";
import { type Batch, batchAt, batches, type BatchSize, splitTokens } from "../train/data.ts";
import { checkCorpusLength, loadCorpus, PACKAGED_CORPUS } from "./corpus.ts";
import { openTexts, type TextsOptions } from "./data.ts";
import { UsageError } from "./errors.ts";
import { refusing } from "./models.ts";

/** Text for a model. */
export interface RunData {
  /** Changes where the text does, or how it is read. */
  readonly key: string;
  /**
   * Text that is not trained on, as `heldOutLoss` takes it, and its tokens: those of the first `maxBatches` batches at least. Throws a
   * UsageError where there are fewer than two.
   */
  heldOut(size: BatchSize & { readonly maxBatches?: number }): Promise<{ readonly text: EvaluatedText; readonly total: number }>;
  /** The batch of a step, counted from 0. */
  batchAt(options: BatchSize & { readonly seed: number; readonly step: number }): Promise<Batch>;
  /** Batches without end, from step `start` on. */
  batches(options: BatchSize & { readonly seed: number; readonly start?: number }): Iterable<Batch> | AsyncIterable<Batch>;
}

/** How text is opened. */
export interface RunDataOptions extends Omit<TextsOptions, "heldOutFraction"> {
  /** Share of the text that is held out, 0 to 1. */
  readonly heldOutFraction: number;
  /** Cut attention between documents, of files of documents. */
  readonly documentMask?: boolean;
}

/**
 * Files, folders, patterns and data sets of the Hub, as `openTexts` takes them; or the novel.
 *
 * @throws {UsageError} Where it cannot be read, or is too short for `sequenceLength`.
 */
export async function openRunData(typed: string, model: TextFormat, options: RunDataOptions): Promise<RunData> {
  if (typed === PACKAGED_CORPUS) return await openCorpus(typed, model, options);
  const { documentMask, ...reading } = options;
  const data = await openTexts(typed, model, reading);
  return {
    key: data.key,
    async heldOut({ maxBatches: limit = Infinity, ...size }) {
      const most = limit * size.batchSize * size.sequenceLength + 1;
      const total = enough(Math.min(data.heldOut.tokens, most), typed) - 1;
      const masked = data.heldOut.masked || documentMask === true;
      const text = masked ? data.heldOut.windows({ ...size, limit, documentMask }) : await data.heldOut.ids({ limit: most });
      return { text, total };
    },
    batchAt: (batch) => refusing(() => data.batchAt({ ...batch, documentMask })),
    batches: (batch) => data.batches({ ...batch, documentMask }),
  };
}

/**
 * A text as one long row of ids, from which windows are drawn at random places: what `data.corpus` names.
 *
 * @throws {UsageError} Where it cannot be read, or is too short for `sequenceLength`.
 */
export async function openCorpus(
  corpus: string,
  { tokenizer }: TextFormat,
  { heldOutFraction, sequenceLength }: Pick<RunDataOptions, "heldOutFraction" | "sequenceLength">,
): Promise<RunData> {
  const text = await loadCorpus(corpus);
  const { training, heldOut } = splitTokens(tokenizer.encode(text), heldOutFraction);
  if (sequenceLength !== undefined) checkCorpusLength({ training, heldOut }, { corpus, sequenceLength });
  return {
    key: await sha256([text]),
    heldOut({ batchSize, sequenceLength: length, maxBatches = Infinity }) {
      const text = heldOut.subarray(0, maxBatches * batchSize * length + 1);
      return Promise.resolve({ text, total: enough(text.length, corpus) - 1 });
    },
    batchAt: (batch) => Promise.resolve(batchAt(training, batch)),
    batches: (batch) => batches(training, batch),
  };
}

function enough(tokens: number, source: string): number {
  if (tokens >= 2) return tokens;
  throw new UsageError(`the text ${source} is too short: ${tokens} tokens are held out, wanted 2 or more`);
}

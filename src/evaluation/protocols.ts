/**
 * How a text is cut to measure perplexity: the four ways of counting that tables in the literature are made by.
 *
 * @module
 */

import { documentTargets } from "../pipeline/document_perplexity.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { packWholeDocuments } from "../train/documents.ts";
import type { TextModel } from "./log_likelihood.ts";

/** A row that a model reads, and the tokens of it that count. */
export interface CountedRow {
  readonly tokens: ArrayLike<number>;
  /** Places in `tokens` from 1 on, each predicted from what stands before it. */
  readonly counted: readonly number[];
  /** Bytes of UTF-8 that the counted tokens stand for. */
  readonly bytes: number;
}

/** Settings of a protocol. */
export interface ProtocolOptions {
  /** Tokens of a window. */
  readonly contextLength: number;
  /** Tokens from one window to the next, for `stride`. */
  readonly stride: number;
}

/** What a protocol is told of the model. */
export type ProtocolModel = Pick<TextModel, "tokenizer" | "beginToken" | "endTokens">;

/** A way to count. */
export interface Protocol {
  /** What it does, in one line for people. */
  describe(options: ProtocolOptions): string;
  /** Rows of documents, in their order. Throws a RangeError where the text is too short. */
  rows(model: ProtocolModel, documents: readonly string[], options: ProtocolOptions): CountedRow[];
}

/** What joins documents where a protocol wants one text. */
const between = "\n\n";

/** All of the text as one list of tokens, the begin token first where the model has one, with the bytes before each. */
function oneText(
  { tokenizer, beginToken }: ProtocolModel,
  documents: readonly string[],
): { ids: number[]; bytesBefore: Float64Array } {
  const text = Array.from(tokenizer.encode(documents.join(between)));
  const ids = beginToken === undefined ? text : [beginToken, ...text];
  return { ids, bytesBefore: bytesBefore(tokenizer, ids, new Set(beginToken === undefined ? [] : [beginToken])) };
}

/** Bytes of text before each token and behind the last one. A character of several tokens counts with its last one; `without` have none. */
function bytesBefore(tokenizer: Tokenizer, ids: readonly number[], without: ReadonlySet<number>): Float64Array {
  const encoder = new TextEncoder();
  const stream = tokenizer.stream();
  const sums = new Float64Array(ids.length + 1);
  ids.forEach((id, at) => {
    const text = without.has(id) ? "" : stream.push(id);
    sums[at + 1] = sums[at] + encoder.encode(text).length;
  });
  if (ids.length > 0) sums[ids.length] += encoder.encode(stream.end()).length;
  return sums;
}

/** The window of a text from `start` to `end`, of which the tokens from `first` on count. */
function windowOf(
  { ids, bytesBefore }: ReturnType<typeof oneText>,
  { start, end, first }: Readonly<Record<"start" | "end" | "first", number>>,
): CountedRow {
  return {
    tokens: ids.slice(start, end),
    counted: Array.from({ length: end - first }, (_, at) => first - start + at),
    bytes: bytesBefore[end] - bytesBefore[first],
  };
}

function needTokens(text: { readonly ids: readonly number[] }, wanted: number, why: string): void {
  if (text.ids.length >= wanted) return;
  throw new RangeError(`Cannot measure perplexity on ${text.ids.length} tokens: wanted ${wanted} or more, ${why}`);
}

const whole: Protocol = {
  describe: ({ contextLength }) =>
    `windows of ${contextLength} one after another, each from its own beginning; every token but the first counts`,
  rows(model, documents, { contextLength }) {
    const text = oneText(model, documents);
    needTokens(text, 2, "one to predict from and one to predict");
    const count = Math.ceil((text.ids.length - 1) / contextLength);
    return Array.from({ length: count }, (_, index) => {
      const start = index * contextLength;
      return windowOf(text, { start, end: Math.min(start + contextLength + 1, text.ids.length), first: start + 1 });
    });
  },
};

const stride: Protocol = {
  describe: ({ contextLength, stride }) =>
    `windows of ${contextLength}, ${stride} from one to the next; each token counts once, in the first window that predicts it`,
  rows(model, documents, { contextLength, stride }) {
    if (!(stride >= 1 && stride <= contextLength)) {
      throw new RangeError(`Cannot slide a window of ${contextLength} tokens by ${stride}: wanted 1 to ${contextLength}`);
    }
    const text = oneText(model, documents);
    needTokens(text, 2, "one to predict from and one to predict");
    const rows: CountedRow[] = [];
    for (let start = 0, reached = 0; reached < text.ids.length; start += stride) {
      const end = Math.min(start + contextLength, text.ids.length);
      const first = Math.max(reached, start + 1); // where windows do not overlap, none predicts the first token of each
      if (first < end) rows.push(windowOf(text, { start, end, first }));
      reached = end;
    }
    return rows;
  },
};

const llamaCpp: Protocol = {
  describe: ({ contextLength }) =>
    `chunks of ${contextLength} that begin with the begin token, where the model has one; the second half of each counts`,
  rows(model, documents, { contextLength }) {
    const text = oneText(model, documents);
    const first = Math.floor(contextLength / 2) + 1;
    return chunksOf(text, contextLength).map((tokens, index) => {
      const start = index * contextLength;
      const row = windowOf(text, { start, end: start + contextLength, first: start + first });
      return { ...row, tokens: withBegin(tokens, model.beginToken) };
    });
  },
};

function chunksOf(text: { readonly ids: readonly number[] }, contextLength: number): number[][] {
  needTokens(text, 2 * contextLength, `two chunks of ${contextLength}`);
  const count = Math.floor(text.ids.length / contextLength);
  return Array.from({ length: count }, (_, index) => text.ids.slice(index * contextLength, (index + 1) * contextLength));
}

/** The chunks of "llama.cpp", as the text has them, and the bytes of the tokens that count. */
export function textChunks(
  model: ProtocolModel,
  documents: readonly string[],
  options: ProtocolOptions,
): { chunks: Int32Array[]; bytes: number } {
  const chunks = chunksOf(oneText(model, documents), options.contextLength).map((tokens) => Int32Array.from(tokens));
  const rows = llamaCpp.rows(model, documents, options);
  return { chunks, bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Tokens of a chunk, the first of which is the begin token, where the model has one. */
export function withBegin(tokens: ArrayLike<number>, beginToken: number | undefined): number[] {
  return Array.from(tokens, (token, at) => at === 0 && beginToken !== undefined ? beginToken : token);
}

const hestia: Protocol = {
  describe: ({ contextLength }) =>
    `whole documents, packed into sequences of ${contextLength} at most; end tokens count, what follows them does not`,
  rows({ tokenizer, beginToken, endTokens = [] }, documents, { contextLength }) {
    const [endToken] = endTokens;
    if (endToken === undefined) throw new RangeError("Cannot pack documents: the model has no token that ends a text");
    const ids = documents.map((text) => text === "" ? null : tokenizer.encode(text));
    const sequences = packWholeDocuments(ids, { sequenceLength: contextLength, endToken, beginToken });
    const marks = new Set(beginToken === undefined ? [endToken] : [beginToken, endToken]);
    const rows = sequences.map((tokens) => {
      const sums = bytesBefore(tokenizer, tokens, marks);
      const counted = documentTargets(tokens, endToken).flatMap((target, at) => target < 0 ? [] : [at + 1]);
      return { tokens, counted, bytes: counted.reduce((sum, at) => sum + sums[at + 1] - sums[at], 0) };
    }).filter(({ counted }) => counted.length > 0);
    if (rows.length > 0) return rows;
    throw new RangeError(`Cannot pack ${documents.length} documents: none fits into ${contextLength} tokens`);
  },
};

/** Name of a protocol. */
export type ProtocolName = "whole" | "stride" | "llama.cpp" | "hestia";

/** All protocols: ours, the sliding window of the literature, llama.cpp's, and that of the release. */
export const protocols: Readonly<Record<ProtocolName, Protocol>> = { whole, stride, "llama.cpp": llamaCpp, hestia };

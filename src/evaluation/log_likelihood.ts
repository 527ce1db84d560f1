/**
 * Log-likelihood of continuations: what multiple-choice tasks are made of, by the rules of lm-evaluation-harness.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { TextSettings } from "../llama/checkpoint.ts";
import type { LlamaModel } from "../llama/model.ts";
import { trimmedEnd } from "./python_text.ts";
import { type ScoredRow, scoreRows, type ScoringOptions } from "./score.ts";

/** A context, and a text that may follow it. */
export interface TextPair {
  /** May be empty: then the token that begins a text, or else the one that ends it, is the context. */
  readonly context: string;
  /** With the space, if any, that stands between both. */
  readonly continuation: string;
}

/** How likely a continuation is after its context. */
export interface ContinuationScore {
  /** Sum of log p over the tokens of the continuation, in nats. */
  readonly logLikelihood: number;
  /** Whether each of them is the likeliest token where it stands. */
  readonly isGreedy: boolean;
  /** Tokens of the context, the begin token among them, before anything is cut. */
  readonly contextTokens: number;
  /** Tokens of the continuation. */
  readonly continuationTokens: number;
}

/** What {@linkcode logLikelihood} scores with: a model and its tokenizer. */
export type TextModel = LlamaModel & Pick<TextSettings, "tokenizer" | "beginToken" | "endTokens">;

/** Settings of {@linkcode logLikelihood}. */
export interface LogLikelihoodOptions extends ScoringOptions {
  /** Tokens that the model sees at most, those on the left being left out; all that it can by default. */
  readonly contextLength?: number;
}

/** Tokens of a pair. */
export interface PairTokens {
  readonly context: readonly number[];
  readonly continuation: readonly number[];
}

/**
 * Tokens of a context and of what follows it. White space at the end of the context belongs to the continuation; where both are cut is decided by
 * the tokens of the whole: those behind as many as the context has alone.
 *
 * @throws RangeError where one of them has no token
 */
export function pairTokens(model: Omit<TextModel, keyof LlamaModel>, { context, continuation }: TextPair): PairTokens {
  const tokens = context === "" ? afterNothing(model, continuation) : afterText(model, { context, continuation });
  for (const part of ["context", "continuation"] as const) {
    if (tokens[part].length > 0) continue;
    const reason = part === "continuation"
      ? "no token of its own: all of its text is part of the context's tokens"
      : "no token, and the model has none that begins or ends a text";
    throw atCaller(
      new RangeError(`Cannot score ${JSON.stringify(continuation)} after ${JSON.stringify(context)}: the ${part} has ${reason}`),
    );
  }
  return tokens;
}

function afterText(model: Omit<TextModel, keyof LlamaModel>, { context, continuation }: TextPair): PairTokens {
  const trimmed = trimmedEnd(context);
  const before = encoded(model, trimmed);
  return { context: before, continuation: encoded(model, context + continuation).slice(before.length) };
}

function afterNothing({ tokenizer, beginToken, endTokens = [] }: Omit<TextModel, keyof LlamaModel>, text: string): PairTokens {
  const ids = Array.from(tokenizer.encode(text, { parseSpecial: true }));
  const prefix = beginToken ?? endTokens[0];
  if (prefix === undefined) return { context: [], continuation: ids };
  return { context: [prefix], continuation: ids[0] === prefix ? ids.slice(1) : ids };
}

/** Tokens of a text behind the begin token, unless it spells that itself. */
export function encoded({ tokenizer, beginToken }: Omit<TextModel, keyof LlamaModel>, text: string): number[] {
  const ids = Array.from(tokenizer.encode(text, { parseSpecial: true }));
  return beginToken === undefined || ids[0] === beginToken ? ids : [beginToken, ...ids];
}

/**
 * How likely each continuation is after its context: the numbers that lm-evaluation-harness computes for requests of the type
 * `loglikelihood`. Special tokens that a text spells are taken for such tokens. What does not fit in the model's context is left out on the left.
 * Pairs whose tokens are equal, or go on from one another, take one row; rows are batched by length.
 *
 * @param model any, packed ones too, with its tokenizer; with latent weights, give `roundedModel(model)`
 * @returns scores in the order of the pairs
 * @throws RangeError where a context or a continuation has no token, or a continuation is longer than the model's context
 *
 * @example
 * ```ts
 * import { byteTokenizer, initialModel, logLikelihood } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const pairs = [" no", " yes"].map((continuation) => ({ context: "Question: is it?\nAnswer:", continuation }));
 * const scores = await logLikelihood({ ...model, tokenizer: byteTokenizer }, pairs);
 * console.log(scores.map(({ logLikelihood }) => logLikelihood)); // about -3 log(256) and -4 log(256), before training
 * ```
 */
export async function logLikelihood(
  model: TextModel,
  pairs: readonly TextPair[],
  { contextLength = model.config.maxPositions, ...options }: LogLikelihoodOptions = {},
): Promise<ContinuationScore[]> {
  const most = Math.min(contextLength, model.config.maxPositions);
  const tokens = pairs.map((pair) => pairTokens(model, pair));
  const { rows, places } = sharedRows(tokens.map((each) => rowOf(each, most)));
  const scores = await scoreRows(model, rows, options);
  return tokens.map(({ context, continuation }, index) => {
    const { row, from } = places[index];
    const own = <T>(values: { slice(start: number, end: number): T }): T => values.slice(from, from + continuation.length);
    return {
      logLikelihood: own(scores[row].logProbabilities).reduce((sum, each) => sum + each, 0),
      isGreedy: own(scores[row].greedy as boolean[]).every(Boolean),
      contextTokens: context.length,
      continuationTokens: continuation.length,
    };
  });
}

/** The last tokens that fit, of which those of the continuation are looked for. */
function rowOf({ context, continuation }: PairTokens, most: number): ScoredRow {
  if (continuation.length > most) {
    throw atCaller(new RangeError(`Cannot score a continuation of ${continuation.length} tokens: the context ends at ${most}`));
  }
  const inputs = [...context, ...continuation].slice(-(most + 1)).slice(0, -1);
  const first = inputs.length - continuation.length;
  return { inputs, positions: continuation.map((_, at) => first + at), targets: continuation };
}

/** Where the targets of a row are found. */
interface Place {
  readonly row: number;
  /** Targets of others that stand before its own. */
  readonly from: number;
}

/** Rows without those that others begin with, whose targets they take over: attention looks back only. */
function sharedRows(rows: readonly ScoredRow[]): { rows: ScoredRow[]; places: Place[] } {
  const order = rows.map((_, index) => index).sort((a, b) => compareIds(rows[a].inputs, rows[b].inputs));
  const joined: { inputs: ArrayLike<number>; positions: number[]; targets: number[] }[] = [];
  const places = new Array<Place>(rows.length);
  for (const index of order.reverse()) { // what begins another comes behind it now
    const { inputs, positions, targets } = rows[index];
    const last = joined.at(-1);
    if (!last || !begins(last.inputs, inputs)) joined.push({ inputs, positions: [], targets: [] });
    const row = joined.at(-1)!;
    places[index] = { row: joined.length - 1, from: row.targets.length };
    row.positions.push(...Array.from(positions));
    row.targets.push(...Array.from(targets));
  }
  return { rows: joined, places };
}

function compareIds(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}

function begins(whole: ArrayLike<number>, beginning: ArrayLike<number>): boolean {
  if (beginning.length > whole.length) return false;
  for (let at = 0; at < beginning.length; at++) if (whole[at] !== beginning[at]) return false;
  return true;
}

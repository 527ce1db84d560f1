/**
 * Writing text, one token after another.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Tensor } from "../tensor.ts";
import type { TextSettings } from "./checkpoint.ts";
import { Decoder } from "./decode.ts";
import type { LlamaModel, Project } from "./model.ts";

/** How a model writes on. */
export interface GenerateOptions {
  /** Tokens to write at most; 256 by default. */
  readonly maxTokens?: number;
  /** 0 takes the likeliest token each time; 1, the default, draws from the model's own distribution. */
  readonly temperature?: number;
  /** Draw among the likeliest tokens, this many. */
  readonly topK?: number;
  /** Draw among the likeliest tokens that together have this probability, above 0 and up to 1. */
  readonly topP?: number;
  /** Integer from 0 to 2³² - 1, 0 by default: the same seed gives the same text. */
  readonly seed?: number;
  /** Tokens that end the text and are not part of it; the model's own end tokens by default. */
  readonly stopTokens?: readonly number[];
  /** Longest context, in tokens; the model's by default. When it is full, writing goes on from its second half. */
  readonly contextLength?: number;
  /** Tokens of the prompt that stay in front of that half; by default the one that begins every text, where the model has one. */
  readonly keepTokens?: number;
  /** Linear maps other than by the weights of the model. */
  readonly project?: Project;
}

/** Most tokens that are drawn before the host looks at them: each look has a price of its own. */
const maxUnread = 16;

/**
 * Writes on from a prompt, and yields the text in pieces, whole characters each. Leaving the loop ends the work.
 *
 * @throws RangeError where an option is out of range, or the prompt is empty or does not fit the context
 *
 * @example
 * ```ts
 * import { byteTokenizer, generate, initialModel } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const text = generate({ ...model, tokenizer: byteTokenizer }, "Call me", { maxTokens: 4, temperature: 0.8, seed: 1 });
 * for await (const piece of text) console.log(piece); // nonsense, before training
 * ```
 */
export async function* generate(
  model: LlamaModel & Omit<TextSettings, "quantization">,
  prompt: string,
  options: GenerateOptions = {},
): AsyncGenerator<string, void> {
  const decoder = model.tokenizer.stream();
  for await (const id of generateTokens(model, promptTokens(model, prompt), textOptions(model, options))) {
    const piece = decoder.push(id);
    if (piece !== "") yield piece;
  }
  const rest = decoder.end();
  if (rest !== "") yield rest;
}

/** Options with what a model's text settings say where they say nothing. */
export function textOptions(
  { beginToken, endTokens }: Omit<TextSettings, "quantization">,
  options: GenerateOptions,
): GenerateOptions {
  const { stopTokens = endTokens, keepTokens = beginToken === undefined ? 0 : 1 } = options;
  return { ...options, ...(stopTokens ? { stopTokens } : {}), keepTokens };
}

/** Ids of a prompt, after the token that begins every text where the model has one. */
export function promptTokens({ tokenizer, beginToken }: TextSettings, prompt: string): number[] {
  return [...beginToken === undefined ? [] : [beginToken], ...tokenizer.encode(prompt)];
}

/**
 * Writes on from some ids, and yields ids. {@linkcode generate} does the same with text.
 *
 * @throws RangeError where an option is out of range, or the prompt is empty or does not fit the context
 */
export async function* generateTokens(
  model: LlamaModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<number, void> {
  const { maxTokens = 256, temperature = 1, topK, topP, seed = 0, stopTokens = [], keepTokens = 0, project } = options;
  const context = Math.min(options.contextLength ?? Infinity, model.config.maxPositions);
  checkOptions(options, context);
  checkPrompt(model, prompt, context);
  checkIds(model, stopTokens, "stopTokens");
  const length = Math.min(context, prompt.length + maxTokens);
  const sampling = temperature === 0 ? undefined : { temperature, topK, topP };
  const decoder = new Decoder(model, { length, seed, project, sampling });
  try {
    let tokens = Array.from(prompt);
    for (let written = 0; written < maxTokens;) {
      const room = context - tokens.length + 1; // the last token that is drawn needs no place
      const count = Math.min(maxTokens - written, room);
      for await (const id of run(decoder, tokens, { written, count, vocabularySize: model.config.vocabularySize })) {
        if (stopTokens.includes(id)) return;
        yield id;
        tokens.push(id);
      }
      written += count;
      tokens = [...tokens.slice(0, keepTokens), ...tokens.slice(keepTokens - Math.ceil(context / 2))];
    }
  } finally {
    decoder.dispose();
  }
}

/** Draws `count` tokens after `prompt`, looking at 1, 2, 4, … of them together. */
async function* run(
  decoder: Decoder,
  prompt: readonly number[],
  { written, count, vocabularySize }: { written: number; count: number; vocabularySize: number },
): AsyncGenerator<number, void> {
  let last = decoder.start(prompt, { draw: written });
  let unread = [last];
  for (let drawn = 1, size = 1; unread.length > 0; size = Math.min(2 * size, maxUnread)) {
    const read = unread;
    const ids = await readIds(read, vocabularySize);
    const more = Math.min(size, count - drawn);
    unread = Array.from({ length: more }, () => last = decoder.next(last, { draw: written + drawn++ })); // runs while the caller looks
    read.forEach((id) => id.dispose());
    yield* ids;
  }
}

async function readIds(ids: readonly Tensor[], vocabularySize: number): Promise<number[]> {
  const values = (await Promise.all(ids.map((id) => id.data()))).map(([id]) => id);
  if (values.some((id) => id >= vocabularySize)) {
    throw new Error(
      "Cannot generate: the model's logits are not finite. Its weights hold NaN or infinity, or overflow: look at them by `deno task " +
        "inspect`, and take an earlier checkpoint",
    );
  }
  return values;
}

function check(holds: boolean, wanted: string, got: unknown): void {
  if (!holds) throw atCaller(new RangeError(`Cannot generate: wanted ${wanted}, got ${got}`));
}

function checkOptions(
  { maxTokens = 0, temperature = 1, topK = 1, topP = 1, seed = 0, keepTokens = 0 }: GenerateOptions,
  context: number,
): void {
  check(Number.isInteger(maxTokens) && maxTokens >= 0, "maxTokens to be an integer of at least 0", maxTokens);
  check(temperature >= 0 && temperature < Infinity, "temperature to be a number of at least 0", temperature);
  check(Number.isInteger(topK) && topK >= 1, "topK to be an integer of at least 1", topK);
  check(topP > 0 && topP <= 1, "topP to be above 0 and at most 1", topP);
  check(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, "seed to be an integer from 0 to 4294967295", seed);
  check(Number.isInteger(context) && context >= 2, "contextLength to be an integer of at least 2", context);
  const kept = Math.ceil(context / 2) - 1;
  check(
    Number.isInteger(keepTokens) && keepTokens >= 0 && keepTokens <= kept,
    `keepTokens to be an integer from 0 to ${kept}`,
    keepTokens,
  );
}

function checkIds({ config }: LlamaModel, ids: ArrayLike<number>, what: string): void {
  const foreign = Array.from(ids).findIndex((id) => !(Number.isInteger(id) && id >= 0 && id < config.vocabularySize));
  check(foreign < 0, `${what} of ids from 0 to ${config.vocabularySize - 1}`, ids[foreign]);
}

function checkPrompt(model: LlamaModel, prompt: ArrayLike<number>, context: number): void {
  check(prompt.length >= 1, "a prompt of at least one token", prompt.length);
  check(prompt.length <= context, `a prompt of at most ${context} tokens, the longest context`, prompt.length);
  checkIds(model, prompt, "a prompt");
}

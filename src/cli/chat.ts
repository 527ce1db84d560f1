/**
 * A conversation on the terminal, or in a pipe with a message a line.
 *
 * @module
 */

import type { GenerateOptions } from "../llama/generate.ts";
import { generateTokens, textOptions } from "../llama/generate.ts";
import type { LanguageModel } from "../llama/checkpoint.ts";
import { type ChatMessage, renderChat } from "../tokenizer/chat.ts";
import { UsageError } from "./errors.ts";
import { refusing } from "./models.ts";

/** A model that takes part in a conversation. */
export type ChatModel = Omit<LanguageModel, "quantization">;

/** What a conversation needs besides the model. */
export interface ChatSettings extends GenerateOptions {
  /** What the user says, a message each; the conversation ends with it, or with "/exit". */
  readonly lines: AsyncIterable<string> | Iterable<string>;
  /** Takes what the model writes, in pieces. */
  readonly write: (text: string) => void;
  /** Is told that the model waits for a message. */
  readonly onTurn?: () => void;
  /** Instructions that the conversation begins with. */
  readonly system?: string;
  readonly signal?: AbortSignal;
}

/** What ends a conversation. */
export const exitWord = "/exit";

/**
 * Lets a model answer each message, by its chat template. Where the conversation outgrows the context, its oldest messages are left out.
 *
 * @returns What was said, instructions included.
 * @throws {UsageError} Where the model has no chat template, or the last message alone does not fit.
 */
export async function chat(model: ChatModel, settings: ChatSettings): Promise<ChatMessage[]> {
  const { lines, write, onTurn, system, signal, ...options } = settings;
  const { chatTemplate } = model;
  if (chatTemplate === undefined) {
    throw new UsageError("the model has no chat template: wanted one that was trained on conversations, or --prompt");
  }
  const said: ChatMessage[] = system === undefined ? [] : [{ role: "system", content: system }];
  const first = said.length;
  onTurn?.();
  for await (const line of lines) {
    const content = line.trim();
    if (content === exitWord || signal?.aborted) break;
    if (content !== "") {
      said.push({ role: "user", content });
      const prompt = await promptOf(model, chatTemplate, said, { first });
      const text = await answer(model, prompt, { ...textOptions(model, options), write, signal });
      said.push({ role: "assistant", content: text.trim() });
    }
    if (signal?.aborted) break;
    onTurn?.();
  }
  return said;
}

/** What the model reads: instructions, and as many of the last messages as leave it room to answer. */
async function promptOf(
  model: ChatModel,
  template: string,
  said: readonly ChatMessage[],
  { first }: { readonly first: number },
): Promise<Uint32Array> {
  for (let begin = first;; begin += 2) { // a message and its answer less each time
    const ids = await refusing(() => idsOf(model, template, [...said.slice(0, first), ...said.slice(begin)]));
    if (ids.length < model.config.maxPositions || begin + 2 >= said.length) return ids;
  }
}

/** Writes the answer as it comes. */
async function answer(
  model: ChatModel,
  prompt: Uint32Array,
  { write, signal, ...options }: GenerateOptions & Pick<ChatSettings, "write" | "signal">,
): Promise<string> {
  const decoder = model.tokenizer.stream();
  let text = "";
  const tell = (piece: string) => (text += piece, write(piece));
  await refusing(async () => {
    for await (const id of generateTokens(model, prompt, options)) {
      tell(decoder.push(id));
      if (signal?.aborted) break;
    }
  });
  tell(decoder.end());
  write("\n");
  return text;
}

/** Ids of a conversation as far as the model's answer begins. */
async function idsOf(
  { tokenizer, beginToken, endTokens = [] }: ChatModel,
  template: string,
  messages: readonly ChatMessage[],
): Promise<Uint32Array> {
  const spelling = (id: number | undefined) => id === undefined ? undefined : tokenizer.decode([id]);
  const options = { addGenerationPrompt: true, bosToken: spelling(beginToken), eosToken: spelling(endTokens[0]) };
  const ids = tokenizer.encode(await renderChat(template, messages, options), { parseSpecial: true });
  return beginToken === undefined || ids[0] === beginToken ? ids : Uint32Array.of(beginToken, ...ids); // as in training
}

/** Lines of a stream of bytes, the last one with or without its end. */
export async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

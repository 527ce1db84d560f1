/**
 * `deno task generate`: a model writes on from a prompt.
 *
 * @module
 */

import { generateTokens, promptTokens, textOptions } from "../llama/generate.ts";
import type { Command, Values } from "./args.ts";
import { chat, type ChatModel, exitWord, linesOf } from "./chat.ts";
import { UsageError } from "./errors.ts";
import { type Context, main } from "./main.ts";
import type { PackedMatmulOptions } from "../pack/packed_weight.ts";
import { allowUnknownOption, modelOption, openModel, refusing, required } from "./models.ts";
import { visible, writeText } from "./output.ts";
import { standardError } from "./progress.ts";
import { formatSeconds } from "./table.ts";

const command = {
  name: "generate",
  summary: "Continues a prompt with a trained or packed model, or talks: with --chat, each line of stdin is a message.",
  positionals: { text: { description: "Text to continue, as --prompt; after --, it may begin with a dash" } },
  options: {
    model: modelOption,
    allowUnknown: allowUnknownOption,
    prompt: {
      type: "string",
      mayBeEmpty: true,
      description: "Text to continue (default: Call me Ishmael.); --prompt=-x may begin with a dash",
    },
    chat: { type: "boolean", description: `Talk by the model's chat template, until ${exitWord} or the end of stdin` },
    system: { type: "string", description: "Instructions that a conversation begins with" },
    maxTokens: { type: "integer", minimum: 1, default: 200, description: "Tokens to write at most" },
    temperature: { type: "number", minimum: 0, default: 0.8, description: "0 takes the likeliest token each time" },
    topK: { type: "integer", minimum: 1, description: "Draw among the likeliest tokens, this many" },
    topP: {
      type: "number",
      minimum: 1e-6,
      maximum: 1,
      description: "Draw among the likeliest that together have this probability",
    },
    activations: {
      type: "string",
      choices: ["float32", "float16", "int8"],
      default: "float32",
      description: "Of packed models: float16 rounds them to half precision, int8 to bytes, as llama.cpp does",
    },
    seed: { type: "integer", minimum: 0, maximum: 0xffffffff, default: 0, description: "The same seed gives the same text" },
  },
} as const satisfies Command;

type Flags = Values<typeof command.options, typeof command.positionals> & { readonly json: boolean };

/** Continues a prompt, and tells how fast. */
async function proceed(model: ChatModel, prompt: string, { json, ...flags }: Flags, { signal, print }: Context) {
  const promptIds = promptTokens(model, prompt);
  const write = writer(json);
  const decoder = model.tokenizer.stream();
  const settings = textOptions(model, drawing(flags));
  const start = performance.now();
  let [text, tokens, firstAt] = ["", 0, start];
  await refusing(async () => {
    for await (const id of generateTokens(model, promptIds, settings)) {
      if (tokens++ === 0) firstAt = (write(prompt), performance.now()); // shaders are compiled by now
      const piece = decoder.push(id);
      write(piece);
      text += piece;
      if (signal.aborted) break;
    }
  });
  const rest = decoder.end();
  write(rest + "\n");
  const secondsToFirst = (firstAt - start) / 1000;
  const tokensPerSecond = Math.max(0, tokens - 1) / (performance.now() - firstAt) * 1000;
  const promptTokensPerSecond = promptIds.length / secondsToFirst;
  print(
    `${tokens} tokens: the first after ${formatSeconds(secondsToFirst)}, ${promptIds.length} of the prompt at ` +
      `${promptTokensPerSecond.toFixed(1)} tokens/s, then ${tokensPerSecond.toFixed(1)} tokens/s`,
  );
  const speeds = { secondsToFirst, promptTokensPerSecond, tokensPerSecond };
  return { summary: { prompt, text: text + rest, tokens, ...speeds, seed: flags.seed } };
}

/** Talks with the lines of stdin. */
async function talk(model: ChatModel, { json, system, ...flags }: Flags, { signal }: Context) {
  const isTerminal = Deno.stdin.isTerminal();
  if (isTerminal) console.error(`type a message, ${exitWord} to end`);
  const onTurn = isTerminal ? () => standardError.write("> ") : undefined;
  const lines = linesOf(Deno.stdin.readable);
  const messages = await chat(model, { ...drawing(flags), system, lines, write: writer(json), onTurn, signal });
  return { summary: { messages, seed: flags.seed } };
}

/** Takes text for people: on stdout, or on stderr where `--json` keeps that free. A terminal is not let act upon what a model says. */
const writer = (json: boolean) => (text: string): void => {
  const shown = (json ? Deno.stderr : Deno.stdout).isTerminal() ? visible(text) : text;
  json ? standardError.write(shown) : writeText(Deno.stdout, shown);
};

/** How tokens are drawn. */
const drawing = ({ maxTokens, temperature, topK, topP, seed }: Omit<Flags, "json" | "system">) => ({
  ...{ maxTokens, temperature, topK, topP, seed },
});

if (import.meta.main) {
  await main(command, async (flags, context) => {
    const { model: path, activations, chat: talks, system } = flags;
    if (flags.text !== undefined && flags.prompt !== undefined) {
      throw new UsageError("TEXT and --prompt say the same: wanted one of them");
    }
    const prompt = flags.text ?? flags.prompt;
    if (talks && prompt !== undefined) throw new UsageError("--chat reads its messages from stdin: wanted no prompt");
    if (!talks && system !== undefined) throw new UsageError("--system is for --chat");
    const { model, description } = await openModel(required(path, "--model", command.name), {
      allowUnknown: flags.allowUnknown,
      activations: activations as PackedMatmulOptions["activations"],
    });
    if (activations !== "float32" && description !== "packed") {
      throw new UsageError(`--activations ${activations} is for packed models, and ${path} is not packed: ${description}`);
    }
    return talks ? await talk(model, flags, context) : await proceed(model, prompt ?? "Call me Ishmael.", flags, context);
  });
}

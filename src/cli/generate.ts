/**
 * `deno task generate`: a model writes on from a prompt.
 *
 * @module
 */

import { generateTokens, promptTokens, textOptions } from "../llama/generate.ts";
import type { Command } from "./args.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import type { PackedMatmulOptions } from "../pack/packed_weight.ts";
import { modelOption, openModel, refusing, required } from "./models.ts";
import { formatSeconds } from "./table.ts";

const command = {
  name: "generate",
  summary: "Continues a prompt with a trained or packed model.",
  options: {
    model: modelOption,
    prompt: { type: "string", default: "Call me Ishmael.", description: "Text to continue" },
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

if (import.meta.main) {
  await main(command, async ({ model: path, prompt, json, activations, ...options }, { signal, print }) => {
    const { model, description } = await openModel(required(path, "--model", command.name), {
      activations: activations as PackedMatmulOptions["activations"],
    });
    if (activations !== "float32" && description !== "packed") {
      throw new UsageError(`--activations ${activations} is for packed models, and ${path} is not packed: ${description}`);
    }
    const promptIds = promptTokens(model, prompt);
    const write = (text: string) => (json ? Deno.stderr : Deno.stdout).writeSync(new TextEncoder().encode(text));
    const decoder = model.tokenizer.stream();
    const settings = textOptions(model, options);
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
    return { summary: { prompt, text: text + rest, tokens, ...speeds, seed: options.seed } };
  });
}

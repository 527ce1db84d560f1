/**
 * `deno task bench:decode`: packed decoding at the shapes of Llama-3.2-1B, in turns with llama.cpp on the same file; and an eighth of
 * the model, packed and by our own float32 kernels in turns.
 *
 * @module
 */

import { backendInfo, openGgufFile, openPacked, type PackedMatmulOptions, type PackedModel } from "../../mod.ts";
import type { Command } from "../../src/cli/args.ts";
import { main } from "../../src/cli/main.ts";
import { formatBytes, formatSeconds, table } from "../../src/cli/table.ts";
import { noLlamaCpp } from "../../tests/support/llama_cpp.ts";
import { ceilings } from "../ceilings.ts";
import { digits, type Work } from "../measure.ts";
import { float32Copy, oneBillion, writeRandomModel } from "./model.ts";
import { best, hestia, llamaCpp, type Player, race, timed, type Times } from "./race.ts";

const command = {
  name: "bench:decode",
  summary: "Times packed decoding with random ternary weights, in turns with llama.cpp on the same file.",
  options: {
    layers: { type: "integer", minimum: 1, maximum: 16, default: 16, description: "Decoder layers of 60.8 M weights each" },
    vocabulary: {
      type: "integer",
      minimum: 256,
      default: oneBillion.vocabularySize,
      description: "Rows of the embedding, which is the head too",
    },
    prompt: { type: "integer", minimum: 1, default: 64, description: "Tokens of the prompt" },
    tokens: { type: "integer", minimum: 1, default: 8, description: "Tokens that are drawn in each round" },
    rounds: { type: "integer", minimum: 1, default: 3, description: "Rounds: each is ours, then llama.cpp's" },
    file: {
      type: "string",
      value: "FILE",
      description: "Keep the model here, and use it if it is there; a temporary file by default",
    },
    activations: {
      type: "string",
      choices: ["float32", "float16", "int8"],
      default: "float32",
      description: "float16 rounds them to half precision, int8 to bytes, as llama.cpp does",
    },
    alone: { type: "boolean", description: "Leave llama.cpp out" },
    float32: { type: "boolean", description: "Also time an eighth of the model, packed and in float32" },
  },
} as const satisfies Command;

/** What a copy moves, read and written. */
async function gigabytesPerSecond(): Promise<number> {
  const [{ prepare, amount }] = ceilings as readonly (Work & { amount: { bytes: number } })[];
  const { run, done } = await prepare();
  run();
  await done();
  const repetitions = 8;
  const { wall } = await timed(async () => {
    for (let i = 0; i < repetitions; i++) run();
    await done();
  });
  return repetitions * amount.bytes / wall / 1e9;
}

/** A line of the table. */
function row({ name, bytes }: Player, { prompts, generations }: Times, { prompt, tokens }: Record<"prompt" | "tokens", number>) {
  const [first, rest] = [best(prompts), best(generations)];
  const perToken = rest.wall / tokens;
  return [name, prompt / first.wall, 1 / perToken, 1000 * rest.cpu / tokens, bytes / perToken / 1e9].map((cell) =>
    typeof cell === "number" ? digits(cell) : cell
  );
}

/** Sizes of a run. */
interface Sizes {
  readonly prompt: number;
  readonly tokens: number;
  readonly rounds: number;
}

/** Rounds of some players, and a table of them. */
async function compare(players: readonly Player[], sizes: Sizes, print: (text: string) => void): Promise<Times[]> {
  const warm = await timed(async () => {
    for (const player of players) {
      await player.prompt();
      await player.generate();
    }
  });
  print(`first prompt and ${sizes.tokens} tokens, shaders compiled: ${formatSeconds(warm.wall)}`);
  const times = await race(players, sizes);
  players.forEach(({ close }) => close());
  const rows = players.map((player, index) => row(player, times[index], sizes));
  print(table(["", "prompt tokens/s", "tokens/s", "CPU ms a token", "GB/s of weights"], rows));
  return times;
}

async function opened(path: string, activations: PackedMatmulOptions["activations"]): Promise<PackedModel> {
  using gguf = await openGgufFile(path);
  return await openPacked(gguf, { activations });
}

/** An eighth of the layers and of the vocabulary, packed and in float32. */
async function againstFloat32(config: typeof oneBillion, sizes: Sizes, print: (text: string) => void) {
  const eighth = (length: number) => Math.ceil(length / 8);
  const vocabularySize = Math.max(256, eighth(config.vocabularySize));
  const path = await modelFile(undefined, { ...config, layers: eighth(config.layers), vocabularySize }, print);
  try {
    const model = await opened(path, "float32");
    const plain = await float32Copy(model);
    const players = [
      hestia(model, { name: "an eighth, packed", bytes: model.sizes.bytes, ...sizes }),
      hestia(plain.model, { name: "an eighth, float32", bytes: plain.bytes, ...sizes }),
    ];
    const [packed, float32] = await compare(players, sizes, print);
    const factor = best(float32.generations).cpu / best(packed.generations).cpu;
    print(`packed decoding takes ${digits(factor)} times less CPU time than float32`);
    return { packed, float32, factor };
  } finally {
    await Deno.remove(path);
  }
}

/** The file at `path`, or a temporary one, made where it is missing. */
async function modelFile(path: string | undefined, config: typeof oneBillion, print: (text: string) => void): Promise<string> {
  const file = path ?? await Deno.makeTempFile({ suffix: ".gguf" });
  if (path && await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return file;
  print(`writing ${file}`);
  await writeRandomModel(file, config);
  return file;
}

await main(command, async ({ layers, vocabulary, prompt, tokens, rounds, file, activations, alone, float32 }, { print }) => {
  const config = { ...oneBillion, layers, vocabularySize: vocabulary };
  const path = await modelFile(file, config, print);
  const sizes = { prompt, tokens, rounds };
  try {
    let model: PackedModel | undefined;
    const opening = await timed(async () => void (model = await opened(path, activations as PackedMatmulOptions["activations"])));
    const { bytes, bitsPerWeight } = model!.sizes;
    print(`opened ${formatBytes(bytes)}, ${bitsPerWeight} bits a weight, in ${formatSeconds(opening.wall)}`);
    const players = [hestia(model!, { name: "hestia", bytes, ...sizes })];
    if (!alone && !noLlamaCpp) players.push(await llamaCpp(path, { bytes, ...sizes }));
    const times = await compare(players, sizes, print);
    const copyGigabytesPerSecond = await gigabytesPerSecond();
    const { description, statistics: { bytesHeld } } = await backendInfo();
    print(`${description}: ${formatBytes(bytesHeld)} of device memory held, a copy moves ${digits(copyGigabytesPerSecond)} GB/s`);
    const eighth = float32 ? await againstFloat32(config, sizes, print) : undefined;
    const byPlayer = Object.fromEntries(players.map(({ name }, index) => [name, times[index]]));
    return { summary: { bytes, bytesHeld, copyGigabytesPerSecond, times: byPlayer, eighth } };
  } finally {
    if (!file) await Deno.remove(path);
  }
});

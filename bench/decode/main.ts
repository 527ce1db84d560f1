/**
 * `deno task bench:decode`: packed decoding at the shapes of Llama-3.2-1B, in turns with llama.cpp on the same file.
 *
 * @module
 */

import { backendInfo, openGgufFile, openPacked, type PackedModel, type Tensor } from "../../mod.ts";
import type { Command } from "../../src/cli/args.ts";
import { main } from "../../src/cli/main.ts";
import { formatBytes, formatSeconds, table } from "../../src/cli/table.ts";
import { Decoder } from "../../src/llama/decode.ts";
import { LlamaCpp, noLlamaCpp } from "../../tests/support/llama_cpp.ts";
import { ceilings } from "../ceilings.ts";
import { cpuMilliseconds } from "../clock.ts";
import { digits, type Work } from "../measure.ts";
import { oneBillion, writeRandomModel } from "./model.ts";

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
    int8: { type: "boolean", description: "Round activations to bytes, as llama.cpp does" },
    alone: { type: "boolean", description: "Leave llama.cpp out" },
  },
} as const satisfies Command;

/** Seconds of wall and CPU time. */
interface Seconds {
  readonly wall: number;
  readonly cpu: number;
}

async function timed(work: () => Promise<void> | void): Promise<Seconds> {
  const [wall, cpu] = [performance.now(), cpuMilliseconds()];
  await work();
  return { wall: (performance.now() - wall) / 1000, cpu: (cpuMilliseconds() - cpu) / 1000 };
}

const best = (times: readonly Seconds[]): Seconds => ({
  wall: Math.min(...times.map(({ wall }) => wall)),
  cpu: Math.min(...times.map(({ cpu }) => cpu)),
});

/** Our side: a prompt, then tokens whose ids stay on the device until the last. */
function ours(model: PackedModel, { prompt, tokens }: { prompt: readonly number[]; tokens: number }) {
  const decoder = new Decoder(model, { length: prompt.length + tokens + 1, seed: 1 });
  return {
    async prompt(): Promise<Tensor> {
      const id = decoder.start(prompt, { draw: 0 });
      await id.data();
      return id;
    },
    async generate(first: Tensor): Promise<void> {
      let id = first;
      for (let draw = 1; draw <= tokens; draw++) {
        const next = decoder.next(id, { draw });
        id.dispose();
        id = next;
      }
      await id.data();
      id.dispose();
    },
    dispose: () => decoder.dispose(),
  };
}

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

await main(command, async ({ layers, vocabulary, prompt: promptLength, tokens, rounds, file, int8, alone }, { print }) => {
  const config = { ...oneBillion, layers, vocabularySize: vocabulary };
  const path = file ?? await Deno.makeTempFile({ suffix: ".gguf" });
  if (!file || !await Deno.stat(file).then(({ isFile }) => isFile, () => false)) {
    print(`writing ${path}`);
    await writeRandomModel(path, config);
  }
  try {
    let model: PackedModel | undefined;
    const opening = await timed(async () => {
      using gguf = await openGgufFile(path);
      model = await openPacked(gguf, { activations: int8 ? "int8" : "float32" });
    });
    const { bytes, bitsPerWeight } = model!.sizes;
    print(`opened ${formatBytes(bytes)}, ${bitsPerWeight} bits a weight, in ${formatSeconds(opening.wall)}`);
    const ids = Array.from({ length: promptLength }, (_, index) => index % 256);
    const engine = ours(model!, { prompt: ids, tokens });
    const warm = await timed(async () => await engine.generate(await engine.prompt()));
    print(`first prompt and ${tokens} tokens, shaders compiled: ${formatSeconds(warm.wall)}`);
    const peer = alone || noLlamaCpp ? undefined : (await LlamaCpp.open()).session(path);
    const times = { ours: [[], []] as [Seconds[], Seconds[]], peer: [[], []] as [Seconds[], Seconds[]] };
    for (let round = 0; round < rounds; round++) {
      let first: Tensor | undefined;
      times.ours[0].push(await timed(async () => void (first = await engine.prompt())));
      times.ours[1].push(await timed(() => engine.generate(first!)));
      if (!peer) continue;
      times.peer[0].push(await timed(() => peer.prompt(Int32Array.from(ids))));
      times.peer[1].push(
        await timed(() => {
          for (let i = 0; i < tokens; i++) peer.next(i % 256);
        }),
      );
    }
    engine.dispose();
    peer?.close();
    const copy = await gigabytesPerSecond();
    const rowOf = (name: string, [prompts, generations]: [Seconds[], Seconds[]]) => {
      const [first, rest] = [best(prompts), best(generations)];
      const perToken = rest.wall / tokens;
      return [
        name,
        digits(promptLength / first.wall),
        digits(1 / perToken),
        digits(1000 * rest.cpu / tokens),
        digits(bytes / perToken / 1e9),
      ];
    };
    const rows = [rowOf("hestia", times.ours), ...peer ? [rowOf("llama.cpp", times.peer)] : []];
    const { description, statistics: { bytesHeld } } = await backendInfo();
    print(table(["", "prompt tokens/s", "tokens/s", "CPU ms a token", "GB/s of weights"], rows));
    print(`${description}: ${formatBytes(bytesHeld)} of device memory held, a copy moves ${digits(copy)} GB/s`);
    return { summary: { bytes, bytesHeld, copyGigabytesPerSecond: copy, hestia: times.ours, llamaCpp: times.peer } };
  } finally {
    if (!file) await Deno.remove(path);
  }
});

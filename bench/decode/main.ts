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

/** Seconds of prompts and of generations. */
type Times = [prompts: Seconds[], generations: Seconds[]];

/** Rounds of both, in turns. */
async function race(
  engine: ReturnType<typeof ours>,
  peer: ReturnType<LlamaCpp["session"]> | undefined,
  { ids, tokens, rounds }: { readonly ids: readonly number[]; readonly tokens: number; readonly rounds: number },
): Promise<{ readonly hestia: Times; readonly llamaCpp: Times }> {
  const times: { hestia: Times; llamaCpp: Times } = { hestia: [[], []], llamaCpp: [[], []] };
  for (let round = 0; round < rounds; round++) {
    let first: Tensor | undefined;
    times.hestia[0].push(await timed(async () => void (first = await engine.prompt())));
    times.hestia[1].push(await timed(() => engine.generate(first!)));
    if (!peer) continue;
    times.llamaCpp[0].push(await timed(() => peer.prompt(Int32Array.from(ids))));
    times.llamaCpp[1].push(
      await timed(() => {
        for (let i = 0; i < tokens; i++) peer.next(i % 256);
      }),
    );
  }
  return times;
}

/** A line of the table. */
function row(
  name: string,
  [prompts, generations]: Times,
  { bytes, prompt, tokens }: Record<"bytes" | "prompt" | "tokens", number>,
) {
  const [first, rest] = [best(prompts), best(generations)];
  const perToken = rest.wall / tokens;
  return [name, prompt / first.wall, 1 / perToken, 1000 * rest.cpu / tokens, bytes / perToken / 1e9].map((cell) =>
    typeof cell === "number" ? digits(cell) : cell
  );
}

/** The file at `path`, or a temporary one, made where it is missing. */
async function modelFile(path: string | undefined, config: typeof oneBillion, print: (text: string) => void): Promise<string> {
  const file = path ?? await Deno.makeTempFile({ suffix: ".gguf" });
  if (path && await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return file;
  print(`writing ${file}`);
  await writeRandomModel(file, config);
  return file;
}

await main(command, async ({ layers, vocabulary, prompt, tokens, rounds, file, int8, alone }, { print }) => {
  const path = await modelFile(file, { ...oneBillion, layers, vocabularySize: vocabulary }, print);
  try {
    let model: PackedModel | undefined;
    const opening = await timed(async () => {
      using gguf = await openGgufFile(path);
      model = await openPacked(gguf, { activations: int8 ? "int8" : "float32" });
    });
    const { bytes, bitsPerWeight } = model!.sizes;
    print(`opened ${formatBytes(bytes)}, ${bitsPerWeight} bits a weight, in ${formatSeconds(opening.wall)}`);
    const ids = Array.from({ length: prompt }, (_, index) => index % 256);
    const engine = ours(model!, { prompt: ids, tokens });
    const warm = await timed(async () => await engine.generate(await engine.prompt()));
    print(`first prompt and ${tokens} tokens, shaders compiled: ${formatSeconds(warm.wall)}`);
    const peer = alone || noLlamaCpp ? undefined : (await LlamaCpp.open()).session(path);
    const times = await race(engine, peer, { ids, tokens, rounds });
    engine.dispose();
    peer?.close();
    const sizes = { bytes, prompt, tokens };
    const rows = [row("hestia", times.hestia, sizes), ...peer ? [row("llama.cpp", times.llamaCpp, sizes)] : []];
    print(table(["", "prompt tokens/s", "tokens/s", "CPU ms a token", "GB/s of weights"], rows));
    const copyGigabytesPerSecond = await gigabytesPerSecond();
    const { description, statistics: { bytesHeld } } = await backendInfo();
    print(`${description}: ${formatBytes(bytesHeld)} of device memory held, a copy moves ${digits(copyGigabytesPerSecond)} GB/s`);
    return { summary: { bytes, bytesHeld, copyGigabytesPerSecond, ...times } };
  } finally {
    if (!file) await Deno.remove(path);
  }
});

/**
 * Engines that read a prompt and write tokens, timed in turns.
 *
 * @module
 */

import type { LlamaModel, Tensor } from "../../mod.ts";
import { Decoder } from "../../src/llama/decode.ts";
import { LlamaCpp } from "../../tests/support/llama_cpp.ts";
import { cpuMilliseconds } from "../clock.ts";

/** Seconds of wall and CPU time. */
export interface Seconds {
  readonly wall: number;
  readonly cpu: number;
}

/** Of each round. */
export interface Times {
  readonly prompts: readonly Seconds[];
  readonly generations: readonly Seconds[];
}

/** An engine with a model. */
export interface Player {
  readonly name: string;
  /** Bytes of its weights. */
  readonly bytes: number;
  prompt(): Promise<void> | void;
  /** Tokens after the prompt. */
  generate(): Promise<void> | void;
  close(): void;
}

/** What a player is given. */
export interface Task {
  readonly bytes: number;
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Tokens to write. */
  readonly tokens: number;
}

const promptIds = (prompt: number) => Array.from({ length: prompt }, (_, index) => index % 256);

/** Our side: a prompt, then tokens whose ids stay on the device until the last. */
export function hestia(model: LlamaModel, { name, bytes, prompt, tokens }: Task & { readonly name: string }): Player {
  const decoder = new Decoder(model, { length: prompt + tokens + 1, seed: 1 });
  let id: Tensor;
  return {
    name,
    bytes,
    async prompt() {
      id = decoder.start(promptIds(prompt), { draw: 0 });
      await id.data();
    },
    async generate() {
      for (let draw = 1; draw <= tokens; draw++) {
        const next = decoder.next(id, { draw });
        id.dispose();
        id = next;
      }
      await id.data();
      id.dispose();
    },
    close: () => decoder.dispose(),
  };
}

/** llama.cpp on a file, on the processor. */
export async function llamaCpp(path: string, { bytes, prompt, tokens }: Task): Promise<Player> {
  const session = (await LlamaCpp.open()).session(path);
  return {
    name: "llama.cpp",
    bytes,
    prompt: () => void session.prompt(Int32Array.from(promptIds(prompt))),
    generate() {
      for (let i = 0; i < tokens; i++) session.next(i % 256);
    },
    close: () => session.close(),
  };
}

/** What some work takes. */
export async function timed(work: () => Promise<void> | void): Promise<Seconds> {
  const [wall, cpu] = [performance.now(), cpuMilliseconds()];
  await work();
  return { wall: (performance.now() - wall) / 1000, cpu: (cpuMilliseconds() - cpu) / 1000 };
}

/** The least of each. */
export const best = (times: readonly Seconds[]): Seconds => ({
  wall: Math.min(...times.map(({ wall }) => wall)),
  cpu: Math.min(...times.map(({ cpu }) => cpu)),
});

/** Rounds of all players, in turns; compilation is theirs, so each should have run before. */
export async function race(players: readonly Player[], { rounds }: { readonly rounds: number }): Promise<Times[]> {
  const times = players.map(() => ({ prompts: [] as Seconds[], generations: [] as Seconds[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [index, player] of players.entries()) {
      times[index].prompts.push(await timed(() => player.prompt()));
      times[index].generations.push(await timed(() => player.generate()));
    }
  }
  return times;
}

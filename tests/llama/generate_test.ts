import { tensor } from "../../mod.ts";
import { generate, type GenerateOptions, generateTokens } from "../../src/llama/generate.ts";
import { llama } from "../../src/llama/model.ts";
import { argmax, gumbelNoise, sample } from "../../src/llama/sample.ts";
import { deepEqual, equal, match, notDeepEqual, ok, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";

const model = tinyModel();
const prompt = new TextEncoder().encode("Call me Ishmael.");

async function written(from: ArrayLike<number>, options: GenerateOptions, of = model): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of generateTokens(of, from, options)) ids.push(id);
  return ids;
}

/** The likeliest continuation, from the whole context each time. */
async function likeliest(context: readonly number[], count: number): Promise<number[]> {
  const ids = [...context];
  for (let step = 0; step < count; step++) {
    const logits = await llama(model, tensor(Uint32Array.from(ids), { shape: [1, ids.length] })).data();
    const last = Array.from(logits.slice(-256));
    ids.push(last.indexOf(Math.max(...last)));
  }
  return ids.slice(context.length);
}

Deno.test("temperature 0 takes the token that the whole forward pass finds likeliest", async () => {
  deepEqual(await written(prompt, { temperature: 0, maxTokens: 6 }), await likeliest([...prompt], 6));
});

Deno.test("a prompt longer than a chunk is read to its end", async () => {
  const long = Array.from({ length: 131 }, (_, i) => prompt[i % prompt.length]);
  deepEqual(await written(long, { temperature: 0, maxTokens: 3 }), await likeliest(long, 3));
});

Deno.test("a text goes on when the first cache is full", async () => {
  const long = Array.from({ length: 127 }, (_, i) => prompt[(i + 3) % prompt.length]);
  deepEqual(await written(long, { temperature: 0, maxTokens: 3 }), await likeliest(long, 3));
});

Deno.test("the same seed gives the same text, another seed another", async () => {
  const options = { maxTokens: 40, temperature: 0.9 };
  const first = await written(prompt, { ...options, seed: 7 });
  equal(first.length, 40);
  deepEqual(await written(prompt, { ...options, seed: 7 }), first);
  notDeepEqual(await written(prompt, { ...options, seed: 8 }), first);
});

Deno.test("a text goes on when the context is full, from the second half of it", async () => {
  const options = { temperature: 0, contextLength: 20 };
  const ids = await written(prompt, { ...options, maxTokens: 15 });
  const first = ids.slice(0, 5); // 16 tokens of prompt leave room for 4, and the last one drawn needs none
  deepEqual(first, await likeliest([...prompt], 5));
  deepEqual(ids.slice(5), await likeliest([...prompt, ...first].slice(-10), 10));
});

Deno.test("tokens that are kept stay in front when the context is full", async () => {
  const ids = await written(prompt, { temperature: 0, contextLength: 20, keepTokens: 1, maxTokens: 8 });
  deepEqual(ids.slice(5), await likeliest([prompt[0], ...[...prompt, ...ids.slice(0, 5)].slice(-9)], 3));
  await rejects(written(prompt, { contextLength: 20, keepTokens: 10 }), /wanted keepTokens to be an integer from 0 to 9, got 10/);
});

Deno.test("text comes in whole characters, and ends at a stop token", async () => {
  const pieces: string[] = [];
  for await (const piece of generate(model, "né", { maxTokens: 50, seed: 3 })) pieces.push(piece);
  const ids = await written(new TextEncoder().encode("né"), { maxTokens: 50, seed: 3 });
  equal(pieces.join(""), new TextDecoder().decode(Uint8Array.from(ids)));
  const stop = ids[20];
  const ended = await written(new TextEncoder().encode("né"), { maxTokens: 50, seed: 3, stopTokens: [stop] });
  deepEqual(ended, ids.slice(0, ids.indexOf(stop)));
});

Deno.test("argmax takes the first of the largest", async () => {
  deepEqual([...await argmax(tensor([[1, 3, 3], [2, -1, 0], [-5, -4, -3]])).data()], [1, 0, 2]);
});

Deno.test("no random word makes the noise of a draw infinite", async () => {
  const [smallest, largest] = await gumbelNoise(tensor(Uint32Array.of(0, 2 ** 32 - 1))).data();
  ok(smallest > -2.9 && smallest < -2.8, `${smallest}`); // -log(24 log 2)
  ok(largest > 16 && largest < 17, `${largest}`); // about 24 log 2
});

Deno.test("samples follow the distribution, and leave out what topK and topP leave out", async () => {
  const rows = 4000;
  const shares = async (options: { topK?: number; topP?: number; temperature?: number }) => {
    const logits = tensor([[Math.log(0.5), Math.log(0.3), Math.log(0.15), Math.log(0.05)]]).expand([rows, 4]);
    const seed = tensor(Uint32Array.of(5), { shape: [] });
    const ids = await sample(logits, { temperature: 1, seed, ...options }).data();
    return [0, 1, 2, 3].map((id) => ids.filter((each: number) => each === id).length / rows);
  };
  const near = (actual: number[], expected: number[]) =>
    expected.forEach((share, id) =>
      ok(Math.abs(actual[id] - share) <= (share === 0 ? 0 : 0.03), `${actual}, wanted ${expected}`)
    );
  near(await shares({}), [0.5, 0.3, 0.15, 0.05]);
  near(await shares({ topK: 2 }), [0.625, 0.375, 0, 0]);
  near(await shares({ topP: 0.79 }), [0.625, 0.375, 0, 0]);
  near(await shares({ topP: 0.81 }), [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0]);
  near(await shares({ topK: 1 }), [1, 0, 0, 0]);
  // a driver may take what is subnormal for zero
  for (const temperature of [1e-30, 1e-38, 1e-45, 0]) near(await shares({ temperature }), [1, 0, 0, 0]);
  near(await shares({ temperature: 0.5 }), [0.25, 0.09, 0.0225, 0.0025].map((square) => square / 0.365));
});

Deno.test("what cannot be generated is refused in one line", async () => {
  const cases: [ArrayLike<number>, GenerateOptions, RegExp][] = [
    [[], {}, /wanted a prompt of at least one token, got 0$/],
    [[256], {}, /wanted a prompt of ids from 0 to 255, got 256$/],
    [new Uint8Array(257), {}, /wanted a prompt of at most 256 tokens, the longest context, got 257$/],
    [prompt, { temperature: -1 }, /wanted temperature to be a number of at least 0, got -1$/],
    [prompt, { topP: 0 }, /wanted topP to be above 0 and at most 1, got 0$/],
    [prompt, { topK: 1.5 }, /wanted topK to be an integer of at least 1, got 1.5$/],
    [[NaN], {}, /wanted a prompt of ids from 0 to 255, got NaN$/],
    [[undefined as unknown as number], {}, /wanted a prompt of ids from 0 to 255, got undefined$/],
    [prompt, { stopTokens: [3, 256] }, /wanted stopTokens of ids from 0 to 255, got 256$/],
    [prompt, { stopTokens: [1.5] }, /wanted stopTokens of ids from 0 to 255, got 1.5$/],
    [prompt, { seed: -1 }, /wanted seed to be an integer from 0 to 4294967295, got -1$/],
  ];
  for (const [from, options, message] of cases) {
    await rejects(written(from, options), (error: Error) => (match(error.message, message), error instanceof RangeError));
  }
});

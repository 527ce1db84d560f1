import { CutHome, readRounds, takeRound } from "../../src/backend/webgpu/transfer.ts";
import type { TensorData } from "../../src/core/dtype.ts";
import { deepEqual, equal, ok } from "../assert.ts";

/** A buffer that is its contents. */
const filled = (numbers: ArrayLike<number>) => Float32Array.from(numbers) as unknown as GPUBuffer;
const count = (length: number, from = 0) => Array.from({ length }, (_, index) => from + index);

/** What rounds read, by way of buffers that hold no more than they may. */
function readAll(
  homes: Parameters<typeof readRounds>[0],
  lengths: readonly number[],
  room: number,
): { rounds: number; data: number[][] } {
  const types = lengths.map((length) => ({ dtype: "float32", length } as const));
  const rounds = readRounds(homes, types, { room, float16: true });
  const arrays: (TensorData | undefined)[] = lengths.map(() => undefined);
  for (const round of rounds) {
    ok(round.bytes <= room);
    const staging = new ArrayBuffer(round.bytes);
    for (const { source, from, place, bytes } of round.stretches) {
      const { buffer } = source as unknown as Float32Array<ArrayBuffer>;
      new Uint8Array(staging, place, bytes).set(new Uint8Array(buffer, from, bytes));
    }
    takeRound(round, staging, { arrays, types, float16: true });
  }
  return { rounds: rounds.length, data: arrays.map((array) => [...array!]) };
}

Deno.test("tensors are read in one buffer where they fit, in several where not, piece by piece", () => {
  const pieces = [count(33), count(7, 33)].map((numbers) => ({ buffer: filled(numbers), bytes: 4 * numbers.length }));
  const homes = [filled(count(5)), new CutHome(pieces), filled(count(100))];
  const wanted = [count(5), count(40), count(100)];
  for (const [room, most] of [[2 ** 20, 1], [1024, 1], [511, 4], [64, 11]]) {
    const { rounds, data } = readAll(homes, [5, 40, 100], room);
    deepEqual(data, wanted);
    ok(rounds <= most, `${rounds} rounds in ${room} bytes`);
  }
});

Deno.test("no elements are read in one round of no bytes", () => {
  const [round, ...others] = readRounds([filled([])], [{ dtype: "uint32", length: 0 }], { room: 1024, float16: true });
  equal(others.length + round.stretches.length + round.bytes, 0);
});

Deno.test("what was read is a copy", () => {
  const types = [{ dtype: "float32", length: 2 } as const];
  const [round] = readRounds([filled([1, 2])], types, { room: 1024, float16: true });
  const arrays: (TensorData | undefined)[] = [undefined];
  const mapped = Float32Array.of(1, 2, 0, 0);
  takeRound(round, mapped.buffer, { arrays, types, float16: true });
  mapped.fill(9);
  deepEqual([...arrays[0]!], [1, 2]);
});

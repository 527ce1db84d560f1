import { tensor, useBackend } from "../../mod.ts";
import { programOf } from "../support/compiler.ts";
import { deepEqual, ok } from "../assert.ts";

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`scatterAdd takes any number of indices (${name})`, async () => {
    await useBackend(name);
    const count = 140_001;
    const indices = tensor(Uint32Array.from({ length: count }, (_, i) => i % 3), { shape: [1, count] });
    const updates = tensor(Float32Array.from({ length: 2 * count }, (_, i) => i % 2), { shape: [1, count, 2] });
    deepEqual([...await updates.scatterAdd(indices, 4).data()], [0, count / 3, 0, count / 3, 0, count / 3, 0, 0]);
  });
}

/** Numbers that float32 holds exactly, so that the order of additions does not matter. */
function scattered(rows: number, width: number, indices: readonly number[]): { updates: number[]; table: number[] } {
  const updates = Array.from({ length: indices.length * width }, (_, k) => (k * 7) % 11 - 4);
  const table = new Array<number>(rows * width).fill(0);
  indices.forEach((row, index) => {
    if (row < 0 || row >= rows) return;
    for (let d = 0; d < width; d++) table[row * width + d] += updates[index * width + d];
  });
  return { updates, table };
}

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`tables of many rows: repeated indices, and some outside of the table (${name})`, async () => {
    await useBackend(name);
    const cases = [[41, 3, [7, 40, 7, 99, 0, 7]], [41, 8, [7, 40, 41, 0, 7]], [4, 1, [3]], [23, 20, [
      -1,
      22,
      22,
      -2147483648,
      5,
    ]]] as const;
    for (const [rows, width, indices] of cases) {
      const { updates, table } = scattered(rows, width, indices);
      const list = tensor(indices.some((index) => index < 0) ? Int32Array.from(indices) : Uint32Array.from(indices));
      const sums = tensor(updates, { shape: [indices.length, width] }).scatterAdd(list, rows);
      deepEqual([...await sums.data()], table, `${rows} rows of ${width}`);
    }
  });
}

Deno.test("a table of many rows that is added to another takes no memory of its own", () => {
  const [rows, width, tokens] = [512, 8, 4];
  const table = tensor(new Float32Array(rows * width), { shape: [rows, width] });
  const updates = tensor(new Float32Array(tokens * width), { shape: [tokens, width] });
  const { scratchBytes } = programOf([table.add(updates.scatterAdd(tensor(new Uint32Array(tokens)), rows).mul(0.5))]);
  ok(scratchBytes.reduce((sum, bytes) => sum + bytes, 0) < 4 * rows * width / 2, `${scratchBytes}`);
});

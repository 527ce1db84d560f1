/** Trace estimates against traces. */

import { hessianVectorProduct, randomSigns, type Tensor, tensor, useBackend } from "../../mod.ts";
import { columnwise, hutchinson, hutchPlusPlus, orthonormal } from "../../src/quant/hutch.ts";
import { equal, ok, throws } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";

const size = 12;
const signs = (columns: number, seed: number) => randomSigns([size, columns], { seed });

/** A symmetric matrix of low rank, and its trace. */
function lowRank(rank: number): { matrix: Tensor; trace: number } {
  const factors = Array.from({ length: rank }, (_, seed) => noise(size, { seed: seed + 1 }));
  const at = (i: number, j: number) => factors.reduce((sum, factor, k) => sum + (k + 1) * factor[i] * factor[j], 0);
  const rows = Array.from({ length: size }, (_, i) => Array.from({ length: size }, (_, j) => at(i, j)));
  return { matrix: tensor(rows), trace: rows.reduce((sum, row, i) => sum + row[i], 0) };
}

Deno.test("hutchPlusPlus() is exact where the sketch spans the image, with columns to spare too", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const { matrix, trace } = lowRank(3);
    for (const columns of [3, 6]) {
      const found = hutchPlusPlus((x) => matrix.matmul(x), { sketch: signs(columns, 1), queries: signs(4, 2) });
      const relative = backend === "reference" ? 1e-9 : 1e-5;
      close([await found.trace.item()], [trace], { relative });
      close([await found.standardError.item()], [0], { absolute: relative * trace });
    }
  }
});

Deno.test("hutchPlusPlus() keeps an orthonormal basis where columns depend on each other", async () => {
  await useBackend("reference");
  // the identity's image of a sketch is the sketch: its trace on the basis counts the basis
  const base = Array.from(noise(size, { seed: 3 }));
  const other = noise(size, { seed: 4 });
  const nearly = tensor(base.map((x, at) => [x, x + 1e-3 * other[at], x + 2e-3 * other[at], other[at], 0]));
  const { lowRank: count, residual } = hutchPlusPlus((x) => x.mul(1), { sketch: nearly, queries: signs(8, 5) });
  close([await count.item()], [2], { absolute: 1e-9 });
  const rest = hutchPlusPlus((x) => x.mul(1), { sketch: signs(3, 7), queries: signs(8, 5) });
  close([await rest.lowRank.item()], [3], { absolute: 1e-12 });
  ok(Math.abs(await residual.item() - 10) < 5);
});

Deno.test("a basis of nearly dependent columns is orthonormal to the last bits, in float32 too", async () => {
  const base = Array.from(noise(size, { seed: 3 }));
  const other = Array.from(noise(size, { seed: 4 }));
  for (const [backend, absolute] of [["reference", 1e-14], ["webgpu", 1e-6]] as const) {
    await useBackend(backend);
    const basis = orthonormal(tensor(base.map((x, at) => [x, x + 1e-3 * other[at], x - 2e-3 * other[size - 1 - at], x])));
    const products = Array.from(await basis.transpose().matmul(basis).data());
    // three directions; the fourth column is the first again, and left out
    close(products, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], { absolute });
  }
});

Deno.test("vectors are drawn by seed, the sketch apart from the queries", async () => {
  await useBackend("reference");
  const { matrix } = lowRank(3);
  const options = { length: size, sketch: 2, queries: 3 };
  const find = (seed: number) => hutchPlusPlus((x) => matrix.matmul(x), { ...options, seed }).trace.item();
  equal(await find(1), await find(1));
  ok(await find(1) !== await find(2));
  const given = { sketch: signs(2, (1 ^ 0x9e3779b9) >>> 0), queries: signs(3, 1) };
  equal(await hutchPlusPlus((x) => matrix.matmul(x), given).trace.item(), await find(1));
});

Deno.test("hutchinson() is the mean over its queries, with their standard error", async () => {
  await useBackend("reference");
  const { matrix, trace } = lowRank(5);
  const queries = signs(64, 3);
  const found = hutchinson((x) => matrix.matmul(x), { queries });
  const vectors = await queries.data();
  const values = await matrix.data();
  const samples = Array.from({ length: 64 }, (_, column) => {
    const v = Array.from({ length: size }, (_, i) => vectors[i * 64 + column]);
    return v.reduce((sum, x, i) => sum + x * v.reduce((inner, y, j) => inner + values[i * size + j] * y, 0), 0);
  });
  const mean = samples.reduce((sum, sample) => sum + sample) / 64;
  const error = Math.sqrt(samples.reduce((sum, sample) => sum + (sample - mean) ** 2, 0) / 63 / 64);
  close([await found.trace.item(), await found.standardError.item()], [mean, error], { relative: 1e-12 });
  ok(Math.abs(mean - trace) < 4 * error);
});

Deno.test("a Hessian is an operator, column by column", async () => {
  await useBackend("reference");
  const x = tensor(noise(size, { seed: 8 }));
  const loss = x.mul(x).mul(x).sum(); // its Hessian is diagonal: any signs give the trace
  const operator = columnwise((vector) => hessianVectorProduct(loss, [x], [vector])[0]);
  const trace = Array.from(await x.data()).reduce((sum, value) => sum + 6 * value, 0);
  close([await hutchinson(operator, { queries: signs(2, 1) }).trace.item()], [trace], { relative: 1e-12 });
});

Deno.test("a single query has no standard error", async () => {
  await useBackend("reference");
  equal(await hutchinson((x) => x.mul(2), { queries: signs(1, 1) }).standardError.item(), NaN);
});

const mistakes: [says: string, run: () => unknown, message: RegExp][] = [
  [
    "a vector for queries",
    () => hutchinson((x) => x, { queries: tensor([1, 1]) }),
    /by the queries float32\[2\]: wanted float32 of \[length, columns\]/,
  ],
  ["no query", () => hutchinson((x) => x, { queries: tensor(new Float32Array(0), { shape: [3, 0] }) }), /there is no vector/],
  ["columns of no length", () => hutchinson((x) => x, { queries: 3 }), /Cannot draw 3 queries of length undefined/],
  ["half a column", () => hutchPlusPlus((x) => x, { sketch: 0.5, length: 3 }), /Cannot draw 0.5 sketch of length 3/],
  [
    "columns of two lengths",
    () => hutchPlusPlus((x) => x, { sketch: tensor([[1], [1]]), queries: tensor([[1]]) }),
    /by float32\[2,1\] and float32\[1,1\]: wanted columns of one length/,
  ],
  [
    "an operator that changes shapes",
    () => hutchinson((x) => x.sum(), { queries: tensor([[1], [1]]) }),
    /the operator made float32\[\] of float32\[2,1\], wanted the same shape/,
  ],
];
for (const [says, run, message] of mistakes) Deno.test(`trace estimators refuse ${says}`, () => throws(run, message));

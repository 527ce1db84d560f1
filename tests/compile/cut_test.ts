/** Tensors larger than one buffer, at a limit so low that small ones are. */

import { arange, crossEntropy, gradients, rmsNorm, type Tensor, tensor, zeros } from "../../mod.ts";
import { writeRows } from "../../src/nn/write_rows.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual, ok } from "../assert.ts";
import { differences } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";

const limits = { maxBindingBytes: 4096 };
const lowLimits = { ...smallTarget.limits, ...limits };
const filled = (shape: number[], seed = 1) => tensor(noise(shape.reduce((a, b) => a * b, 1), { seed }), { shape });
const ids = tensor(Uint32Array.of(0, 5, 399, 400, 200, 5), { shape: [6] });

const cases: Readonly<Record<string, () => Tensor>> = {
  "element by element": () => filled([60, 50]).mul(2).add(filled([60, 50], 2)),
  "one element at a time": () => filled([61, 51]).sin(),
  "several results": () => filled([3001]).exp().add(filled([3001]).exp().sum()),
  "a transpose": () => filled([60, 52]).transpose().add(filled([52, 60], 2)),
  "a slice across the cut": () => filled([4000]).slice([1000], [1050]).mul(3),
  "padding and reversal": () => filled([1500]).pad([7], [1000]).flip(0).add(1),
  "a broadcast": () => filled([40]).reshape([40, 1]).expand([40, 80]).mul(filled([80])),
  "sums of rows": () => filled([40, 64]).square().sum({ axes: 1 }),
  "sums of columns": () => filled([40, 64]).square().sum({ axes: 0 }),
  "a sum of everything": () => filled([20_000]).sum(),
  "many partial results": () => arange([64, 1200]).sin().max({ axes: 0 }),
  softmax: () => filled([30, 100]).softmax(),
  "rows of a large table": () => filled([400, 16]).gather(ids),
  "float16": () => filled([50, 60]).cast("float16").reshape([60, 50]).transpose().cast("float32").add(1),
  "a product with a large left operand": () => filled([100, 20]).matmul(filled([20, 3], 2)),
  "a product with a large right operand": () => filled([2, 3, 40]).matmul(filled([60, 40], 2).transpose()),
  "a large product": () => filled([2, 40, 4]).matmul(filled([2, 4, 40], 2)),
  "a part of a large operand": () => filled([4, 40]).matmul(filled([100, 40], 2).slice([20, 0], [70, 40]).transpose()),
  "a product of large tensors": () => filled([60, 50]).matmul(filled([50, 70], 2)),
  "rows summed into a large table": () => filled([6, 16]).scatterAdd(ids, 400),
  "rows summed into a large table that is read in place": () => filled([6, 16]).scatterAdd(ids, 400).add(filled([400, 16])),
  "large updates": () => filled([500, 4]).scatterAdd(tensor(Int32Array.from({ length: 500 }, (_, i) => i % 37 - 1)), 30),
  "other rows": () => filled([30, 7, 12]).reshape([10, 21, 12]).transpose([1, 0, 2]).reshape([2520]).add(1),
  "fused operations": () =>
    rmsNorm(filled([40, 64]), filled([64], 2)).add(crossEntropy(filled([40, 64], 3), zeros([40], "uint32"))),
  "a gradient": () => {
    const x = filled([50, 60]);
    return gradients(x.softmax().square().sum().add(x.transpose().tanh().mul(filled([60, 50], 2)).sum()), [x])[0];
  },
};

const build = () => Object.values(cases).map((build) => build());

Deno.test("tensors larger than one buffer give the same numbers", async () => {
  const expected = await runLowered(build());
  for (const texelReads of [false, true]) {
    const actual = await runLowered(build(), { limits, texelReads });
    deepEqual(differences(Object.keys(cases), actual, expected), []);
  }
});

Deno.test("no buffer is longer than the limit, and no kernel has more of them than there are", () => {
  const target = { ...smallTarget, limits: lowLimits };
  for (const output of build()) {
    const { dispatches, inputBytes, outputs, scratchBytes } = lower(flat([output]), target);
    for (const { bindings } of dispatches) ok(bindings.length <= smallTarget.limits.maxStorageBuffers);
    for (const bytes of [...inputBytes, ...outputs.map(({ bytes }) => bytes), ...scratchBytes]) ok(bytes <= 4096, `${bytes}`);
  }
});

Deno.test("rows are written over those of a large table by the same kernel in each piece, and nothing is copied", () => {
  const table = filled([1, 1, 150, 20]);
  const written = writeRows(table, filled([1, 1, 5, 20], 2), tensor(Uint32Array.of(70), { shape: [] }));
  const { dispatches, scratchBytes, outputs } = lower(flat([written], [table]), { ...smallTarget, limits: lowLimits });
  deepEqual(dispatches.map(({ label }) => label).filter((label) => label !== "write_rows"), ["sub+sub+sub"]);
  deepEqual([scratchBytes, outputs.map(({ donor }) => donor)], [[4, 4, 4], [0, 1, 2, 3]]);
});

Deno.test("a table of comparisons that no kernel stores is not cut, however large", () => {
  const many = tensor(Uint32Array.from({ length: 200 }, (_, i) => 7 * i % 200));
  const slope = filled([200, 3]).scatterAdd(many, 1000); // compares 200 indices with 1000 rows, which become three pieces
  const { dispatches, scratchBytes } = lower(flat([slope]), { ...smallTarget, limits: lowLimits });
  deepEqual(dispatches.map(({ label }) => label), ["max", "sub", "scatter_add", "gather", "gather", "gather"]);
  deepEqual(scratchBytes.toSorted((a, b) => a - b), [800, 2400, 4000]);
});

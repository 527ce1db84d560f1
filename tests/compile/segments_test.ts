/** Tensors larger than one binding, at a limit so low that small ones are. */

import { arange, crossEntropy, gradients, rmsNorm, type Tensor, tensor, type TensorData, zeros } from "../../mod.ts";
import { deepEqual, ok, rejects } from "../assert.ts";
import { differences } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";
import { lower } from "../../src/compile/lower.ts";
import { segmentBindings, segmentsOf } from "../../src/compile/segments.ts";

const limits = { maxBindingBytes: 4096 };
const cut = { limits, texelReads: false };
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
  "rows summed into a large table": () => filled([6, 16]).scatterAdd(ids, 400),
  "fused operations": () =>
    rmsNorm(filled([40, 64]), filled([64], 2)).add(crossEntropy(filled([40, 64], 3), zeros([40], "uint32"))),
  "a gradient": () => {
    const x = filled([50, 60]);
    return gradients(x.softmax().square().sum().add(x.transpose().tanh().mul(filled([60, 50], 2)).sum()), [x])[0];
  },
};

/** Data of a tensor at the lowest limit at which the device has bindings enough: some have ten. */
async function runCut(output: Tensor, { maxBindingBytes } = limits): Promise<TensorData[]> {
  try {
    return await runLowered([output], { ...cut, limits: { maxBindingBytes } });
  } catch (error) {
    if (maxBindingBytes > 8192 || !/there are 1\d$/.test((error as Error).message)) throw error;
    return await runCut(output, { maxBindingBytes: maxBindingBytes + 4096 });
  }
}

Deno.test("tensors larger than one binding give the same numbers", async () => {
  const [names, outputs] = [Object.keys(cases), () => Object.values(cases).map((build) => build())];
  const expected = await runLowered(outputs());
  const large = outputs();
  for (const [k, output] of large.entries()) {
    const actual = await runCut(output);
    deepEqual(differences([names[k]], actual, [expected[k]]), []);
  }
});

Deno.test("every binding is within the limit, aligned, and no two overlap", () => {
  const target = { ...smallTarget, limits: { ...smallTarget.limits, maxStorageBuffers: 32, ...limits } };
  for (const build of Object.values(cases)) {
    for (const { bindings } of lower(flat([build()]), target).dispatches) {
      ok(bindings.length <= 32);
      for (const { range } of bindings) ok(!range || range.bytes <= 4096 && range.offset % 256 === 0);
    }
  }
  const segments = segmentsOf(10_001, { maxBindingBytes: 4100 })!;
  deepEqual(segmentBindings({ slot: { kind: "input", index: 0 }, access: "read" }, segments).map(({ range }) => range), [
    { offset: 0, bytes: 4096 },
    { offset: 4096, bytes: 4096 },
    { offset: 8192, bytes: 2048 },
  ]);
});

Deno.test("what takes more bindings than there are is refused with the numbers", async () => {
  await rejects(
    runLowered([filled([40_000]).exp()], { ...cut, limits: { ...limits, maxStorageBuffers: 16 } }),
    /Cannot run on this adapter: a tensor takes 160000 bytes, its kernel 80 bindings of at most 4096, and there are 16/,
  );
});

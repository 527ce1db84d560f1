/**
 * The kernels that a device is given, each in a few awkward sizes, against float64: as many as a software driver compiles in a minute or two.
 * As a GPU these are kernels with workgroup memory and barriers, which software drivers never choose by themselves.
 */

import {
  causalAttention,
  crossEntropy,
  gradients,
  hessianVectorProduct,
  hestia,
  packedMatmul,
  type Shape,
  type Tensor,
  tensor,
  useBackend,
} from "../../mod.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { packWeights } from "../../src/pack/packed_weight.ts";
import { deepEqual } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { noise } from "../support/numbers.ts";

const random = (shape: Shape, seed: number) => tensor(noise(sizeOf(shape), { seed })).reshape(shape);

const packed = () => {
  const rows = 40, columns = 128;
  const codes = Int8Array.from({ length: rows * columns }, (_, at) => (at * 7 + Math.floor(at / 5)) % 3 - 1);
  const scales = Float32Array.from({ length: rows }, (_, row) => 0.5 + row / 8);
  return { rows, columns, groupSize: -1, codes, scales };
};

const works: Readonly<Record<string, () => Record<string, Tensor>>> = {
  "products of odd, even and few rows": () => {
    const odd = random([33, 19], 1).matmul(random([19, 35], 2));
    const even = random([68, 72], 3).matmul(random([72, 132], 4));
    const few = random([3, 260], 5).matmul(random([12, 260], 6).transpose());
    const sum = random([20, 24], 7).matmul(random([24, 28], 8)).add(random([20, 24], 9).matmul(random([24, 28], 10)));
    return { odd, even, few, sum };
  },
  "reductions of rows, columns and everything": () => {
    const x = random([37, 130], 11);
    return {
      rows: x.softmax(),
      norm: x.div(x.square().mean({ axes: 1, keepDims: true }).add(1e-5).sqrt()),
      columns: x.sum({ axes: 0 }),
      all: random([3, 4099], 12).square().sum(),
      largest: x.max({ axes: 1 }),
    };
  },
  "losses of logits, and tables": () => {
    const [table, logits] = [random([21, 8], 13), random([9, 50], 14)];
    const indices = tensor([3, 3, 0, 20, 7, 3, 11, 5, 3], { dtype: "uint32" });
    const loss = crossEntropy(logits.mul(4), indices).add(table.gather(indices).square().sum());
    const [logitSlopes, tableSlopes] = gradients(loss, [logits, table]);
    return { loss, logitSlopes, tableSlopes };
  },
  "attention and its derivatives": () => {
    const inputs = [random([1, 4, 35, 12], 15), random([1, 2, 35, 12], 16), random([1, 2, 35, 12], 17)];
    const loss = causalAttention(inputs[0], inputs[1], inputs[2]).square().sum();
    return Object.fromEntries([loss, ...gradients(loss, inputs)].map((each, at) => [`result ${at}`, each]));
  },
  "relaxed weights and a Hessian-vector product": () => {
    const w = random([10, 48], 18);
    const loss = random([7, 48], 19).matmul(hestia(w, { temperature: 0.2, pressure: 0.7, groupSize: 16 }).transpose()).square()
      .mean();
    return { slope: gradients(loss, [w])[0], product: hessianVectorProduct(loss, [w], [random([10, 48], 20)])[0] };
  },
  "packed weights": () => {
    const [plain, dense] = [packWeights([packed()]), packWeights([packed()], { dense: true })];
    const rows = [1, 9].map((count) => random([count, 128], 21));
    return Object.fromEntries(rows.flatMap((x) => [
      [`${x}`, packedMatmul(x, plain)],
      [`${x}, bytes`, packedMatmul(x, plain, { activations: "int8" })],
      [`${x}, dense`, packedMatmul(x, dense)],
    ]));
  },
};

for (const [name, work] of Object.entries(works)) {
  Deno.test(`${name} agree with float64`, () => agree(work, { relative: 1e-4 }));
}

Deno.test("the kernels that are timed against each other give the same bits", async () => {
  const product = () => random([256, 256], 22).matmul(random([256, 256], 23)).data();
  await useBackend("webgpu", { tune: false });
  const usual = await product();
  await useBackend("webgpu", { tune: true });
  try {
    deepEqual(await product(), usual);
  } finally {
    await useBackend("webgpu", { tune: false });
  }
});

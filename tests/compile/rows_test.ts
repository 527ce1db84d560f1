/** Kernels that go over rows: what joins, and that rows of any number and width come out right. */

import { type Tensor, tensor, type TensorData, useBackend } from "../../mod.ts";
import { deepEqual, equal } from "../assert.ts";
import { differences, read } from "../support/backends.ts";
import { flat, programOf, smallTarget } from "../support/compiler.ts";
import { lower } from "../../src/compile/lower.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";

const filled = (...shape: number[]): Tensor =>
  tensor(noise(shape.reduce((size, length) => size * length, 1), { seed: shape.length }), { shape });
const last = { axes: -1, keepDims: true };
const normalized = (x: Tensor): Tensor => x.div(x.square().mean(last).add(1e-5).sqrt());

/** Results of rows, as many of them per element as per row, some of which wait for others. */
const works: Readonly<Record<string, (x: Tensor) => Tensor[]>> = {
  "a norm, and its root": (x) => [normalized(x), x.square().mean(last).add(1e-5).sqrt()],
  "a softmax of two passes": (x) => [x.sub(x.max(last)).exp().div(x.sub(x.max(last)).exp().sum(last))],
  "a deviation, scaled by what follows from it": (x) => {
    const centred = x.sub(x.mean(last));
    return [centred.div(centred.square().mean(last).add(0.1).sqrt()).mul(filled(x.shape.at(-1)!)), centred.abs().max(last)];
  },
  "integers": (x) => {
    const whole = x.mul(100).cast("int32");
    return [whole.sub(whole.max(last)), whole.sum(last)];
  },
};

Deno.test("rows of any number and width, with and without textures", async () => {
  const shapes = [[1, 2], [3, 5], [64, 36], [65, 7], [70, 1028]];
  for (const [says, work] of Object.entries(works)) {
    const names: string[] = [];
    const expected: TensorData[] = [], actual: TensorData[] = [];
    for (const shape of shapes) {
      await useBackend("reference");
      const wanted = await read(work(filled(...shape)));
      await useBackend("webgpu");
      for (const texelReads of [true, false]) {
        actual.push(...await runLowered(work(filled(...shape)), { texelReads }));
        expected.push(...wanted);
        names.push(...wanted.map((_, index) => `${says}, [${shape}], output ${index}, ${texelReads ? "textures" : "buffers"}`));
      }
    }
    deepEqual(differences(names, actual, expected), []);
  }
});

for (const [says, work] of Object.entries(works)) {
  Deno.test(`${says}: 1 kernel`, () => equal(programOf(work(filled(70, 36))).dispatches.length, 1));
}

const apart: Readonly<Record<string, [kernels: number, outputs: () => Tensor[]]>> = {
  "a row that reads other rows": [2, () => ((x) => [x.add(x.sum(last).flip(0))])(filled(70, 8))],
  "sums of columns, read by rows": [2, () => ((x) => [x.add(x.sum({ axes: 0, keepDims: true }))])(filled(70, 8))],
  "rows of different widths": [2, () => [normalized(filled(70, 8)), normalized(filled(70, 12))]],
  "few long rows": [3, () => [normalized(filled(2, 40_000))]],
};

for (const [says, [kernels, outputs]] of Object.entries(apart)) {
  Deno.test(`${says}: ${kernels} kernels`, () => equal(programOf(outputs()).dispatches.length, kernels));
}

Deno.test("equal rows of two layers share a shader", () => {
  const target = { ...smallTarget, texelReads: true };
  const weight = filled(64, 64);
  const { dispatches } = lower(flat([normalized(normalized(filled(70, 64)).matmul(weight)).matmul(weight)]), target);
  const shaders = dispatches.map(({ shader }) => shader).filter((shader) => shader.startsWith("// MEMBERS"));
  equal(shaders.length, 2);
  equal(new Set(shaders).size, 1);
});

Deno.test("long chains that are cut within rows bind no more than a device has", () => {
  for (let count = 1; count < 8; count++) {
    const others = Array.from({ length: count }, (_, k) => tensor(noise(8, { seed: k }), { shape: [8] }));
    let x = filled(70, 8);
    for (let link = 0; link < 150; link++) x = x.add(others[link % count]).tanh();
    const { dispatches } = programOf([normalized(x), normalized(x.mul(2)).add(x)]);
    deepEqual(dispatches.filter(({ bindings }) => bindings.length > smallTarget.limits.maxStorageBuffers), []);
  }
});

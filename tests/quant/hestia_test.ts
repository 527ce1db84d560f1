/** The relaxation against its formula, written out in plain numbers. */

import { compile, gradients, hessianVectorProduct, type Tensor, tensor, useBackend } from "../../mod.ts";
import { absmeanCodes, nearestCode } from "../../src/quant/codebook.ts";
import { hestia, type HestiaOptions } from "../../src/quant/hestia.ts";
import { softCode } from "../../src/quant/relaxation.ts";
import { deepEqual, ok, throws } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";
import { agree } from "../support/backends.ts";

const shape = [3, 8];
const weights = noise(24, { seed: 5, low: -2, high: 2 });
const weight = () => tensor(weights, { shape });
const read = async (x: Tensor) => Array.from(await x.data());

/** Positions of the groups' elements. */
function groupsOf(groupSize: number): number[][] {
  const length = groupSize === 0 ? 24 : groupSize === -1 ? 8 : groupSize;
  return Array.from({ length: 24 / length }, (_, group) => Array.from({ length }, (_, index) => group * length + index));
}

/** The formula, element by element. */
function expected(values: ArrayLike<number>, options: { temperature: number; pressure: number; groupSize: number }): number[] {
  const result: number[] = [];
  for (const group of groupsOf(options.groupSize)) {
    const scale = Math.max(group.reduce((sum, at) => sum + Math.abs(values[at]), 0) / group.length, 1e-5);
    for (const at of group) {
      const powers = [-1, 0, 1].map((code) => Math.exp(-((values[at] / scale - code) ** 2) / (options.temperature + 1e-6)));
      const q = scale * (powers[2] - powers[0]) / (powers[0] + powers[1] + powers[2]);
      result[at] = values[at] + options.pressure * (q - values[at]);
    }
  }
  return result;
}

for (const groupSize of [0, -1, 4, 8]) {
  for (const [temperature, pressure] of [[2, 1], [0.35, 0.3], [0.05, 1]]) {
    Deno.test(`hestia() follows its formula in groups of ${groupSize} at temperature ${temperature}, pressure ${pressure}`, async () => {
      await useBackend("reference");
      const options = { temperature, pressure, groupSize };
      close(await read(hestia(weight(), options)), expected(weights, options), { absolute: 1e-13 });
      const asTensors = hestia(weight(), { temperature: tensor(temperature), pressure: tensor(pressure), groupSize });
      close(await read(asTensors), expected(weights, options), { absolute: 1e-13 });
    });
  }
}

Deno.test("hestia() has exact first and second derivatives, the scale included", async () => {
  await useBackend("reference");
  const options = { temperature: 0.3, pressure: 0.8, groupSize: 4 };
  const factors = noise(24, { seed: 8 });
  const direction = noise(24, { seed: 9 });
  const loss = (w: Tensor) => hestia(w, options).sin().mul(tensor(factors, { shape })).sum();
  const w = weight();
  const [slope] = gradients(loss(w), [w]);
  const [product] = hessianVectorProduct(loss(w), [w], [tensor(direction, { shape })]);
  const step = 1e-5;
  const moved = (sign: number) => tensor(Float64Array.from(weights, (x, i) => x + sign * step * direction[i]), { shape });
  const [up, down] = [moved(1), moved(-1)];
  const along = (await loss(up).item() - await loss(down).item()) / (2 * step);
  close([(await read(slope)).reduce((sum, g, i) => sum + g * direction[i], 0)], [along], { relative: 1e-7 });
  const [after, before] = await Promise.all([up, down].map((at) => read(gradients(loss(at), [at])[0])));
  close(await read(product), after.map((g, i) => (g - before[i]) / (2 * step)), { absolute: 1e-6 });
});

Deno.test("hestia() hard: ternary values, and the identity plus the derivative of the scale", async () => {
  await useBackend("reference");
  for (const groupSize of [0, -1, 4]) {
    const upstream = noise(24, { seed: 3 });
    const w = weight();
    const q = hestia(w, { hard: true, groupSize });
    const [slope] = gradients(q.mul(tensor(upstream, { shape })).sum(), [w]);
    const values = await read(q);
    const wanted: number[] = [];
    for (const group of groupsOf(groupSize)) {
      const scale = group.reduce((sum, at) => sum + Math.abs(weights[at]), 0) / group.length;
      const codes = group.map((at) => Math.max(-1, Math.min(1, Math.round(weights[at] / scale))));
      close(group.map((at) => values[at]), codes.map((code) => code * scale), { absolute: 1e-14 });
      const shared = codes.reduce((sum, code, index) => sum + code * upstream[group[index]], 0) / group.length;
      for (const at of group) wanted[at] = upstream[at] + Math.sign(weights[at]) * shared;
    }
    close(await read(slope), wanted, { absolute: 1e-13 });
  }
});

Deno.test("hestia() without a scale gradient: the same values, each weight differentiated as if its scale were a number", async () => {
  await useBackend("reference");
  const options = { temperature: 0.3, pressure: 0.8, groupSize: 4 };
  const w = weight();
  const relaxed = hestia(w, { ...options, scaleGradient: false });
  deepEqual(await read(relaxed), await read(hestia(w, options)));
  const [slope] = gradients(relaxed.sum(), [w]);
  const wanted: number[] = [];
  for (const group of groupsOf(4)) {
    const scale = group.reduce((sum, at) => sum + Math.abs(weights[at]), 0) / group.length;
    const part = tensor(Float64Array.from(group, (at) => weights[at]));
    const [own] = gradients(softCode(part.div(scale), options).mul(scale * 0.8).add(part.mul(0.2)).sum(), [part]);
    (await read(own)).forEach((g, index) => wanted[group[index]] = g);
  }
  close(await read(slope), wanted, { absolute: 1e-13 });
  const [hard] = gradients(hestia(w, { hard: true, groupSize: 4, scaleGradient: false }).sum(), [w]);
  deepEqual(await read(hard), new Array(24).fill(1));
});

Deno.test("hestia() is exactly the weight at pressure 0 and exactly ternary at pressure 1, in float32 too", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const run = compile(({ w, pressure }: { w: Tensor; pressure: Tensor }) => hestia(w, { hard: true, pressure, groupSize: 8 }));
    deepEqual(await read(run({ w: weight(), pressure: 0 })), Array.from(weights));
    const { codes, scales } = absmeanCodes(weight(), { groupSize: 8 });
    const [quantized, integers, scale] = await Promise.all([run({ w: weight(), pressure: 1 }), codes, scales].map(read));
    deepEqual(quantized.map((value) => value + 0), integers.map((code, at) => code * scale[Math.floor(at / 8)] + 0));
  }
});

Deno.test("hestia() approaches the hard values as the temperature vanishes, without overflow or NaN", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const w = tensor([[40, -3, 0.2, 0.9], [0, 0, 0, 0], [1e-7, -1e-7, 0, 0]]);
    for (const temperature of [0, 1e-12, 1e-6, 1e-4]) {
      const q = hestia(w, { temperature: tensor(temperature), groupSize: -1 });
      const [soft, hard, slope] = await Promise.all(
        [q, hestia(w, { temperature: 0, groupSize: -1 }), gradients(q.sum(), [w])[0]].map(read),
      );
      close(soft, hard, { absolute: 1e-5 });
      ok(slope.every(Number.isFinite), `${backend} at ${temperature}: ${slope}`);
    }
  }
});

Deno.test("softCode() of a general codebook agrees with the ternary short cut, and honours other codes", async () => {
  await useBackend("reference");
  const x = tensor(noise(50, { seed: 4, low: -3, high: 3 }));
  for (const temperature of [0.01, 0.5, 3]) {
    const ternary = await read(softCode(x, { temperature }));
    // a fourth code, too far away to matter: the general path
    close(await read(softCode(x, { temperature, codebook: [-1, 0, 1, 1e3] })), ternary, { absolute: 1e-13 });
  }
  const wide = await read(softCode(tensor([-9, -1.6, 0.4, 1.4, 7]), { temperature: 1e-3, codebook: [-2, -1, 0, 1, 2] }));
  close(wide, [-2, -2, 0, 1, 2], { absolute: 1e-9 });
});

Deno.test("nearestCode() rounds ties toward zero: half to even for ternary", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const x = tensor([-2, -1.5, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1.5, 2]);
    deepEqual(await read(nearestCode(x, [-1, 0, 1])), [-1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1]);
    deepEqual(await read(nearestCode(x, [-2, 0, 1, 2])), [-2, -2, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
  }
});

Deno.test("both devices agree on hestia() and its derivatives", async () => {
  await agree(() => {
    const w = weight();
    const outputs: Record<string, Tensor> = {};
    for (const groupSize of [0, -1, 4]) {
      const loss = hestia(w, { temperature: 0.35, pressure: 0.7, groupSize }).square().sum();
      outputs[`gradient, groups of ${groupSize}`] = gradients(loss, [w])[0];
      outputs[`curvature, groups of ${groupSize}`] = hessianVectorProduct(loss, [w], [w.cos()])[0];
    }
    return outputs;
  });
});

const mistakes: [says: string, options: HestiaOptions, message: RegExp, shape?: number[]][] = [
  [
    "groups that do not divide",
    { temperature: 1, groupSize: 32 },
    /Cannot quantize float32\[64,100\] in groups of 32: .*got 100/,
    [64, 100],
  ],
  ["a fractional group size", { temperature: 1, groupSize: 1.5 }, /in groups of 1.5: wanted 0/],
  ["channels of a vector", { temperature: 1, groupSize: -1 }, /at least two axes/, [8]],
  ["no element", { temperature: 1 }, /there is no element/, [0, 4]],
  ["no temperature", {}, /wanted a temperature, or hard: true/],
  ["a negative temperature", { temperature: -1 }, /temperature -1: wanted a finite number of at least 0/],
  ["too much pressure", { temperature: 1, pressure: 1.5 }, /pressure 1.5: wanted a number from 0 to 1/],
  [
    "a temperature for each element",
    { temperature: tensor([1, 2]) },
    /temperature float32\[2\]: wanted a number or a float32 scalar/,
  ],
  [
    "a codebook out of order",
    { temperature: 1, codebook: [1, 0] },
    /codebook \[1,0\]: wanted two or more values in ascending order/,
  ],
];
for (const [says, options, message, other = shape] of mistakes) {
  Deno.test(`hestia() refuses ${says}`, () => {
    throws(() => hestia(tensor(new Float32Array(other.reduce((a, b) => a * b)), { shape: other }), options), message);
  });
}

Deno.test("hestia() refuses integers", () => {
  throws(
    () => hestia(tensor(new Int32Array(4)), { temperature: 1 }),
    /Cannot quantize int32\[4\]: wanted a floating-point tensor/,
  );
});

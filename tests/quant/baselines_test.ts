/** Quantizers of other papers, against numbers worked out by hand and against the definitions of their gradients. */

import { gradients, hessianVectorProduct, quantizers, type Tensor, tensor, useBackend } from "../../mod.ts";
import type { Quantizer, QuantizerState } from "../../src/quant/quantizer.ts";
import { tequilaBias } from "../../src/quant/tequila.ts";
import { deepEqual, ok } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";

const read = async (x: Tensor) => Array.from(await x.data(), (value) => value + 0);
const row = (values: readonly number[]) => tensor([values]);

/** Two groups of four, worked out by hand. */
const weights = [0.5, -1, 0.125, 0.375, 2, 2, -2, 0.25];

interface Example {
  readonly quantizer: keyof typeof quantizers;
  readonly parameters?: Readonly<Record<string, number[]>>;
  readonly quantized: readonly number[];
  readonly codes?: readonly number[];
  readonly scales?: readonly number[];
}

const examples: Example[] = [
  // mean magnitudes 0.5 and 1.5625: thresholds 0.35 and 1.09375
  {
    quantizer: "twn",
    quantized: [0.625, -0.625, 0, 0.625, 2, 2, -2, 0],
    codes: [1, -1, 0, 1, 1, 1, -1, 0],
    scales: [0.625, 2],
  },
  // steps of two mean magnitudes
  {
    quantizer: "lsq",
    quantized: [0, -1, 0, 0, 3.125, 3.125, -3.125, 0],
    codes: [0, -1, 0, 0, 1, 1, -1, 0],
    scales: [1, 3.125],
  },
  {
    quantizer: "lsq",
    parameters: { step: [0.5, 0.5] },
    quantized: [0.5, -0.5, 0, 0.5, 0.5, 0.5, -0.5, 0],
    codes: [1, -1, 0, 1, 1, 1, -1, 0],
    scales: [0.5, 0.5],
  },
  // ranges of the largest magnitudes, 1 and 2: levels 2/3 and 4/3 from a third of the range on
  {
    quantizer: "seq",
    quantized: [2 / 3, -2 / 3, 0, 2 / 3, 4 / 3, 4 / 3, -4 / 3, 0],
    codes: [1, -1, 0, 1, 1, 1, -1, 0],
    scales: [2 / 3, 4 / 3],
  },
  {
    quantizer: "seq",
    parameters: { range: [3, 0.6] },
    quantized: [0, -0, 0, 0, 0.4, 0.4, -0.4, 0.4],
    codes: [0, 0, 0, 0, 1, 1, -1, 1],
    scales: [2, 0.4],
  },
  { quantizer: "dlt", quantized: [0.625, -0.625, 0, 0.625, 2, 2, -2, 0] },
  {
    quantizer: "dlt",
    parameters: { scale: [0.5, 1], shift: [0.25, -1] },
    quantized: [0.75, -0.25, 0.25, 0.75, 0, 0, -2, -1],
  },
  // thresholds of half the mean magnitude
  {
    quantizer: "tequila",
    quantized: [0.5, -0.5, 0, 0.5, 1.5625, 1.5625, -1.5625, 0],
    codes: [1, -1, 0, 1, 1, 1, -1, 0],
    scales: [0.5, 1.5625],
  },
  {
    quantizer: "hestia_1bit",
    quantized: [0.5, -0.5, 0.5, 0.5, 1.5625, 1.5625, -1.5625, 1.5625],
    codes: [1, -1, 1, 1, 1, 1, -1, 1],
    scales: [0.5, 1.5625],
  },
  {
    quantizer: "hestia_2bit",
    quantized: [0.5, -1, 0, 0.5, 1.5625, 1.5625, -1.5625, 0],
    codes: [1, -2, 0, 1, 1, 1, -1, 0],
    scales: [0.5, 1.5625],
  },
];

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`quantized weights, codes and scales are those worked out by hand (${backend})`, async () => {
    await useBackend(backend);
    for (const { quantizer: name, parameters: numbers = {}, quantized, codes, scales } of examples) {
      const quantizer: Quantizer = quantizers[name];
      const parameters = Object.fromEntries(Object.entries(numbers).map(([part, values]) => [part, tensor(values)]));
      const state = { recipe: "hestia-2025" as const, groupSize: 4, hard: true, parameters };
      close(await read(quantizer.quantize(row(weights), state)), quantized, { absolute: 3e-7, says: name });
      if (!quantizer.codes) continue;
      const packed = quantizer.codes(row(weights), state);
      deepEqual(await read(packed.codes), codes, name);
      close(await read(packed.scales), scales!, { absolute: 2e-7, says: name });
    }
  });
}

/** Gradients of Σ q · g for the weight and for each parameter. */
async function slopes(quantizer: Quantizer, { groupSize, parameters = {} }: QuantizerState) {
  const w = row(weights);
  const g = noise(8, { seed: 3 });
  const names = Object.keys(parameters);
  const q = quantizer.quantize(w, { groupSize, parameters });
  const found = gradients(q.mul(row(Array.from(g))).sum(), [w, ...names.map((name) => parameters[name])]);
  const [weight, ...others] = await Promise.all(found.map(read));
  return { g: Array.from(g), weight, parameters: Object.fromEntries(names.map((name, index) => [name, others[index]])) };
}

Deno.test("twn() and dlt() have the identity for a gradient", async () => {
  await useBackend("reference");
  for (const quantizer of [quantizers.twn, quantizers.dlt, quantizers.tequila]) {
    for (const groupSize of [0, -1, 4]) {
      const { g, weight } = await slopes(quantizer, { groupSize });
      deepEqual(weight, g);
    }
  }
});

Deno.test("lsq() has the gradients of its paper", async () => {
  await useBackend("reference");
  const steps = [0.625, 1.5];
  const { g, weight, parameters } = await slopes(quantizers.lsq, { groupSize: 4, parameters: { step: tensor(steps) } });
  const wanted = [0, 0];
  weights.forEach((w, at) => {
    const x = w / steps[at >> 2];
    close([weight[at]], [Math.abs(x) <= 1 ? g[at] : 0], { absolute: 1e-15 });
    const slope = Math.abs(x) < 1 ? Math.round(x) - x : Math.sign(x);
    wanted[at >> 2] += g[at] * slope / Math.sqrt(4 * 1);
  });
  close(parameters.step, wanted, { absolute: 1e-15 });
});

Deno.test("seq() has the gradients of its published code", async () => {
  await useBackend("reference");
  const ranges = [0.8, 3];
  const { g, weight, parameters } = await slopes(quantizers.seq, { groupSize: 4, parameters: { range: tensor(ranges) } });
  const wanted = [0, 0];
  weights.forEach((w, at) => {
    const x = w / ranges[at >> 2];
    const within = Math.abs(x) <= 0.99;
    close([weight[at]], [within ? g[at] : 0], { absolute: 1e-15 });
    const slope = within ? Math.round(1.5 * x) / 1.5 - x : Math.sign(x);
    wanted[at >> 2] += g[at] * slope / Math.sqrt(8);
  });
  close(parameters.range, wanted, { absolute: 1e-15 });
});

Deno.test("dlt() learns its scale by the codes and its shift by all", async () => {
  await useBackend("reference");
  const parameters = { scale: tensor([1, 1]), shift: tensor([0, 0]) };
  const { g, parameters: found } = await slopes(quantizers.dlt, { groupSize: 4, parameters });
  close(found.scale, [g[0] - g[1] + g[3], g[4] + g[5] - g[6]], { absolute: 1e-15 });
  close(found.shift, [g[0] + g[1] + g[2] + g[3], g[4] + g[5] + g[6] + g[7]], { absolute: 1e-15 });
});

Deno.test("a learned scale that fell below zero counts as the smallest one, and its gradient can bring it back", async () => {
  await useBackend("reference");
  for (const [name, part] of [["lsq", "step"], ["seq", "range"]] as const) {
    const state = { groupSize: 0, parameters: { [part]: tensor([-1]) } };
    const quantizer = quantizers[name];
    const largest = (await read(quantizer.quantize(row(weights), state))).reduce((most, value) => Math.max(most, value));
    ok(largest > 0 && largest <= 1e-5);
    const found = await slopes(quantizer, state);
    ok(found.parameters[part][0] !== 0 && Number.isFinite(found.parameters[part][0]));
  }
});

Deno.test("tequilaBias() sums what rounds to zero, and only that gets its gradient", async () => {
  await useBackend("reference");
  const w = tensor([[1, 0.25, -0.125], [-0.25, 0.1875, 0]]);
  const bias = tequilaBias(w, { groupSize: -1 }); // thresholds 11/48 and 7/96
  close(await read(bias), [-0.125e-3, 0], { absolute: 1e-18 });
  const [slope] = gradients(bias.mul(tensor([2, 3])).sum(), [w]);
  close(await read(slope), [0, 0, 0.002, 0, 0, 0.003], { absolute: 1e-18 });
});

Deno.test("second derivatives of every quantizer are finite", async () => {
  await useBackend("reference");
  for (const [name, quantizer] of Object.entries(quantizers) as [string, Quantizer][]) {
    const values = noise(48, { seed: 4, low: -2, high: 2 });
    values.set([0, 0, 0, 0, 0, 0], 6); // a group of zeros
    const w = tensor(values, { shape: [4, 12] });
    const groupSize = name.startsWith("fairy") ? 0 : 6;
    const parameters = quantizer.parameters?.(w, { groupSize }) ?? {};
    for (const phase of quantizer.anneals ? [{ temperature: 0.3, pressure: 0.5 }, { hard: true }] : [{}]) {
      const xs = [w, ...Object.values(parameters)];
      const q = quantizer.quantize(w, { groupSize, parameters, ...phase });
      const products = hessianVectorProduct(q.sin().sum(), xs, xs.map((x) => x.cos()));
      for (const product of products) ok((await read(product)).every(Number.isFinite), `${name}: ${await read(product)}`);
    }
  }
});

/** The relaxation against its formula, written out in plain numbers. */

import { compile, gradients, hessianVectorProduct, type Tensor, tensor, useBackend } from "../../mod.ts";
import { absmeanCodes, nearestCode } from "../../src/quant/codebook.ts";
import { codebookOf } from "../../src/release.ts";
import { hestia, type HestiaOptions } from "../../src/quant/hestia.ts";
import { quantizerNamed } from "../../src/quant/registry.ts";
import { softCode } from "../../src/quant/relaxation.ts";
import { type RecipeName, recipeNames, recipes } from "../../src/recipes.ts";
import { deepEqual, ok, throws } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";
import { agree } from "../support/backends.ts";

const shape = [3, 14];
const count = 42;
const weights = noise(count, { seed: 5, low: -2, high: 2 });
const weight = () => tensor(weights, { shape });
const read = async (x: Tensor) => Array.from(await x.data());

/** Positions of the groups' elements. */
function groupsOf(groupSize: number): number[][] {
  const length = groupSize === 0 ? count : groupSize === -1 ? 14 : groupSize;
  return Array.from({ length: count / length }, (_, group) => Array.from({ length }, (_, index) => group * length + index));
}

/** Scale of a group by a release. The epsilon is large, so that it is seen. */
function scaleOf(group: readonly number[], recipe: RecipeName, scaleEpsilon: number): number {
  const mean = group.reduce((sum, at) => sum + Math.abs(weights[at]), 0) / group.length;
  return recipe === "hestia-2026" ? mean + scaleEpsilon : Math.max(mean, scaleEpsilon);
}

interface Settings {
  readonly recipe: RecipeName;
  readonly scaleEpsilon: number;
  readonly temperature: number;
  readonly pressure: number;
  readonly groupSize: number;
}

/** The formula, element by element. */
function expected({ recipe, scaleEpsilon, temperature, pressure, groupSize }: Settings): number[] {
  const offset = recipe === "hestia-2026" ? 0 : 1e-6;
  const result: number[] = [];
  for (const group of groupsOf(groupSize)) {
    const scale = scaleOf(group, recipe, scaleEpsilon);
    for (const at of group) {
      const powers = [-1, 0, 1].map((code) => Math.exp(-((weights[at] / scale - code) ** 2) / (temperature + offset)));
      const q = scale * (powers[2] - powers[0]) / (powers[0] + powers[1] + powers[2]);
      result[at] = weights[at] + pressure * (q - weights[at]);
    }
  }
  return result;
}

for (const recipe of recipeNames) {
  for (const groupSize of [0, -1, 7, 2]) {
    Deno.test(`hestia() follows the formula of ${recipe} in groups of ${groupSize}`, async () => {
      await useBackend("reference");
      for (const [temperature, pressure] of [[2, 1], [0.35, 0.3], [0.05, 1]]) {
        for (const scaleEpsilon of [1e-5, 1.03]) {
          const options = { recipe, scaleEpsilon, temperature, pressure, groupSize };
          close(await read(hestia(weight(), options)), expected(options), { absolute: 1e-13 });
          const asTensors = hestia(weight(), { ...options, temperature: tensor(temperature), pressure: tensor(pressure) });
          close(await read(asTensors), expected(options), { absolute: 1e-13 });
        }
      }
    });
  }
}

Deno.test("hestia() follows the release of 2026 where nothing is said, and each rule can be set alone", async () => {
  await useBackend("reference");
  const options = { temperature: 0.02, groupSize: 7 };
  const of = (more: HestiaOptions) => read(hestia(weight(), { ...options, ...more }));
  deepEqual(await of({}), await of({ recipe: "hestia-2026" }));
  const { scaleRule, scaleGradient, tieRule, temperatureOffset } = recipes["hestia-2025"].weights;
  const older = await of({ recipe: "hestia-2025" });
  deepEqual(await of({ scaleRule, scaleGradient, tieRule, temperatureOffset }), older);
  for (const rule of [{ scaleRule }, { temperatureOffset }]) {
    const mixed = await of(rule);
    ok(mixed.some((value, at) => value !== older[at]), `${JSON.stringify(rule)} is not all of it`);
    deepEqual(mixed.every((value, at) => Math.abs(value - older[at]) < 1e-3), true);
  }
});

Deno.test("hestia() has exact first and second derivatives, the scale included", async () => {
  await useBackend("reference");
  const options = { recipe: "hestia-2025", temperature: 0.3, pressure: 0.8, groupSize: 7 } as const;
  const factors = noise(count, { seed: 8 });
  const direction = noise(count, { seed: 9 });
  for (const recipe of [{ recipe: "hestia-2025" }, { recipe: "hestia-2026", scaleGradient: true }] as const) {
    const loss = (w: Tensor) => hestia(w, { ...options, ...recipe }).sin().mul(tensor(factors, { shape })).sum();
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
  }
});

Deno.test("hestia() hard: ternary values, and the identity, plus the derivative of the scale where there is one", async () => {
  await useBackend("reference");
  for (const recipe of recipeNames) {
    for (const groupSize of [0, -1, 7]) {
      const upstream = noise(count, { seed: 3 });
      const w = weight();
      const q = hestia(w, { recipe, hard: true, groupSize });
      const [slope] = gradients(q.mul(tensor(upstream, { shape })).sum(), [w]);
      const values = await read(q);
      const wanted: number[] = [];
      for (const group of groupsOf(groupSize)) {
        const scale = scaleOf(group, recipe, 1e-5);
        const codes = group.map((at) => Math.max(-1, Math.min(1, Math.round(weights[at] / scale))));
        close(group.map((at) => values[at]), codes.map((code) => code * scale), { absolute: 1e-14 });
        const shared = codes.reduce((sum, code, index) => sum + code * upstream[group[index]], 0) / group.length;
        for (const at of group) {
          wanted[at] = upstream[at] + (recipe === "hestia-2025" ? Math.sign(weights[at]) * shared : 0);
        }
      }
      close(await read(slope), wanted, { absolute: 1e-13 });
    }
  }
});

Deno.test("hestia() without a scale gradient: derivatives of both orders as if scales were numbers", async () => {
  await useBackend("reference");
  const direction = noise(count, { seed: 9 });
  for (const recipe of recipeNames) {
    const options = { recipe, temperature: 0.3, pressure: 0.8, groupSize: 7, scaleGradient: false };
    const w = weight();
    const relaxed = hestia(w, options);
    deepEqual(await read(relaxed), await read(hestia(w, { ...options, scaleGradient: true })));
    const [slope] = gradients(relaxed.sum(), [w]);
    const [product] = hessianVectorProduct(relaxed.sin().sum(), [w], [tensor(direction, { shape })]);
    const [wanted, curved]: number[][] = [[], []];
    for (const group of groupsOf(7)) {
      const scale = scaleOf(group, recipe, 1e-5);
      const temperature = 0.3 + (recipe === "hestia-2025" ? 1e-6 : 0);
      const part = tensor(Float64Array.from(group, (at) => weights[at]));
      const whole = softCode(part.div(scale), { temperature }).mul(scale * 0.8).add(part.mul(0.2));
      const [own] = gradients(whole.sum(), [part]);
      const along = tensor(Float64Array.from(group, (at) => direction[at]));
      (await read(own)).forEach((g, index) => wanted[group[index]] = g);
      const [twice] = hessianVectorProduct(whole.sin().sum(), [part], [along]);
      (await read(twice)).forEach((g, index) => curved[group[index]] = g);
    }
    close(await read(slope), wanted, { absolute: 1e-13 });
    close(await read(product), curved, { absolute: 1e-12 });
    const [hard] = gradients(hestia(w, { ...options, hard: true }).sum(), [w]);
    deepEqual(await read(hard), new Array(count).fill(1));
  }
});

Deno.test("hestia() is exactly the weight at pressure 0 and exactly ternary at pressure 1, in float32 too", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const run = compile(({ w, pressure }: { w: Tensor; pressure: Tensor }) => hestia(w, { hard: true, pressure, groupSize: 14 }));
    deepEqual(await read(run({ w: weight(), pressure: 0 })), Array.from(weights));
    const { codes, scales } = absmeanCodes(weight(), { groupSize: 14 });
    const [quantized, integers, scale] = await Promise.all([run({ w: weight(), pressure: 1 }), codes, scales].map(read));
    deepEqual(quantized.map((value) => value + 0), integers.map((code, at) => code * scale[Math.floor(at / 14)] + 0));
  }
});

Deno.test("hestia() approaches the hard values as the temperature vanishes, without overflow or NaN", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const w = tensor([[40, -3, 0.2, 0.9], [0, 0, 0, 0], [1e-7, -1e-7, 0, 0]]);
    for (const temperature of [0, 1e-45, 1e-38, 1e-20, 1e-12, 1e-6, 1e-4]) {
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

Deno.test("ties go to the lower code, or toward zero: half to even for ternary", async () => {
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const x = tensor([-2, -1.5, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1.5, 2]);
    const codes = (codebook: readonly number[], tieRule: "lower" | "zero") => read(nearestCode(x, codebook, { tieRule }));
    deepEqual(await codes([-1, 0, 1], "zero"), [-1, -1, -1, 0, 0, 0, 0, 0, 1, 1, 1]);
    deepEqual(await codes([-1, 0, 1], "lower"), [-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1]);
    deepEqual(await codes([-2, 0, 1, 2], "zero"), [-2, -2, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    deepEqual(await codes([-2, 0, 1, 2], "lower"), [-2, -2, 0, 0, 0, 0, 0, 0, 1, 1, 2]);
    deepEqual(await codes([-1, 1], "lower"), [-1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1]);
    // a scale of exactly one: both ties of the ternary codes, in the kernel and by the operations
    for (const group of [[0.5, -0.5, 1.5, -1.5], [0.5, -0.5, 1.5, -1.5, 2, 0]]) {
      for (const [tieRule, tied] of [["lower", [0, -1]], ["zero", [0, 0]]] as const) {
        const hard = await read(hestia(tensor([group]), { hard: true, scaleRule: "clamped", tieRule }));
        deepEqual(hard.slice(0, 4), [...tied, 1, -1]);
      }
    }
  }
});

Deno.test("codebooks are read from their names and from numbers in any order", () => {
  deepEqual(["ternary", "binary", "int2"].map(codebookOf), [[-1, 0, 1], [-1, 1], [-2, -1, 0, 1]]);
  deepEqual(codebookOf("2,-3, -1,0.5,2"), [-3, -1, 0.5, 2]);
  for (const text of ["1", "1,1", "a,b", "1,,2", "", "1,Infinity", "toString"]) {
    throws(() => codebookOf(text), /wanted ternary, binary, int2, or two numbers or more/);
  }
  deepEqual(quantizerNamed("hestia:-3,-1,0.5,2").codes, undefined);
  deepEqual(
    [quantizerNamed("hestia:int2"), quantizerNamed("ternary:1,-1"), quantizerNamed("fairy_v7")].map(({ ternary }) => ternary),
    [
      false,
      true,
      false,
    ],
  );
});

Deno.test("both devices agree on hestia() and its derivatives", async () => {
  await agree(() => {
    const w = weight();
    const outputs: Record<string, Tensor> = {};
    for (const recipe of recipeNames) {
      for (const groupSize of [0, -1, 7]) {
        const loss = hestia(w, { recipe, temperature: 0.35, pressure: 0.7, groupSize }).square().sum();
        outputs[`gradient, ${recipe}, groups of ${groupSize}`] = gradients(loss, [w])[0];
        outputs[`curvature, ${recipe}, groups of ${groupSize}`] = hessianVectorProduct(loss, [w], [w.cos()])[0];
      }
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
  [
    "a recipe that there is not",
    { temperature: 1, recipe: "hestia-2027" as "hestia-2026" },
    /wanted one of hestia-2026, hestia-2025/,
  ],
  [
    "a scale rule that there is not",
    { temperature: 1, scaleRule: "max" as "offset" },
    /scaleRule max: wanted "offset" or "clamped"/,
  ],
  ["a tie rule that there is not", { temperature: 1, tieRule: "up" as "lower" }, /tieRule up: wanted "lower" or "zero"/],
  ["a scale without a floor", { temperature: 1, scaleEpsilon: 0 }, /scaleEpsilon 0: wanted a finite number above 0/],
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

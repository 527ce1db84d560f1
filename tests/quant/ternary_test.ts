import { gradients, type Tensor, tensor, useBackend } from "../../mod.ts";
import { absmeanCodes, nearestCode } from "../../src/quant/codebook.ts";
import type { QuantizerState } from "../../src/quant/quantizer.ts";
import { quantizerNamed, quantizers } from "../../src/quant/registry.ts";
import { ternary } from "../../src/quant/ternary.ts";
import type { RecipeName } from "../../src/recipes.ts";
import { deepEqual, equal, throws } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";

const read = async (x: Tensor) => Array.from(await x.data());
const weight = () => tensor(noise(48, { seed: 2, low: -1, high: 1 }), { shape: [4, 12] });

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`ternary() has the identity for a gradient, whatever the groups (${backend})`, async () => {
    await useBackend(backend);
    for (const groupSize of [0, -1, 3, 12]) {
      const w = weight();
      const upstream = tensor(noise(48, { seed: 7 }), { shape: [4, 12] });
      deepEqual(await read(gradients(ternary(w, { groupSize }).mul(upstream).sum(), [w])[0]), await read(upstream));
    }
  });

  Deno.test(`codes times scales are the quantized weight of every quantizer that packs (${backend})`, async () => {
    await useBackend(backend);
    for (const quantizer of Object.values(quantizers)) {
      if (!("codes" in quantizer)) continue;
      for (const groupSize of [0, -1, 3, 12]) {
        const w = weight();
        const hard = quantizer.quantize(w, { groupSize, temperature: 0, pressure: 1, hard: true });
        const { codes, scales } = quantizer.codes!(w, { groupSize });
        const [values, integers, factors] = await Promise.all([hard, codes, scales].map(read));
        equal(codes.dtype, "int32");
        deepEqual(codes.shape, w.shape);
        equal(factors.length, groupSize === 0 ? 1 : groupSize === -1 ? 4 : 48 / groupSize);
        const length = 48 / factors.length;
        close(values, integers.map((code, at) => code * factors[Math.floor(at / length)]), { relative: 2e-7 });
      }
    }
  });
}

Deno.test("a group of zeros keeps the smallest scale and zero codes; ties are those of the recipe", async () => {
  await useBackend("reference");
  const of = async (recipe: RecipeName) => {
    const { codes, scales } = absmeanCodes(tensor([[0, 0], [1, -3]]), { recipe, groupSize: -1 });
    return [await read(codes), await read(scales)];
  };
  deepEqual(await of("hestia-2025"), [[0, 0, 0, -1], [1e-5, 2]]);
  deepEqual(await of("hestia-2026"), [[0, 0, 0, -1], [1e-5, 2 + 1e-5]]);
  const ties = tensor([-0.5, 0.5]);
  deepEqual(await read(nearestCode(ties, [-1, 0, 1])), [-1, 0]);
  deepEqual(await read(nearestCode(ties, [-1, 0, 1], { recipe: "hestia-2026" })), [-1, 0]);
  deepEqual(await read(nearestCode(ties, [-1, 0, 1], { recipe: "hestia-2025" })), [0, 0]);
});

Deno.test("the baseline mixes by pressure where the recipe says so, over any codebook, and rounds in the hard phase", async () => {
  await useBackend("reference");
  const w = tensor([[3, -1, 0, 0, 1]]);
  for (const [name, codes] of [["ternary", [1, -1, 0, 0, 1]], ["ternary:-2,-1,0,1,2.5", [2.5, -1, 0, 0, 1]]] as const) {
    const of = (state: Partial<QuantizerState>) =>
      read(quantizerNamed(name).quantize(w, { groupSize: 0, scaleRule: "clamped", pressure: 0.25, ...state }));
    close(await of({}), codes.map((code, at) => 0.75 * [3, -1, 0, 0, 1][at] + 0.25 * code));
    close(await of({ hard: true }), codes);
    close(await of({ recipe: "hestia-2025" }), codes);
    close(await of({ recipe: "hestia-2025", baselinePressure: true, pressure: 0 }), [3, -1, 0, 0, 1]);
  }
});

Deno.test("absmeanCodes() refuses codes that are no integers", () => {
  throws(() => absmeanCodes(weight(), { codebook: [-1, 0.5] }), /wanted a codebook of integers/);
});

Deno.test("quantizers are found by the name they carry; others are named in the error", () => {
  for (const [name, quantizer] of Object.entries(quantizers)) equal(quantizer.name, name);
  equal(quantizerNamed("hestia"), quantizers.hestia);
  const w = weight();
  equal(quantizers.none.quantize(w, { groupSize: 0 }), w);
  throws(() => quantizerNamed("hestai"), /Cannot quantize by "hestai": wanted one of none, ternary, hestia, .*fairy_v4$/);
});

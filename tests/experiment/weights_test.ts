import { weightHistogram, WeightWatch } from "../../src/experiment/weights.ts";
import { quantizedNames } from "../../src/llama/parameters.ts";
import { useBackend } from "../../src/runtime.ts";
import { tensor } from "../../src/create.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { tinyModel } from "../support/models.ts";

/** A model whose quantized weights are all given by one function of the element's number. */
function modelOf(weightAt: (index: number) => number) {
  const { config, parameters } = tinyModel({
    layers: 1,
    hiddenSize: 8,
    heads: 1,
    keyValueHeads: 1,
    headDim: 8,
    intermediateSize: 8,
  });
  const weights = quantizedNames(config).map((name) => {
    const { shape, size } = parameters[name];
    return [name, tensor(Float32Array.from({ length: size }, (_, index) => weightAt(index)), { shape })] as const;
  });
  return {
    config,
    parameters: { ...parameters, ...Object.fromEntries(weights) },
    quantization: { quantizer: "ternary", groupSize: 0 },
  };
}

Deno.test("weights near a border, zeros and flips are counted on the device", async () => {
  await useBackend("webgpu");
  // in fours: 2.02, 1.48, 0, 0.5 (mean 1): the last is at the border and rounds to zero, and so does the third
  const before = modelOf((index) => [2.02, -1.48, 0, 0.5][index % 4]);
  // the last of every four leaves its code and its border; the mean is kept
  const after = modelOf((index) => [1.52, -1.48, 0, 1][index % 4]);
  const watch = new WeightWatch(0);
  watch.observe(4, before);
  watch.observe(5, after);
  watch.observe(7, after);
  const [first, second, third] = await watch.read();
  deepEqual([first.step, second.step, third.step], [4, 5, 7]);
  deepEqual([first.nearBorder, first.zeros, first.flips], [0.25, 0.5, null]);
  deepEqual([second.nearBorder, second.zeros, second.flips], [0, 0.25, 0.25]);
  equal(third.flips, null); // the step before was not seen
});

Deno.test("histograms hold every weight, the far ones in the outermost bins", async () => {
  await useBackend("webgpu");
  const model = modelOf((index) => index % 2 === 0 ? 1.5 : -0.5); // mean 1
  const { counts, limit } = await weightHistogram(model, { groupSize: 0, bins: 4, limit: 1 });
  const total = counts.reduce((sum, count) => sum + count, 0);
  equal(limit, 1);
  equal(total, 7 * 64);
  deepEqual(counts.map((count) => count / total), [0, 0.5, 0, 0.5]);
  ok(Number.isInteger(total));
});

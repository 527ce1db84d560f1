import { train, type TrainOptions } from "../../src/pipeline/train.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { backendInfo, useBackend } from "../../src/runtime.ts";
import { type Batch, batches, ignoredTarget } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const sizes = { vocabularySize: 256, hiddenSize: 32, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 };

/** Losses, norms and the last weights of a short run. */
async function run(options: Partial<TrainOptions>, masked = (batch: Batch): Batch => batch) {
  const data = batches(sampleText(600), { batchSize: 6, sequenceLength: 12, seed: 1 });
  const model = initialModel(sizes, { seed: 3, deviation: 0.1 });
  const losses: number[] = [];
  const norms: number[] = [];
  let weights: ArrayLike<number> = [];
  for await (const event of train(model, data.map(masked), { steps: 4, learningRate: 1e-2, groupSize: 16, ...options })) {
    if (event.type === "end") {
      weights = Array.from(await event.model.parameters["model.layers.0.mlp.up_proj.weight"].data(), Number);
    } else losses.push(event.lossNats), norms.push(event.gradientNorm);
  }
  return { losses, norms, weights };
}

const near = (a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number) => {
  equal(a.length, b.length);
  for (let index = 0; index < a.length; index++) {
    ok(Math.abs(a[index] - b[index]) <= tolerance, `${a[index]} and ${b[index]} differ at ${index}`);
  }
};

for (const quantizer of ["none", "hestia", "lsq", "tequila"] as const) {
  Deno.test(`a step in three pieces is the step in one, quantizer ${quantizer}`, async () => {
    await useBackend("webgpu");
    const [whole, pieces] = [await run({ quantizer }), await run({ quantizer, microBatches: 3 })];
    near(pieces.losses.slice(0, 1), whole.losses.slice(0, 1), 1e-5);
    near(pieces.norms.slice(0, 1), whole.norms.slice(0, 1), 1e-4);
    near(pieces.losses, whole.losses, 5e-3); // weights near a border may round to another code
  });
}

Deno.test("pieces weigh by their targets that count, and one without any is left out", async () => {
  await useBackend("webgpu");
  const masked = (batch: Batch): Batch => ({
    ...batch,
    targets: batch.targets.map((id, at) => at < 24 || at % 7 === 0 ? ignoredTarget : id),
  });
  const [whole, pieces] = [await run({}, masked), await run({ microBatches: 3 }, masked)];
  near(pieces.losses, whole.losses, 1e-4);
  near(pieces.norms.slice(0, 1), whole.norms.slice(0, 1), 1e-4);
  const unmasked = await run({});
  ok(Math.abs(unmasked.losses[0] - whole.losses[0]) > 1e-3, "the mask matters");
});

Deno.test("weights are quantized once a step, however many pieces its batch has", async () => {
  await useBackend("webgpu");
  const dispatches = async (quantizer: "none" | "hestia", microBatches: number) => {
    const before = (await backendInfo()).statistics.dispatches;
    await run({ quantizer, microBatches });
    return (await backendInfo()).statistics.dispatches - before;
  };
  const extra = async (microBatches: number) => await dispatches("hestia", microBatches) - await dispatches("none", microBatches);
  equal(await extra(6) - await extra(2), 0);
});

Deno.test("pieces must divide the batch", async () => {
  await rejects(() => run({ microBatches: 4 }), /Cannot cut a batch of 6 sequences into 4 micro-batches: wanted a divisor of 6/);
});

Deno.test("train() shows the latent model after each step, and what it learned besides", async () => {
  await useBackend("webgpu");
  const seen: (readonly [number, string, boolean])[] = [];
  const firsts: number[] = [];
  await run({
    quantizer: "lsq",
    observe: async ({ step, model: { quantization, parameters } }) => {
      seen.push([step, quantization!.quantizer, "model.layers.0.mlp.up_proj.weight#step" in quantization!.parameters!]);
      firsts.push(Number((await parameters["model.layers.0.mlp.up_proj.weight"].data())[0]));
    },
  });
  deepEqual(seen, [1, 2, 3, 4].map((step) => [step, "lsq", true]));
  equal(new Set(firsts).size, 4);
});

import { hessianVectorProduct } from "../../src/autodiff/hessian.ts";
import { tensor } from "../../src/create.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { calibrate } from "../../src/pipeline/calibrate.ts";
import { languageModelLoss, tokenTensors } from "../../src/pipeline/data.ts";
import { useBackend } from "../../src/runtime.ts";
import { hessianTraces } from "../../src/quant/traces.ts";
import { batchAt } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const sizes = { vocabularySize: 256, hiddenSize: 8, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 8 };
const model = () => initialModel(sizes, { seed: 3, deviation: 0.4 });
const batch = (step: number) => batchAt(sampleText(500), { batchSize: 2, sequenceLength: 8, seed: 1, step });

Deno.test("joint probes estimate the trace of each weight's own Hessian block", async () => {
  await useBackend("reference");
  const { config, parameters } = model();
  const name = "model.layers.0.self_attn.v_proj.weight";
  const weight = parameters[name];
  const data = tokenTensors(batch(0));
  const loss = languageModelLoss(config, parameters, data);
  const unit = (index: number) =>
    tensor(Float64Array.from({ length: weight.size }, (_, i) => i === index ? 1 : 0), { shape: weight.shape });
  const diagonal = Array.from(
    { length: weight.size },
    (_, index) => hessianVectorProduct(loss, [weight], [unit(index)])[0].mul(unit(index)).sum(),
  );
  const exact = await diagonal.reduce((sum, entry) => sum.add(entry)).item();
  const lossOf = (values: typeof parameters, tensors: Readonly<Record<string, typeof weight>>) =>
    languageModelLoss(config, values, tensors);
  const names = Object.keys(parameters).filter((each) => each.includes("proj"));
  let estimate = { trace: NaN, standardError: NaN };
  for await (const { traces } of hessianTraces(lossOf, { parameters, batches: [data] }, { names, probes: 60, seed: 5 })) {
    estimate = traces.find((trace) => trace.name === name)!;
  }
  ok(
    Math.abs(estimate.trace - exact) < 4 * estimate.standardError,
    `${estimate.trace} ± ${estimate.standardError}, exact ${exact}`,
  );
  ok(estimate.standardError < Math.abs(exact), `standard error ${estimate.standardError} of ${exact}`);
});

Deno.test("calibrate() is the same for the same seed, ends at its tolerance, and leaves the model as it was", async () => {
  await useBackend("webgpu");
  const base = model();
  const before = await base.parameters["model.norm.weight"].data();
  const run = (seed: number, tolerance = 0) => calibrate(base, [batch(0), batch(1)], { probes: 6, seed, tolerance });
  const [first, second, other] = [await run(1), await run(1), await run(2)];
  deepEqual(first, second);
  ok(first.traces["model.layers.0.mlp.up_proj.weight"] !== other.traces["model.layers.0.mlp.up_proj.weight"]);
  equal(first.probes, 6);
  equal((await run(1, 10)).probes, 2);
  deepEqual(Object.keys(first.temperatureScales).length, 7);
  deepEqual(await base.parameters["model.norm.weight"].data(), before);
});

Deno.test("an estimate that is not told from zero counts as its standard error", async () => {
  await useBackend("webgpu");
  const flat = {
    ...model(),
    parameters: { ...model().parameters, "model.embed_tokens.weight": tensor(new Float32Array(256 * 8), { shape: [256, 8] }) },
  };
  const { temperatureScales } = await calibrate(flat, [batch(0)], { probes: 3 });
  ok(Object.values(temperatureScales).every(Number.isFinite));
});

Deno.test("calibrate() refuses to work without data, and stops when told", async () => {
  await useBackend("webgpu");
  await rejects(() => calibrate(model(), []), /Cannot measure Hessian traces: wanted at least one batch/);
  await rejects(() => calibrate(model(), [batch(0)], { signal: AbortSignal.abort() }), { name: "AbortError" });
});

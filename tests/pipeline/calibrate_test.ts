import { hessianVectorProduct } from "../../src/autodiff/hessian.ts";
import { tensor } from "../../src/create.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { calibrate, type CalibrationGranularity, curvatures } from "../../src/pipeline/calibrate.ts";
import { languageModelLoss, tokenTensors } from "../../src/pipeline/data.ts";
import { useBackend } from "../../src/runtime.ts";
import { isTraceState, type TraceState } from "../../src/quant/trace_state.ts";
import { hessianTraces } from "../../src/quant/traces.ts";
import { batchAt } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText } from "../support/models.ts";
import { close } from "../support/numbers.ts";

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
  equal((await calibrate(base, [batch(0), batch(1)], { probes: 5, tolerance: 0 })).probes, 4); // whole rounds
  deepEqual(Object.keys(first.temperatureScales).length, 7);
  deepEqual(await base.parameters["model.norm.weight"].data(), before);
});

Deno.test("a calibration that was cut off goes on to the same bits, and refuses another's state", async () => {
  await useBackend("webgpu");
  const base = model();
  const data = [batch(0), batch(1)];
  const options = { probes: 6, seed: 1, tolerance: 0 } as const;
  const states: TraceState[] = [];
  const whole = await calibrate(base, data, { ...options, onProgress: ({ state }) => void states.push(state!) });
  for (const at of [0, 3, 5]) {
    const resume = JSON.parse(JSON.stringify(states[at]));
    ok(isTraceState(resume));
    deepEqual(await calibrate(base, data, { ...options, resume }), whole);
  }
  const message = /Cannot go on measuring Hessian traces: the state is of another model, data, seed or device/;
  await rejects(() => calibrate(base, data, { ...options, seed: 2, resume: states[3] }), message);
  await rejects(() => calibrate(base, [batch(0)], { ...options, resume: states[3] }), message);
  await rejects(() => calibrate(base, data, { ...options, granularity: "layer", resume: states[3] }), message);
  ok(!isTraceState({ ...states[3], first: { a: "1" } }) && !isTraceState(null) && !isTraceState({ probes: 1 }));
});

Deno.test("weights of a layer or of a kind share one scale, from the sum of their traces", async () => {
  await useBackend("webgpu");
  const base = initialModel({ ...sizes, layers: 2 }, { seed: 3, deviation: 0.4 });
  const run = (granularity: CalibrationGranularity) => calibrate(base, [batch(0)], { probes: 4, tolerance: 0, granularity });
  const [tensor, layer, component] = [await run("tensor"), await run("layer"), await run("component")];
  const distinct = (values: Record<string, number>) => new Set(Object.values(values)).size;
  const counts = [tensor, layer, component].map(({ temperatureScales }) => distinct(temperatureScales));
  deepEqual(counts, [14, 2, 7]);
  deepEqual(layer.traces, tensor.traces);
  const first = Object.keys(layer.scores).filter((name) => name.startsWith("model.layers.0."));
  equal(new Set(first.map((name) => layer.scores[name])).size, 1);
  const sum = (number: number) =>
    Object.entries(layer.traces).reduce((total, [name, trace]) => total + (name.includes(`layers.${number}.`) ? trace : 0), 0);
  const higher = sum(0) > sum(1) ? 0 : 1;
  const score = (number: number) => layer.scores[`model.layers.${number}.mlp.up_proj.weight`];
  ok(score(higher) > score(1 - higher));
});

Deno.test("the Gauss-Newton part is positive everywhere, and what is computed again does not change the estimates", async () => {
  await useBackend("webgpu");
  const base = initialModel({ ...sizes, layers: 2 }, { seed: 3, deviation: 0.4 });
  for (const curvature of curvatures) {
    const run = (recomputeEvery: number) =>
      calibrate(base, [batch(0), batch(1)], { curvature, probes: 4, tolerance: 0, recomputeEvery });
    const [kept, again] = [await run(0), await run(1)];
    equal(kept.curvature, curvature);
    const scale = Math.max(...Object.values(kept.traces).map(Math.abs));
    close(Object.values(again.traces), Object.values(kept.traces), { absolute: 1e-4 * scale });
    if (curvature === "gauss-newton") ok(Object.values(kept.traces).every((trace) => trace > 0));
  }
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

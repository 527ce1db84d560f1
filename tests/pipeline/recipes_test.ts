/** What the two releases of the method do differently in calibration, training and packing. */

import {
  batchAt,
  calibrate,
  type LlamaModel,
  quantizedNames,
  type RecipeName,
  roundedModel,
  train,
  useBackend,
} from "../../mod.ts";
import type { TrainedModel, TrainEvent, TrainOptions } from "../../src/pipeline/train.ts";
import { ternaryMatrix } from "../../src/pipeline/packed_weights.ts";
import { packedFormats } from "../../src/pack/formats.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { type Batch, ignoredTarget } from "../../src/train/data.ts";
import { isDecayed, recipeNames } from "../../src/recipes.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { close, noise } from "../support/numbers.ts";

type Step = Extract<TrainEvent, { type: "step" }>;

const tokens = Uint8Array.from(noise(400, { seed: 3, low: 0, high: 255 }), Math.round);
const batch = (step: number) => batchAt(tokens, { batchSize: 3, sequenceLength: 7, seed: 5, step });

async function trained(model: LlamaModel, options: Partial<TrainOptions>, batches: readonly Batch[] = [batch(0), batch(1)]) {
  const steps: Step[] = [];
  let end: TrainedModel | undefined;
  for await (const event of train(model, batches, { quantizer: "hestia", groupSize: 32, ...options, steps: batches.length })) {
    if (event.type === "step") steps.push(event);
    else end = { ...event.model, quantization: event.quantization };
  }
  return { steps, model: end! };
}

for (const recipe of recipeNames) {
  Deno.test(`what is packed is rounded by the rules that ${recipe} was trained by`, async () => {
    await useBackend("reference");
    const { model } = await trained(tinyModel({ layers: 1 }), { recipe, scaleEpsilon: 0.37, scaleGradient: true });
    const wanted = recipe === "hestia-2026" ? { scaleEpsilon: 0.37, scaleGradient: true } : { scaleEpsilon: 0.37 };
    deepEqual(model.quantization, { quantizer: "hestia", groupSize: 32, recipe, ...wanted });
    const rounded = roundedModel(model);
    const [name] = quantizedNames(model.config);
    const { codes, scales } = await ternaryMatrix({ ...model, tokenizer: byteTokenizer }, name, { format: packedFormats.dense });
    const weights = await model.parameters[name].data();
    close(await rounded.parameters[name].data(), Array.from(codes, (code, at) => code * scales[Math.floor(at / 32)]), {
      relative: 1e-6,
    });
    const mean = Array.from(weights.slice(0, 32)).reduce((sum, value) => sum + Math.abs(value), 0) / 32;
    close([scales[0]], [recipe === "hestia-2026" ? mean + 0.37 : 0.37], { relative: 1e-6 });
  });
}

Deno.test("rates, temperatures and pressures of the first step are those of the recipe", async () => {
  await useBackend("reference");
  const first = async (options: Partial<TrainOptions>) =>
    (await trained(tinyModel({ layers: 1 }), { learningRate: 0.5, schedule: { warmupSteps: 3, minRatio: 0.2 }, ...options }))
      .steps[0];
  const [now, then] = [await first({}), await first({ recipe: "hestia-2025" })];
  close([now.learningRate, now.temperature!, then.learningRate, then.temperature!], [0.1, 0.3, 0, 0.3508855607], {
    relative: 1e-6,
  });
  deepEqual([now.pressure, then.pressure], [0, 0]);
  const baseline = async (recipe: RecipeName) => await first({ recipe, quantizer: "ternary" });
  const [soft, hard] = [await baseline("hestia-2026"), await baseline("hestia-2025")];
  deepEqual([soft.pressure, hard.pressure, soft.temperature], [0, undefined, undefined]);
  const full = await first({ quantizer: "none" });
  close([soft.lossNats], [full.lossNats], { relative: 1e-12 }); // no pressure yet
  ok(Math.abs(hard.lossNats - full.lossNats) > 1e-6);
});

Deno.test("the divisor scales gradients and not the loss that is told, end tokens are no targets, pieces count by their targets", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  const one = batch(0);
  const end = one.targets[2];
  const first = async (options: Partial<TrainOptions>, from: Batch = one) =>
    (await trained(model, { quantizer: "none", optimizer: { clipNorm: 1e9 }, ...options }, [from])).steps[0];
  const mean = await first({ recipe: "hestia-2025" });
  const divided = await first({});
  close([divided.lossNats, divided.gradientNorm], [mean.lossNats, mean.gradientNorm * 21 / 24], { relative: 1e-12 });
  for (const divisor of ["predicted", "labels"] as const) {
    const objective = { divisor, endTokens: [end] };
    const told = { ...one, targets: one.targets.map((target) => target === end ? ignoredTarget : target) };
    const whole = await first({ objective });
    ok(Math.abs(whole.lossNats - mean.lossNats) > 1e-6);
    const pieces = await first({ objective, microBatches: 3 });
    close([pieces.lossNats, pieces.gradientNorm], [whole.lossNats, whole.gradientNorm], { relative: 1e-9 });
    const own = await first({ objective: { divisor } }, told);
    close([own.lossNats], [whole.lossNats], { relative: 1e-12 });
    const kept = await first({ objective: { ...objective, endTargets: "predicted" } });
    close([kept.lossNats], [mean.lossNats], { relative: 1e-12 });
  }
  await rejects(first({ objective: { endTokens: [...one.targets] } }), /every target is ignored: wanted one to predict/);
});

Deno.test("norms and biases are not decayed, nor what a list says", async () => {
  const layer = "model.layers.0.";
  for (
    const name of [
      "input_layernorm.weight",
      "self_attn.q_norm.weight",
      "self_attn.q_proj.bias",
      "mlp.RMSNorm.gain",
      "norm.weight",
    ]
  ) {
    equal(isDecayed(layer + name), false, name);
  }
  for (const name of ["mlp.up_proj.weight", "normal.weight", "mlp.norms.weight", "embed_tokens.weight"]) {
    equal(isDecayed(layer + name), true, name);
  }
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  const still = {
    learningRate: 0.1,
    optimizer: { weightDecay: 0.5, clipNorm: 1e-30 },
    quantizer: "none",
    recipe: "hestia-2025",
  } as const;
  const norms = async (options: Partial<TrainOptions>) => {
    const { model: { parameters } } = await trained(model, { ...still, ...options }, [batch(0)]);
    const shrunk = await Promise.all(
      Object.entries(parameters).map(async ([name, value]) => {
        const [now, before] = await Promise.all([value, model.parameters[name]].map((each) => each.square().sum().item()));
        return now < before * 0.95 ? [name] : [];
      }),
    );
    return shrunk.flat();
  };
  const decayed = await norms({});
  ok(decayed.length > 0 && decayed.every((name) => !name.includes("norm")) && decayed.includes("model.embed_tokens.weight"));
  deepEqual(await norms({ undecayed: ["norm", "embed"] }), decayed.filter((name) => !name.includes("embed")));
});

Deno.test("calibration by Hutch++ repeats by seed, is exact where sketches are whole, and measures no other curvature", async () => {
  await useBackend("reference");
  const model = tinyModel({
    layers: 1,
    vocabularySize: 256,
    hiddenSize: 6,
    heads: 1,
    keyValueHeads: 1,
    headDim: 4,
    intermediateSize: 5,
  });
  const batches = [batch(0), batch(1)];
  const of = async (options: object) =>
    await calibrate(model, batches, { estimator: "hutch++", sketch: 2, queries: 3, ...options });
  const [first, again, other] = [await of({ seed: 1 }), await of({ seed: 1 }), await of({ seed: 2 })];
  deepEqual(first, again);
  ok(Object.keys(first.traces).every((name) => first.traces[name] !== other.traces[name]));
  deepEqual([first.curvature, first.estimator, first.probes], ["hessian", "hutch++", 14]);
  const [whole, others] = [await of({ sketch: 1000, queries: 0 }), await of({ sketch: 1000, queries: 0, seed: 1 })];
  close(Object.values(whole.traces), Object.values(others.traces), { relative: 1e-9 });
  await rejects(of({ curvature: "gauss-newton" }), /Cannot measure the curvature "gauss-newton" by Hutch\+\+: wanted "hessian"/);
});

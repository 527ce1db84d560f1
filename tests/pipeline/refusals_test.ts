/** What holds NaN, infinities or ids of another vocabulary is refused by name, and changes nothing. */

import {
  type Batch,
  batchAt,
  batches,
  calibrate,
  documentPerplexity,
  generate,
  type GivenBatch,
  heldOutLoss,
  ignoredTarget,
  type LanguageModel,
  llama,
  pack,
  packBitnet,
  packDocuments,
  packFile,
  packWholeDocuments,
  quantizers,
  realize,
  roundedModel,
  tensor,
  train,
  type TrainOptions,
  useBackend,
} from "../../mod.ts";
import { deepEqual, equal, rejects, throws } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";

const size = { batchSize: 2, sequenceLength: 7, seed: 1 };
const text = sampleText(64);
const small = (): LanguageModel =>
  tinyModel({ layers: 1, hiddenSize: 64, headDim: 32, heads: 2, keyValueHeads: 1, intermediateSize: 64 });

/** A model with one number in place of another. */
async function broken(name: string, index: number, value: number): Promise<LanguageModel> {
  const model = small();
  const old = model.parameters[name];
  const data = Float32Array.from(await old.data());
  data[index] = value;
  return { ...model, parameters: { ...model.parameters, [name]: tensor(data, { shape: old.shape }) } };
}

async function firstLoss(model: LanguageModel, data: Iterable<GivenBatch>, options: Partial<TrainOptions> = {}): Promise<number> {
  for await (const event of train(model, data, { steps: 1, groupSize: 16, ...options })) {
    if (event.type === "step") return event.lossNats;
  }
  return NaN;
}

const weight = "model.layers.0.mlp.down_proj.weight";
const others = ["model.norm.weight", "model.embed_tokens.weight"];

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`a NaN or infinite weight is refused by name, and where it stands (${backend})`, async () => {
    await useBackend(backend);
    const quantization = { quantizer: "ternary", groupSize: 0 };
    const isQuick = backend === "reference";
    const numbers = [[weight, 5, NaN], [weight, 130, -Infinity], [others[0], 3, NaN], [others[1], 700, Infinity]] as const;
    for (const [name, index, value] of isQuick ? numbers : numbers.slice(0, 1)) {
      const says = new RegExp(`"${name}" holds ${value} at ${index}; wanted finite numbers`);
      const model = await broken(name, index, value);
      if (name === weight) throws(() => roundedModel({ ...model, quantization }), says);
      const names = name === weight && isQuick ? ["none", "hestia", "twn", "w8_sym"] : ["hestia"];
      for (const quantizer of names) await rejects(firstLoss(model, batches(text, size), { quantizer }), says);
      await rejects(calibrate(model, [batchAt(text, { ...size, step: 0 })], { probes: 1 }), says);
      for (const format of ["q2_0", "dense", "f16"] as const) await rejects(pack(model, { format, quantization }), says);
      const folder = await Deno.makeTempDir();
      await rejects(packFile(`${folder}/model.gguf`, model, { quantization }), says);
      await rejects(packBitnet(folder, model, { quantization }), says);
      deepEqual([...Deno.readDirSync(folder)], []);
      await Deno.remove(folder);
      if (Number.isNaN(value)) await rejects(heldOutLoss(model, text, size), says);
    }
  });
}

Deno.test("options that are none are refused by name in training, calibration and packing", async () => {
  await useBackend("reference");
  const model = small();
  const training: [Partial<TrainOptions>, RegExp][] = [
    [{ steps: 1.5 }, /Cannot train with the steps 1\.5: wanted a whole number/],
    [{ learningRate: -1 }, /learningRate -1: wanted a finite number of at least 0/],
    [{ learningRate: 1e39 }, /learningRate 1e\+39/],
    [{ recomputeEvery: NaN }, /recomputeEvery NaN/],
    [{ checkpointEvery: 0 }, /checkpointEvery 0: wanted a whole number of at least 1/],
    [{ optimizer: { moments: "int8" as "float32" } }, /optimizer's moments int8: wanted "float32" or "bfloat16"/],
    [{ optimizer: { clipBy: "never" as "step" } }, /clipBy never: wanted "step" or "before"/],
    [{ objective: { divisor: "tokens" as "labels" } }, /rule divisor tokens: wanted "labels" or "predicted"/],
    [{ quantizer: "ternary", tieRule: "up" as "lower" }, /rule tieRule up: wanted "lower" or "zero"/],
    [{ quantizer: "ternary", scaleEpsilon: NaN }, /rule scaleEpsilon NaN/],
    [{ quantizer: "hestia", temperatureOffset: -1 }, /rule temperatureOffset -1/],
  ];
  for (const [options, says] of training) await rejects(firstLoss(model, batches(text, size), options), says);
  const data = [batchAt(text, { ...size, step: 0 })];
  const wrong = { curvature: "flat", estimator: "none", granularity: "row", seed: -1, tolerance: NaN, recomputeEvery: 0.5 };
  for (const [name, value] of Object.entries(wrong)) {
    await rejects(calibrate(model, data, { [name]: value }), new RegExp(`Cannot calibrate with the ${name} ${value}: wanted`));
  }
  const quantization = { quantizer: "ternary", groupSize: 64 };
  await rejects(pack(model, { format: "q3" as "q2_0", quantization }), /Cannot pack with the format q3: wanted "q2_0" or/);
  await rejects(pack(model, { embeddings: "f8" as "f16", quantization }), /embeddings f8: wanted "f16" or "q8_0"/);
  await rejects(pack(model, { quantization: { ...quantization, quantizer: "ternery" } }), /Cannot quantize by "ternery"/);
  await rejects(
    pack(model, { quantization: { ...quantization, groupSize: NaN } }),
    /groupSize NaN: wanted a whole number of at least -1/,
  );
  await rejects(pack(model, { quantization: { ...quantization, scaleRule: "max" as "offset" } }), /rule scaleRule max/);
});

Deno.test("codes of a weight with NaN are packed by no quantizer", async () => {
  await useBackend("reference");
  const model = await broken(weight, 5, NaN);
  for (const { name, codes, bias, parameters, ternary } of Object.values(quantizers)) {
    if (!codes || bias || parameters || !ternary) continue;
    await rejects(pack(model, { format: "dense", quantization: { quantizer: name, groupSize: 16 } }), /holds NaN at 5/, name);
  }
});

Deno.test("rounded weights on the device with NaN are named by the loss", async () => {
  await useBackend("webgpu");
  const { parameters, ...model } = await broken(weight, 5, NaN);
  const [onDevice] = realize([parameters[weight].add(0)]);
  for (const quantizer of ["ternary", "w4_asym"]) {
    const rounded = roundedModel({
      ...model,
      parameters: { ...parameters, [weight]: onDevice },
      quantization: { quantizer, groupSize: 16 },
    });
    await rejects(heldOutLoss(rounded, text, size), new RegExp(`"${weight}" holds NaN at`));
  }
});

Deno.test("ids of another vocabulary are refused where they come in", async () => {
  await useBackend("reference");
  const model = small();
  const ids = (change: (id: number) => number) => Array.from(text, (id, at) => at % 4 === 3 ? change(id) : id);
  const bad: [ArrayLike<number>, RegExp][] = [
    [ids((id) => id + 256), /the token id \d+ at \d+, wanted integers from 0 to 255/],
    [ids(() => -1), /the token id (-1|4294967295) at \d+/],
    [ids(() => NaN), /the token id NaN at \d+/],
    [ids((id) => id + 0.5), /the token id \d+\.5 at \d+/],
    [ids(() => -100), /the token id (-100|4294967196) at \d+/],
    [Int32Array.from(ids(() => -7)), /the token id -7 at \d+/],
  ];
  for (const [tokens, says] of bad) {
    await rejects(heldOutLoss(model, tokens, size), says);
    await rejects((async () => await firstLoss(model, batches(tokens, size)))(), says);
    await rejects((async () => await calibrate(model, [batchAt(tokens, { ...size, step: 0 })], { probes: 1 }))(), says);
  }
  const batch = batchAt(text, { ...size, step: 0 });
  const wrong = { ...batch, targets: batch.targets.with(3, 300) };
  await rejects(
    firstLoss(model, [wrong]),
    /Cannot train \(targets\): the token id 300 at 3, wanted integers from 0 to 255, or 4294967196/,
  );
  await rejects(calibrate(model, [wrong], { probes: 1 }), /Cannot calibrate \(targets\): the token id 300 at 3/);
});

Deno.test("documents of another vocabulary are refused, and so are ids that are none", async () => {
  await useBackend("reference");
  const packing = { sequenceLength: 8, endToken: 1 };
  await rejects(
    documentPerplexity(small(), [[1, 2, 300], [4]], packing),
    /Cannot evaluate documents: the token id 300 at 2, wanted integers from 0 to 255/,
  );
  for (const pack of [packDocuments, packWholeDocuments]) {
    throws(() => pack([[1, 2], [3, NaN]], packing), /Cannot pack documents: the token id NaN at 1/);
    throws(() => pack([[1, 2]], { ...packing, endToken: -1 }), /the token id -1 at 2/);
  }
  throws(() => packWholeDocuments([[1]], { ...packing, beginToken: 0.5 }), /the token id 0\.5 at 0/);
});

Deno.test("targets that do not count may be -100 in an Int32Array; batches have the lengths that they say", async () => {
  await useBackend("reference");
  const model = small();
  const batch = batchAt(text, { ...size, step: 0 });
  const masked = batch.targets.map((id, at) => at % 3 === 0 ? ignoredTarget : id);
  const unsigned = { ...batch, targets: masked };
  const signed = { ...batch, targets: Int32Array.from(masked, (id) => id === ignoredTarget ? -100 : id) };
  equal(await firstLoss(model, [signed]), await firstLoss(model, [unsigned]));
  const [own, other] = [(await heldOutLoss(model, [signed])).lossNats, (await heldOutLoss(model, [unsigned])).lossNats];
  equal(own, other);
  const traces = async (each: GivenBatch) => (await calibrate(model, [each], { probes: 1, curvature: "hessian" })).traces;
  deepEqual(await traces(signed), await traces(unsigned));
  const wrong: [GivenBatch, RegExp][] = [
    [{ ...signed, targets: signed.targets.with(0, -101) }, /the token id -101 at 0, wanted .* or -100 for a target/],
    [{ ...batch, shape: [2, 6] }, /a batch of \[2,6\] has 14 inputs, wanted \[batchSize, sequenceLength\] and as many of each/],
    [{ ...batch, targets: batch.targets.slice(1) }, /has 13 targets/],
    [{ ...batch, documents: new Uint32Array(3) }, /has 3 documents/],
  ];
  for (const [each, says] of wrong) {
    await rejects(firstLoss(model, [each]), says);
    await rejects(heldOutLoss(model, [each]), says);
    await rejects(calibrate(model, [each], { probes: 1 }), says);
  }
});

Deno.test("masked targets are left out of training and calibration", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1, hiddenSize: 16, headDim: 8, heads: 2, keyValueHeads: 1, intermediateSize: 16 });
  const batch = batchAt(text, { ...size, batchSize: 1, step: 0 });
  const start = { inputs: batch.inputs.slice(0, 3), targets: batch.targets.slice(0, 3), shape: [1, 3] as const };
  const masked = { ...batch, targets: batch.targets.map((id, at) => at < 3 ? id : ignoredTarget) }; // nobody looks ahead
  close([await firstLoss(model, [masked])], [await firstLoss(model, [start])], { relative: 1e-5 });
  const traces = async (each: Batch, curvature: "gauss-newton" | "hessian") => {
    const { traces } = await calibrate(model, [each], { curvature, probes: 4, tolerance: 0 });
    return Object.values(traces);
  };
  // the same signs along the first positions, and no others
  close(await traces(masked, "gauss-newton"), await traces(start, "gauss-newton"), { relative: 1e-5 });
  close(await traces(masked, "hessian"), await traces(start, "hessian"), { relative: 1e-5, absolute: 1e-9 });
});

Deno.test("learning rates and settings that are no numbers are refused", async () => {
  await useBackend("reference");
  await rejects(
    firstLoss(small(), batches(text, size), { learningRate: NaN }),
    /Cannot train with the learningRate NaN: wanted a finite number of at least 0/,
  );
  await rejects(firstLoss(small(), batches(text, size), { optimizer: { beta2: 1 } }), /wanted beta2 from 0 to below 1, got 1/);
});

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`sampling from logits that are not finite raises in every mode (${backend})`, async () => {
    await useBackend(backend);
    const model = await broken(others[0], 3, NaN);
    const modes = [{ temperature: 0 }, {}, { temperature: 1e-40 }, { topK: 3 }, { topP: 0.5 }, {
      topK: 5,
      topP: 0.9,
      temperature: 0.7,
    }];
    for (const mode of modes) {
      await rejects(
        Array.fromAsync(generate(model, "Call", { ...mode, maxTokens: 2 })),
        /Cannot generate: the model's logits are not finite. Its weights/,
      );
    }
  });

  Deno.test(`a temperature however small takes the likeliest token (${backend})`, async () => {
    await useBackend(backend);
    const model = small();
    const write = async (temperature: number, more = {}) =>
      (await Array.fromAsync(generate(model, "Call me", { temperature, maxTokens: 3, seed: 3, ...more }))).join("");
    const greedy = await write(0);
    for (const temperature of [1e-6, 1e-38, 1e-45]) equal(await write(temperature), greedy);
    equal(await write(1e-40, { topK: 4, topP: 0.8 }), greedy);
  });
}

Deno.test("a model is not run on ids of another vocabulary", async () => {
  await useBackend("reference");
  throws(() => llama(small(), tensor(Uint32Array.of(1, 256), { shape: [1, 2] })), /the token id 256 at 1, wanted 0 to 255/);
  throws(() => llama(small(), tensor(Int32Array.of(-1, 2), { shape: [1, 2] })), /the token id -1 at 0, wanted 0 to 255/);
});

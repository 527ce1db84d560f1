/** The library on devices whose buffers hold kilobytes: what holds more is cut, and nobody can tell. */

import {
  type BackendOptions,
  batchAt,
  batches,
  compile,
  generate,
  gradients,
  hessianVectorProduct,
  loadCheckpoint,
  openPacked,
  pack,
  realize,
  saveCheckpoint,
  type Tensor,
  tensor,
  train,
  useBackend,
} from "../../mod.ts";
import { heldBytes } from "../../src/core/program.ts";
import { languageModelLoss, tokenTensors } from "../../src/pipeline/data.ts";
import { writeRows } from "../../src/nn/write_rows.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { differences, read } from "../support/backends.ts";
import { type Case, inputFactory, withGradients } from "../support/cases.ts";
import { runLowered } from "../support/lowered.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { close, noise } from "../support/numbers.ts";
import { primitiveCases } from "../ops/primitive_cases.ts";

type Limits = BackendOptions["limits"];

/** Does some work on a device with such limits, and leaves one without them. */
async function within<T>(limits: Limits, work: () => Promise<T>): Promise<T> {
  await useBackend("webgpu", { limits });
  try {
    return await work();
  } finally {
    await useBackend("webgpu", { limits: {} });
  }
}

const alike = (bytes: number): Limits => ({ maxBindingBytes: bytes, maxBufferBytes: heldBytes(bytes) });

Deno.test("every primitive is the same where a kilobyte is a large tensor", async () => {
  const cases: readonly Case[] = Object.values(primitiveCases).flat();
  const isDeep = Deno.env.get("HESTIA_DEEP") === "1"; // with gradients, drivers compile a thousand kernels more
  const build = (): Record<string, Tensor> => {
    const make = inputFactory();
    const outputs = cases.map((example) => {
      const inputs = example.inputs.map(make);
      return isDeep ? withGradients(example, inputs) : { [example.says]: example.f(...inputs) };
    });
    return Object.assign({}, ...outputs);
  };
  await useBackend("reference");
  const expected = build();
  const wanted = await read(Object.values(expected));
  for (const texelReads of [false, true]) {
    const actual = await runLowered(Object.values(build()), { limits: { maxBindingBytes: 1024 }, texelReads });
    deepEqual(differences(Object.keys(expected), actual, wanted), [], `textures: ${texelReads}`);
  }
  await useBackend("webgpu", { limits: {} });
});

/** A loss of a small model, its gradients, and the Hessian along one direction. The table takes 32 KiB, a map of the MLP 8. */
function derivatives(): { names: string[]; outputs: Tensor[] } {
  const { config, parameters } = tinyModel({ layers: 1, hiddenSize: 32, heads: 2, keyValueHeads: 1, intermediateSize: 64 });
  const batch = tokenTensors(batchAt(sampleText(300), { batchSize: 2, sequenceLength: 13, seed: 1, step: 0 }));
  const names = Object.keys(parameters);
  const weights = Object.values(parameters);
  const loss = languageModelLoss(config, parameters, batch);
  const along = weights.map(({ size, shape }, seed) => tensor(noise(size, { seed }), { shape }));
  return {
    names: ["loss", ...names.map((name) => `gradient of ${name}`), ...names.map((name) => `Hessian along ${name}`)],
    outputs: [loss, ...gradients(loss, weights), ...hessianVectorProduct(loss, weights, along)],
  };
}

Deno.test("a Llama's loss, gradients and Hessian-vector products are the same in buffers of 7000 bytes", async () => {
  await useBackend("reference");
  const { names, outputs } = derivatives();
  const expected = await read(outputs);
  await within(alike(7000), async () => {
    const actual = await runLowered(derivatives().outputs, { limits: alike(7000), texelReads: false });
    deepEqual(differences(names, actual, expected, { relative: 2e-4 }), []);
  });
});

/** What two steps make of a model, as it is saved, loaded, packed and asked to write. */
async function pipeline(): Promise<{ losses: number[]; weights: number[]; loaded: boolean; file: Uint8Array; text: string }> {
  const from = tinyModel({ layers: 1 });
  const data = batches(sampleText(600), { batchSize: 2, sequenceLength: 12, seed: 1 });
  const losses: number[] = [];
  let model = from;
  for await (const event of train(from, data, { steps: 3, learningRate: 1e-2, quantizer: "hestia", groupSize: 64 })) {
    if (event.type === "step") losses.push(event.lossNats, event.gradientNorm);
    else model = { ...from, ...event.model };
  }
  const folder = await Deno.makeTempDir();
  try {
    await saveCheckpoint(`${folder}/model`, model, model);
    const { parameters } = await loadCheckpoint(`${folder}/model`);
    const [before, after] = [model.parameters, parameters].map((map) => Object.values(map).map((each) => each.data()));
    const [kept, loaded] = [await Promise.all(before), await Promise.all(after)];
    const file = await pack(model, { quantization: { quantizer: "hestia", groupSize: 64 } });
    let text = "";
    for await (const piece of generate(await openPacked(file), "Call me", { maxTokens: 5 })) text += piece;
    const weights = kept.flatMap((list) => [...list]);
    return { losses, weights, loaded: `${loaded.flatMap((list) => [...list])}` === `${weights}`, file, text };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("training, checkpoints, packing and generation are the same in buffers of 16 KiB", async () => {
  await useBackend("webgpu", { limits: {} });
  const expected = await pipeline();
  const actual = await within(alike(2 ** 14), pipeline);
  ok(expected.loaded && actual.loaded);
  close(actual.losses, expected.losses, { relative: 1e-4 });
  close(actual.weights, expected.weights, { relative: 0, absolute: 2e-3 });
  equal(actual.file.length, expected.file.length);
  equal(actual.text, expected.text);
});

Deno.test("what is larger than a buffer is read in turns, before what is asked for later changes it", async () => {
  await within(alike(2 ** 14), async () => {
    const count = 10_001;
    const numbers = Float32Array.from({ length: count }, (_, i) => i);
    const [x, halves, words] = [
      tensor(numbers),
      tensor(numbers, { dtype: "float16" }),
      tensor(Uint32Array.from(numbers), { shape: [count] }),
    ];
    const [y] = realize([x.add(1)]);
    const reads = Promise.all([x, y, halves, words, y.slice([0], [3])].map((each) => each.data()));
    y.dispose();
    const [before, after, rounded, integers, few] = await reads;
    deepEqual([...before], [...numbers]);
    deepEqual([...after], [...numbers].map((value) => value + 1));
    deepEqual([...rounded], [...numbers].map(Math.f16round));
    deepEqual([...integers], [...numbers]);
    deepEqual([...few], [1, 2, 3]);
  });
});

/** A table of rows and, piece by piece, others written over them from some row on. */
async function writtenOver(width: number): Promise<void> {
  const rows = 150;
  const table = Float32Array.from({ length: rows * width }, (_, i) => i);
  const write = compile(({ table, fresh, position }: { table: Tensor; fresh: Tensor; position: Tensor }) => ({
    table: writeRows(table, fresh, position),
  }), { donate: ["table"] });
  let held = tensor(table, { shape: [1, 1, rows, width] });
  for (const [first, count] of [[0, 3], [49, 60], [148, 2], [149, 3]]) {
    const fresh = Float32Array.from({ length: count * width }, (_, i) => -i - first);
    table.set(fresh.subarray(0, (rows - first) * width), first * width);
    ({ table: held } = write({
      table: held,
      fresh: tensor(fresh, { shape: [1, 1, count, width] }),
      position: tensor(Uint32Array.of(first), { shape: [] }),
    }));
    deepEqual(await held.data(), table);
  }
}

Deno.test("rows are written over those of a large table in place, wherever it is cut", async () => {
  await within(alike(2 ** 12), () => writtenOver(20));
  await within(alike(2 ** 16), () => writtenOver(517));
});

Deno.test("a large result under another shape is a tensor like any other, and so is one that is returned as it came", async () => {
  await within(alike(2 ** 12), async () => {
    const numbers = noise(7000);
    const x = tensor(numbers, { shape: [100, 70] });
    const [y] = realize([x.mul(2).reshape([7, 1000])]);
    deepEqual(await y.reshape([7000]).data(), numbers.map((value) => 2 * value));
    deepEqual(await y.reshape([100, 70]).add(x).reshape([7000]).data(), numbers.map((value) => 3 * value));
    const same = compile(({ x, y }: { x: Tensor; y: Tensor }) => ({ x, twice: y, again: y.reshape([350, 20]) }), {
      donate: ["x"],
    });
    const { x: back, twice, again } = same({ x, y });
    deepEqual(await back.data(), numbers);
    deepEqual(await twice.add(again.reshape([7, 1000])).data(), numbers.map((value) => 4 * value));
  });
});

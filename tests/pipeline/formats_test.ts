/** Every format from the model to the file and back. */

import { deserialize } from "node:v8";
import { ggmlFloats } from "../../src/io/ggml_floats.ts";
import { ggmlTypes } from "../../src/io/ggml_types.ts";
import { openGgufFile } from "../../src/io/gguf_file.ts";
import { gzip } from "../../src/io/gzip.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { parseSafetensors, tensorValues } from "../../src/io/safetensors.ts";
import { readSafetensorsFile } from "../../src/io/safetensors_file.ts";
import { type LanguageModel, loadCheckpoint, saveCheckpoint } from "../../src/llama/checkpoint.ts";
import { quantizedNames } from "../../src/llama/parameters.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack, type PackOptions } from "../../src/pipeline/pack.ts";
import { openBitnet, packBitnet } from "../../src/pipeline/pack_bitnet.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import { useBackend } from "../../src/runtime.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";
import { askPeer } from "../support/peers.ts";

const sizes = { layers: 1, hiddenSize: 256, intermediateSize: 256, heads: 2, keyValueHeads: 1, headDim: 128 };

function modelOf(groupSize: number): LanguageModel {
  return { ...tinyModel(sizes), quantization: { quantizer: "hestia", groupSize, scaleDtype: "float16" } };
}

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Compares the linear maps of two models to the last bit, and all else as far as half precision goes. */
async function sameWeights(actual: Pick<LanguageModel, "parameters">, wanted: LanguageModel): Promise<void> {
  const exact = new Set(quantizedNames(wanted.config));
  for (const [name, parameter] of Object.entries(wanted.parameters)) {
    const [got, want] = await Promise.all([actual.parameters[name].data(), parameter.data()]);
    if (exact.has(name)) ok(got.every((value, i) => value === want[i]), name);
    else close(got, want, { relative: 2 ** -11, absolute: 2 ** -24, says: name });
  }
}

const exact: [format: NonNullable<PackOptions["format"]>, groupSize: number, bits: number][] = [
  ["q2_0", 64, 2.25],
  ["tq2_0", 256, 2.0625],
  ["tq1_0", -1, 1.6875],
  ["q4_0", 32, 4.5],
  ["pq2_0", 128, 2.125],
  ["ptq1_0", 128, 1.75],
  ["i2_s", 0, 2 + 7 * 256 / (3 * 256 * 256 + 2 * 256 * 256 + 2 * 128 * 256)],
  ["dense", 16, (52 * 8 + 16 * 16) / 256],
  ["f16", 32, 16],
];

for (const [format, groupSize, bits] of exact) {
  Deno.test(`${format} holds a model with float16 scales in groups of ${groupSize} to the bit`, async () => {
    const model = modelOf(groupSize);
    const bytes = await pack(model, { format });
    const packed = await openPacked(bytes);
    deepEqual(packed.config, model.config);
    deepEqual(packed.trainedWith, { quantizer: "hestia", groupSize });
    deepEqual(packed.endTokens, []);
    ok(Math.abs(packed.sizes.bitsPerWeight - bits) < 1e-12, `${packed.sizes.bitsPerWeight} bits`);
    await sameWeights(packed, roundedModel(model));
    if (format !== "dense") await readByHuggingFace(bytes);
  });
}

/** Hugging Face's parser finds the same tensors and metadata in a file. */
/** What Hugging Face's parser says of a file. */
interface TheirGguf {
  readonly tensorInfos: readonly { readonly name: string; readonly dtype: number; readonly shape: readonly bigint[] }[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

async function readByHuggingFace(bytes: Uint8Array): Promise<void> {
  await withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/m.gguf`, bytes);
    const { tensorInfos, metadata } = deserialize(await askPeer("gguf_by_huggingface", [`${folder}/m.gguf`])) as TheirGguf;
    const ours = parseGguf(bytes);
    const theirs = tensorInfos.map(({ name, dtype, shape }) => [name, dtype, shape.map(Number).reverse()]);
    deepEqual(theirs, Array.from(ours.tensors, ([name, { type, shape }]) => [name, ggmlTypes[type].id, [...shape]]));
    for (const [key, { value }] of Object.entries(ours.metadata)) {
      deepEqual(metadata[key], value, key);
    }
  });
}

Deno.test("a format that does not hold the groups refuses, or merges scales when told to", async () => {
  const model = modelOf(128);
  await rejects(
    pack(model, { format: "tq2_0" }),
    /as tq2_0: group size 128 would lose scales, wanted 0 \(tensor\), -1 \(channel\), or/,
  );
  const packed = await openPacked(await pack(model, { format: "tq2_0", allowLoss: true }));
  const wanted = roundedModel(model);
  let [squaredError, square] = [0, 0];
  for (const name of quantizedNames(model.config)) {
    const [got, want] = await Promise.all([packed, wanted].map(({ parameters }) => parameters[name].data()));
    ok(got.every((value, i) => Math.sign(value) === Math.sign(want[i])), `${name} has other codes`);
    got.forEach((value, i) => [squaredError, square] = [squaredError + (value - want[i]) ** 2, square + want[i] ** 2]);
  }
  const error = Math.sqrt(squaredError / square);
  ok(error > 0.035 && error < 0.06, `${error}`); // least squares on Gaussian weights lose 4.7 %
  const exact = await pack(model, { format: "q2_0" });
  deepEqual(await pack(model, { format: "q2_0", allowLoss: true }), exact); // nothing to lose
});

Deno.test("embeddings in eight bits", async () => {
  const model = { ...modelOf(256), ...tinyModel({ ...sizes, tieEmbeddings: false }) };
  const bytes = await pack(model, {
    format: "tq2_0",
    embeddings: "q8_0",
    quantization: { quantizer: "ternary", groupSize: 256 },
  });
  const { tensors } = parseGguf(bytes);
  deepEqual(["token_embd.weight", "output.weight"].map((name) => tensors.get(name)?.type), ["Q8_0", "Q8_0"]);
  const packed = await openPacked(bytes);
  for (const name of ["model.embed_tokens.weight", "lm_head.weight"]) {
    const [got, want] = await Promise.all([packed, model].map(({ parameters }) => parameters[name].data()));
    const largest = Array.from(want).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    close(got, want, { absolute: largest / 250, relative: 0, says: name });
  }
  const floats = ggmlFloats("Q8_0", tensors.get("token_embd.weight")!.bytes)!;
  deepEqual([...await packed.parameters["model.embed_tokens.weight"].data()], [...Float16Array.from(floats)]); // held in halves
  await rejects(pack(modelOf(0), { format: "dense", embeddings: "q8_0" }), /embeddings as q8_0 in a dense file: wanted f16/);
  const narrow: LanguageModel = {
    ...tinyModel({ hiddenSize: 48, heads: 3, keyValueHeads: 1 }),
    quantization: { quantizer: "hestia", groupSize: 0 },
  };
  await rejects(pack(narrow, { format: "q4_0", embeddings: "q8_0" }), /columns must be a multiple of 32, got 48/);
});

Deno.test("weights that are ternary already are packed as they are", () =>
  withFolder(async (folder) => {
    const packed = await openPacked(await pack(modelOf(64)));
    await saveCheckpoint(folder, packed, packed);
    const again = await loadCheckpoint(folder);
    equal(again.quantization, undefined);
    for (const format of ["q2_0", "dense"] as const) {
      const bytes = await pack(again, { format, quantization: { quantizer: "ternary", groupSize: 64 } });
      await sameWeights(await openPacked(bytes), { ...packed });
    }
    for (const groupSize of [0, -1, 256]) { // in larger groups they would be rounded anew
      await rejects(
        pack(again, { quantization: { quantizer: "ternary", groupSize } }),
        /Cannot pack "model\.layers\.0\..*": its weights are ternary already, in groups of 64, .* wanted groupSize 64/,
      );
    }
    await useBackend("reference"); // which computes in float64
    const model = tinyModel({ hiddenSize: 64, layers: 1 });
    for (const groupSize of [0, -1, 64]) {
      const rounded = roundedModel({ ...model, quantization: { quantizer: "ternary", groupSize } });
      const bytes = await pack(rounded, { quantization: { quantizer: "hestia", groupSize: 64 } });
      const name = "model.layers.0.self_attn.q_proj.weight";
      close(await (await openPacked(bytes)).parameters[name].data(), await rounded.parameters[name].data(), { relative: 1e-3 });
    }
    await useBackend("webgpu");
  }));

Deno.test("a GGUF file is opened tensor by tensor, whatever the size of its header", () =>
  withFolder(async (folder) => {
    const model = { ...modelOf(64), name: "x" };
    for (const name of ["x", "x".repeat(600_000)]) {
      const bytes = await pack(model, { name });
      await Deno.writeFile(`${folder}/m.gguf`, bytes);
      using file = await openGgufFile(`${folder}/m.gguf`);
      const parsed = parseGguf(bytes);
      deepEqual(file.metadata, parsed.metadata);
      deepEqual([...file.tensors.keys()], [...parsed.tensors.keys()]);
      for (const [key, tensor] of parsed.tensors) deepEqual(await file.read(key), tensor);
      await sameWeights(await openPacked(file), roundedModel(model));
      await rejects(file.read("none"), /Cannot read tensor "none": the file has none of that name/);
    }
    await Deno.truncate(`${folder}/m.gguf`, 500_000);
    await rejects(openGgufFile(`${folder}/m.gguf`), /only \d+ are left|do not fit in/);
    await Deno.writeFile(`${folder}/m.gguf`, (await pack(model)).subarray(0, -5000));
    await rejects(openGgufFile(`${folder}/m.gguf`), /of the data, which has only/);
    await rejects(openGgufFile(`${folder}/none`), /Cannot open ".*none": No such file/);
  }));

Deno.test("a dense file is one of safetensors, and may be compressed", async () => {
  const model = modelOf(128);
  const bytes = await pack(model, { format: "dense" });
  const { tensors, metadata } = parseSafetensors(bytes);
  const name = "model.layers.0.mlp.up_proj.weight";
  deepEqual([tensors.get(name)?.dtype, tensors.get(name)?.shape], ["U8", [256, 52]]);
  deepEqual([tensors.get(`${name}_scale`)?.dtype, tensors.get(`${name}_scale`)?.shape], ["F16", [512]]);
  equal(JSON.parse(metadata["config.json"]).hidden_size, 256);
  const compressed = gzip(bytes);
  ok(compressed.length < 0.98 * bytes.length, `${compressed.length} of ${bytes.length}`);
  deepEqual(compressed, gzip(bytes));
  await sameWeights(await openPacked(compressed), roundedModel(model));
  const fetched = await openPacked(new Response(compressed));
  deepEqual(fetched.sizes, (await openPacked(bytes)).sizes);
  await rejects(openPacked(compressed.subarray(0, -9), { source: "m.gz" }), /Cannot read m\.gz: /);
  await rejects(openPacked(compressed.with(compressed.length - 1, 255), { source: "m.gz" }), /cannot hold \d+/);
});

Deno.test("a bitnet folder holds what transformers' description says", () =>
  withFolder(async (folder) => {
    const model = modelOf(0);
    await packBitnet(folder, model);
    const config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
    deepEqual(config.quantization_config, {
      quant_method: "bitnet",
      linear_class: "autobitlinear",
      quantization_mode: "offline",
    });
    equal(config.hestia, undefined);
    const { tensors } = await readSafetensorsFile(`${folder}/model.safetensors`);
    const wanted = roundedModel(model);
    for (const name of quantizedNames(model.config)) {
      // autobitlinear: unpack to rows i · out / 4 + r, bits 2 i of row r, minus one; then multiply by weight_scale
      const { dtype, shape, bytes } = tensors.get(name)!;
      const scale = tensors.get(name.replace(/weight$/, "weight_scale"))!;
      deepEqual([dtype, scale.dtype, scale.shape], ["U8", "F32", [1]]);
      const factor = tensorValues(scale)[0];
      const unpacked = [0, 1, 2, 3].flatMap((i) => Array.from(bytes, (byte) => ((byte >> 2 * i & 3) - 1) * factor));
      deepEqual([4 * shape[0], shape[1]], wanted.parameters[name].shape);
      const values = await wanted.parameters[name].data();
      ok(unpacked.every((value, i) => value === values[i]), name);
    }
    const opened = await openBitnet(folder);
    await sameWeights(opened, wanted);
    deepEqual([opened.trainedWith, opened.config], [{ quantizer: "hestia", groupSize: 0 }, model.config]);
    await rejects(packBitnet(folder, modelOf(128)), /as bitnet: group size 128 would lose scales, wanted 0 \(tensor\)/);
  }));

Deno.test("a bitnet folder whose layers divide by the scale is read so", () =>
  withFolder(async (folder) => {
    const model = modelOf(0);
    await packBitnet(folder, model);
    const path = `${folder}/config.json`;
    const config = JSON.parse(await Deno.readTextFile(path));
    const change = (quantization: object) =>
      Deno.writeTextFile(path, JSON.stringify({ ...config, quantization_config: { quant_method: "bitnet", ...quantization } }));
    await change({});
    const name = "model.layers.0.mlp.up_proj.weight";
    const [divided, wanted] = [await openBitnet(folder), roundedModel(model)].map(({ parameters }) => parameters[name].data());
    const scale = Math.max(...await wanted);
    close(await divided, (await wanted).map((value) => Math.sign(value) / scale), { relative: 1e-6, absolute: 0, says: name });
    await change({ quantization_mode: "online" });
    await rejects(openBitnet(folder), /its quantization_config is not that of bitnet/);
    await Deno.writeTextFile(path, JSON.stringify({ ...config, quantization_config: null }));
    await rejects(openBitnet(folder), /its quantization_config is not that of bitnet/);
  }));

Deno.test("what is no dense file is refused in one line", async () => {
  const bytes = await pack(modelOf(0), { format: "dense" });
  const text = new TextDecoder("latin1").decode(bytes);
  const changed = (from: string, to: string) => {
    const at = text.indexOf(from);
    ok(at > 0 && from.length === to.length);
    const copy = bytes.slice();
    copy.set(new TextEncoder().encode(to), at);
    return copy;
  };
  const cases: [Uint8Array, RegExp][] = [
    [changed('"hestia.format":"dense"', '"hestia.format":"other"'), /hestia\.format other, wanted dense/],
    [
      changed('num_hidden_layers\\":1', 'num_hidden_layers\\":9'),
      /Cannot load m: wanted a float tensor "model\.layers\.1\.input_layernorm\.weight" of \[256\], there is none/,
    ],
    [bytes.subarray(0, -1), /Cannot read/],
  ];
  for (const [damaged, message] of cases) await rejects(openPacked(damaged, { source: "m" }), message);
  match(text, /hestia_trained/);
});

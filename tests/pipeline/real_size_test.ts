/**
 * The shapes and configurations of public models, with random weights in bfloat16 and shards: loaded, compared with the published formulas
 * in float64, saved to the bit, packed, compared with llama.cpp, and written on from, in stated memory. Takes gigabytes and minutes, so it
 * runs where HESTIA_DEEP is 1; HESTIA_REAL names one of the models.
 */

import {
  calibrate,
  llama,
  loadModel,
  openGgufFile,
  openPacked,
  packFile,
  saveCheckpoint,
  tensor,
  train,
  useBackend,
} from "../../mod.ts";
import { bfloat16ToFloat32 } from "../../src/io/float16.ts";
import { viewAs } from "../../src/io/bytes.ts";
import { readAt } from "../../src/io/files.ts";
import { readCheckpointFolder } from "../../src/io/safetensors_file.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { generateTokens } from "../../src/llama/generate.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { type ConfigJson, float64Logits, shapesOf, type Weights } from "../support/float64_llama.ts";
import { hostBytes, tellsMemory } from "../support/host_memory.ts";
import { LlamaCpp, noLlamaCpp, softmax } from "../support/llama_cpp.ts";
import { close } from "../support/numbers.ts";
import { realConfig, realModels, writeRealModel } from "../support/real_models.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";
const llamaCpp = deep && !noLlamaCpp ? await LlamaCpp.open() : undefined;
const chosen = Deno.env.get("HESTIA_REAL");
const ids = Uint32Array.of(67, 97, 108);
const besides = 300e6;

/** Bytes of the largest tensor as float32. */
const largest = (json: ConfigJson) =>
  4 * Math.max(...Object.values(shapesOf(json)).map((shape) => shape.reduce((a, b) => a * b)));

/** Where each tensor of a folder lies. */
function placesOf(folder: string): Map<string, { path: string; from: number; length: number }> {
  const places = new Map<string, { path: string; from: number; length: number }>();
  for (const { name } of Deno.readDirSync(folder)) {
    if (!name.endsWith(".safetensors")) continue;
    const path = `${folder}/${name}`;
    const size = Number(new DataView(bytesAt(path, 0, 8).buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytesAt(path, 8, size)));
    for (const [tensor, entry] of Object.entries<{ data_offsets: [number, number] }>(header)) {
      if (tensor === "__metadata__") continue;
      const [begin, end] = entry.data_offsets;
      places.set(tensor, { path, from: 8 + size + begin, length: end - begin });
    }
  }
  return places;
}

function bytesAt(path: string, from: number, length: number): Uint8Array<ArrayBuffer> {
  using file = Deno.openSync(path);
  return readAt(file, from, length);
}

/** The weights of a checkpoint, read when they are asked for; the last of them is kept. */
function weightsOf(folder: string): Weights {
  const places = placesOf(folder);
  let last: readonly [string, Float32Array] | undefined;
  const read = (name: string): Float32Array | undefined => {
    const place = places.get(name);
    if (!place || last?.[0] === name) return place && last![1];
    const { path, from, length } = place;
    last = [name, bfloat16ToFloat32(viewAs(bytesAt(path, from, length), Uint16Array<ArrayBuffer>))];
    return last[1];
  };
  return new Proxy({}, { get: (_, name) => read(String(name)) });
}

async function agreesWithFormulas(model: LanguageModel, json: ConfigJson, folder: string): Promise<void> {
  const logits = await llama(model, tensor(ids, { shape: [1, ids.length] })).data();
  const wanted = float64Logits(json, weightsOf(folder), ids);
  close(logits, wanted, { relative: 1e-3, absolute: 2e-3, says: "logits" });
}

async function savesToTheBit(model: LanguageModel, folder: string, saved: string): Promise<void> {
  const { bytes } = await hostBytes(() => saveCheckpoint(saved, model, model, { dtype: "bfloat16", maxShardBytes: 7e8 }));
  if (tellsMemory) ok(bytes < 4 * model.config.vocabularySize * model.config.hiddenSize + besides, `saving takes ${bytes} bytes`);
  using before = await readCheckpointFolder(folder);
  using after = await readCheckpointFolder(saved);
  deepEqual([...after.tensors.keys()], [...before.tensors.keys()]);
  for (const name of before.tensors.keys()) {
    const [a, b] = [await before.read(name), await after.read(name)];
    ok(a.bytes.length === b.bytes.length && a.bytes.every((byte, at) => byte === b.bytes[at]), name);
  }
  deepEqual(
    JSON.parse(await Deno.readTextFile(`${saved}/config.json`)),
    JSON.parse(await Deno.readTextFile(`${folder}/config.json`)),
  );
}

async function packsForLlamaCpp(model: LanguageModel, path: string): Promise<void> {
  const { bytes } = await hostBytes(() => packFile(path, model, { quantization: { quantizer: "ternary", groupSize: 64 } }));
  if (tellsMemory) {
    ok(bytes < 4 * model.config.vocabularySize * model.config.hiddenSize + besides, `packing takes ${bytes} bytes`);
  }
  using file = await openGgufFile(path);
  const packed = await openPacked(file);
  deepEqual(packed.config, model.config);
  const { vocabularySize: size } = model.config;
  const logits = await llama(packed, tensor(ids, { shape: [1, ids.length] })).data();
  if (!llamaCpp) return;
  const mine = softmax(Array.from(logits).slice(-size));
  const theirs = llamaCpp.nextToken(path, Int32Array.from(ids));
  const nats = mine.reduce((sum, p, i) => sum + (p === 0 ? 0 : p * Math.log(p / theirs[i])), 0);
  ok(nats < 1e-3, `llama.cpp differs by ${nats} nats`);
}

async function calibratesAndTrains(model: LanguageModel): Promise<void> {
  const [inputs, targets] = [60, 61].map((first) => Uint32Array.from({ length: 16 }, (_, i) => first + i));
  const data = new Array(2).fill({ inputs, targets, shape: [1, 16] });
  const { temperatureScales } = await calibrate(model, data, { probes: 1 });
  for await (const event of train(model, data, { quantizer: "hestia", groupSize: 64, steps: 2, temperatureScales })) {
    if (event.type === "step") ok(Number.isFinite(event.lossNats), `loss ${event.lossNats}`);
  }
}

for (const [name, { layers }] of Object.entries(realModels)) {
  const ignore = !deep || chosen !== undefined && chosen !== name;
  Deno.test({
    name: `${name} (${layers} layers) loads, saves, packs and writes`,
    ignore,
    fn: async () => {
      await useBackend("webgpu");
      const root = await Deno.makeTempDir();
      const folder = `${root}/model`;
      const json = realConfig(name);
      try {
        await Deno.mkdir(folder);
        await writeRealModel(folder, json, { maxShardBytes: 5e8 });
        const { result: model, bytes } = await hostBytes(() => loadModel(folder));
        if (tellsMemory) ok(bytes < largest(json) + besides, `loading takes ${bytes} bytes besides the device's`);
        await agreesWithFormulas(model, json, folder);
        await savesToTheBit(model, folder, `${root}/saved`);
        await packsForLlamaCpp(model, `${root}/model.gguf`);
        const written = await Array.fromAsync(generateTokens(model, ids, { maxTokens: 3, temperature: 0, contextLength: 64 }));
        equal(written.length, 3);
        if (layers <= 4) await calibratesAndTrains(model);
      } finally {
        await Deno.remove(root, { recursive: true });
      }
    },
  });
}

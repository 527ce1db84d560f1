/** Every family: logits of the published formulas, checkpoints that come back to the bit, gradients, and packed models. */

import {
  gradients,
  llama,
  loadModel,
  openPacked,
  pack,
  saveCheckpoint,
  type Tensor,
  tensor,
  train,
  useBackend,
} from "../../mod.ts";
import { generateTokens } from "../../src/llama/generate.ts";
import { readCheckpointFolder } from "../../src/io/safetensors_file.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { crossEntropy } from "../../src/nn/loss.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { dtypeOf, familyConfigs, randomWeights, writeCheckpoint } from "../support/family_models.ts";
import { type ConfigJson, float64Logits } from "../support/float64_llama.ts";
import { close, noise, slope } from "../support/numbers.ts";

const ids = Uint32Array.from({ length: 23 }, (_, i) => (i * 37 + 72) % 256);
const batch = (rows: ArrayLike<number> = ids) => tensor(Uint32Array.from(rows), { shape: [1, rows.length] });

async function inFolders(work: (folder: string, other: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/model`);
    await work(`${root}/model`, `${root}/saved`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const files = {
  "generation_config.json": '{"eos_token_id": [7, 9], "do_sample": true, "transformers_version": "4.40.0"}',
  "tokenizer_config.json": '{"chat_template": "{{ messages }}", "name_or_path":  "kept" }',
  "special_tokens_map.json": "{ }",
};

/** Names and bytes of the stored tensors. */
async function storedBytes(folder: string): Promise<Record<string, unknown>> {
  using checkpoint = await readCheckpointFolder(folder);
  const entries: Record<string, unknown> = {};
  for (const name of checkpoint.tensors.keys()) {
    const { dtype, shape, bytes } = await checkpoint.read(name);
    entries[name] = { dtype, shape, bytes: new Uint8Array(bytes) };
  }
  return entries;
}

for (const [family, json] of Object.entries(familyConfigs)) {
  Deno.test(`${family}: logits are those of the formulas, in whole and packed; what was loaded is saved to the bit`, async () => {
    await useBackend("webgpu");
    const weights = randomWeights(json);
    const wanted = float64Logits(json, weights, ids);
    await inFolders(async (folder, saved) => {
      await writeCheckpoint(folder, json, weights, { maxShardBytes: 60_000, files });
      const model = await loadModel(folder);
      close(await llama(model, batch()).data(), wanted, { relative: 1e-3, absolute: 1e-3, says: "logits" });
      deepEqual(model.endTokens, [7, 9]);
      equal(model.chatTemplate, "{{ messages }}");
      equal(model.origin?.dtype, dtypeOf(json));

      await saveCheckpoint(saved, model, model, { dtype: dtypeOf(json), maxShardBytes: 50_000 });
      deepEqual(await storedBytes(saved), await storedBytes(folder));
      for (const name of Object.keys(files)) {
        equal(await Deno.readTextFile(`${saved}/${name}`), files[name as keyof typeof files]);
      }
      deepEqual(JSON.parse(await Deno.readTextFile(`${saved}/config.json`)), {
        ...json,
        ...(json.dtype ? {} : { torch_dtype: json.torch_dtype }),
      });
      deepEqual((await loadModel(saved)).config, model.config);
      await packedAgrees(model);
    });
  });
}

Deno.test("matrices held in half precision compute and write what they do in float32, and are not trained", async () => {
  await useBackend("webgpu");
  const json = familyConfigs["Qwen2 with yarn"]; // stored in half precision
  await inFolders(async (folder) => {
    await writeCheckpoint(folder, json, randomWeights(json));
    const [whole, half] = [await loadModel(folder), await loadModel(folder, { parameters: "float16" })];
    equal(half.parameters["model.layers.0.mlp.up_proj.weight"].dtype, "float16");
    equal(half.parameters["model.layers.0.self_attn.q_proj.bias"].dtype, "float32");
    close(await llama(half, batch()).data(), await llama(whole, batch()).data(), { relative: 1e-5, absolute: 1e-5 });
    const write = (model: LanguageModel) => Array.fromAsync(generateTokens(model, ids, { maxTokens: 5, temperature: 0 }));
    deepEqual(await write(half), await write(whole));
    const [inputs, targets] = [ids.slice(0, 8), ids.slice(1, 9)];
    const training = train(half, [{ inputs, targets, shape: [1, 8] }], { steps: 1 });
    await rejects(() => training.next(), /Cannot train "model\.embed_tokens\.weight", which is float16/);
  });
});

/** Logits of the packed model against those of the whole one, both from weights that half precision holds. */
async function packedAgrees(model: LanguageModel): Promise<void> {
  const halves = await loadFromPacked(model);
  const wanted = await llama(halves, batch()).data();
  const packed = await openPacked(await pack(halves, { format: "f16" }));
  deepEqual(packed.config, model.config);
  deepEqual([packed.endTokens, packed.chatTemplate], [model.endTokens, model.chatTemplate]);
  close(await llama(packed, batch()).data(), wanted, { relative: 1e-4, absolute: 1e-4, says: "packed logits" });
}

/** The model with its weights as GGUF holds them in half precision. */
async function loadFromPacked(model: LanguageModel): Promise<LanguageModel> {
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    await Deno.writeFile(path, await pack(model, { format: "f16" }));
    const loaded = await loadModel(path);
    deepEqual(loaded.config, model.config);
    return loaded;
  } finally {
    await Deno.remove(path);
  }
}

/** Loss of a model whose parameters are moved by `t` along random directions, in float64. */
function lossAt(model: LanguageModel, directions: Readonly<Record<string, Tensor>>, t: number): Tensor {
  const moved = Object.entries(model.parameters).map(([name, value]) => [name, value.add(directions[name].mul(t))]);
  const logits = llama({ ...model, parameters: Object.fromEntries(moved) }, batch(ids.slice(0, -1)));
  return crossEntropy(logits.reshape([ids.length - 1, 256]), tensor(ids.slice(1)));
}

for (const family of ["Llama with all biases and linear positions", "Qwen2 with yarn", "Qwen3"]) {
  Deno.test(`${family}: the gradient of every parameter is the slope of the loss`, async () => {
    await useBackend("reference");
    const json: ConfigJson = { ...familyConfigs[family], num_hidden_layers: 1 };
    await inFolders(async (folder) => {
      await writeCheckpoint(folder, json, randomWeights(json));
      const model = await loadModel(folder);
      const names = Object.keys(model.parameters);
      const directions = Object.fromEntries(
        names.map((name, at) => {
          const { shape, size } = model.parameters[name];
          return [name, tensor(noise(size, { seed: 50 + at }), { shape })];
        }),
      );
      const slopes = gradients(lossAt(model, directions, 0), names.map((name) => model.parameters[name]));
      for (const [at, name] of names.entries()) {
        const along = await slopes[at].mul(directions[name]).sum().item();
        const zeros = Object.fromEntries(
          names.map((other) => [other, other === name ? directions[name] : directions[other].mul(0)]),
        );
        const wanted = await slope(async (t) => await lossAt(model, zeros, t).item(), 1e-4);
        ok(Math.abs(along - wanted) < 1e-6 * (1 + Math.abs(wanted)), `${name}: ${along}, wanted ${wanted}`);
      }
      await useBackend("webgpu");
    });
  });
}

/** Every family in llama.cpp: our files give its next token the probabilities that the published formulas give it. */

import { llama, loadModel, openPacked, pack, tensor, useBackend } from "../../mod.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { ok } from "../assert.ts";
import { familyConfigs, randomWeights, writeCheckpoint } from "../support/family_models.ts";
import { type ConfigJson, float64Logits } from "../support/float64_llama.ts";
import { LlamaCpp, noLlamaCpp, softmax } from "../support/llama_cpp.ts";

const llamaCpp = noLlamaCpp ? undefined : await LlamaCpp.open();
const ids = Int32Array.from({ length: 90 }, (_, i) => (i * 37 + 72) % 256); // beyond the contexts that yarn and llama3 begin with

/** Information lost where q stands for p, in nats. */
function divergence(p: Float64Array, q: Float64Array): number {
  return p.reduce((sum, each, i) => sum + (each === 0 ? 0 : each * Math.log(each / q[i])), 0);
}

/** Linear maps of half the size, so that predictions are about as sure as those of a trained model. */
function weightsOf(json: ConfigJson): Record<string, Float32Array<ArrayBuffer>> {
  const weights = Object.entries(randomWeights({ ...json, dtype: "float32" }));
  return Object.fromEntries(
    weights.map(([name, values]) => [name, name.endsWith("proj.weight") ? values.map((x) => x / 2) : values]),
  );
}

async function withModel(json: ConfigJson, work: (model: LanguageModel, path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await writeCheckpoint(folder, { ...json, dtype: "float32", torch_dtype: "float32" }, weightsOf(json));
    await work(await loadModel(folder), `${folder}/model.gguf`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const lastOf = (logits: ArrayLike<number>) => softmax(Array.from(logits).slice(-256));

for (const [family, json] of Object.entries(familyConfigs)) {
  const name = `${family}: llama.cpp predicts from our f16 and q2_0 files what we do`;
  Deno.test({
    name: noLlamaCpp ? `${name} (${noLlamaCpp})` : name,
    ignore: noLlamaCpp !== undefined,
    fn: async () => {
      await useBackend("webgpu");
      await withModel(json, async (model, path) => {
        await Deno.writeFile(path, await pack(model, { format: "f16" }));
        const half = divergence(lastOf(float64Logits(json, weightsOf(json), ids)), llamaCpp!.nextToken(path, ids));
        ok(half < 1e-5, `f16: ${half} nats`);

        const bytes = await pack(model, { quantization: { quantizer: "hestia", groupSize: 64 } });
        await Deno.writeFile(path, bytes);
        const ours = lastOf(
          await llama(await openPacked(bytes), tensor(Uint32Array.from(ids), { shape: [1, ids.length] })).data(),
        );
        const packed = divergence(ours, llamaCpp!.nextToken(path, ids));
        ok(packed < 1e-3, `q2_0: ${packed} nats`);
      });
    },
  });
}

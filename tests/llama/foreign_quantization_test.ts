import { partName } from "../../src/core/names.ts";
import { tensor } from "../../src/create.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/llama/checkpoint.ts";
import { initialModel, quantizedNames } from "../../src/llama/parameters.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import { quantizers } from "../../src/quant/registry.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { deepEqual, equal, rejects } from "../assert.ts";

const sizes = { vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 24 };
const model = { ...initialModel(sizes, { seed: 5 }), tokenizer: byteTokenizer };
const names = quantizedNames(model.config);

/** Calls `work` with a folder that holds the model, with these fields in its configuration and tensors beside its own. */
async function withFolder(
  fields: object,
  tensors: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: number[] }>>,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await saveCheckpoint(folder, model, model);
    const config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, ...fields }));
    const own = await Promise.all(
      Object.entries(model.parameters).map(async ([name, value]) =>
        [name, { shape: value.shape, data: await value.data() }] as const
      ),
    );
    const all = Object.entries({ ...Object.fromEntries(own), ...tensors }).map((
      [name, value],
    ) => [name, { dtype: "F32", ...value }]);
    await Deno.writeFile(`${folder}/model.safetensors`, writeSafetensors(Object.fromEntries(all)));
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A range for each output channel of each weight. */
const clips = Object.fromEntries(names.map((name) => {
  const [rows] = model.parameters[name].shape;
  return [`${name}_clip_val`, {
    shape: [rows, 1],
    data: Array.from({ length: rows }, (_, row) => Math.fround(0.02 + row / 1000)),
  }];
}));

Deno.test("ParetoQ's latent weights are rounded within the clip values that lie beside them", () =>
  withFolder({ w_bits: 0 }, clips, async (folder) => {
    const loaded = await loadCheckpoint(folder);
    const { quantizer, groupSize, parameters } = loaded.quantization!;
    deepEqual([quantizer, groupSize], ["seq", -1]);
    const rounded = roundedModel(loaded);
    for (const name of names) {
      const range = clips[`${name}_clip_val`].data;
      deepEqual([...await parameters![partName(name, "range")].data()], range);
      const wanted = quantizers.seq.quantize(model.parameters[name], {
        groupSize: -1,
        hard: true,
        parameters: { range: tensor(range) },
      });
      deepEqual(await rounded.parameters[name].data(), await wanted.data());
    }
    await saveCheckpoint(`${folder}/again`, loaded, loaded);
    const again = await loadCheckpoint(`${folder}/again`);
    equal(again.quantization!.quantizer, "seq");
    deepEqual(Object.keys(again.quantization!.parameters!).sort(), Object.keys(parameters!).sort());
  }));

Deno.test("clip values of other bits, of nobody knows how many, and of some weights only are refused", async () => {
  const refused = (fields: object, tensors: typeof clips, message: RegExp) =>
    withFolder(fields, tensors, (folder) => rejects(loadCheckpoint(folder), message));
  await refused(
    {},
    clips,
    /its tensors "…_clip_val" belong to ParetoQ's quantizers, and w_bits .* wanted 0, for ternary, got none/,
  );
  await refused({ w_bits: 4 }, clips, /w_bits in config\.json is 4, wanted 0, for ternary/);
  const { [`${names[3]}_clip_val`]: _, ...some } = clips;
  await refused({ w_bits: 0 }, some, /".*o_proj\.weight" has no ".*o_proj\.weight_clip_val", as others have/);
});

Deno.test("latent weights of transformers' BitNet layers, which round while they run, are rounded as these do", () => {
  const config = { quant_method: "bitnet", linear_class: "autobitlinear", quantization_mode: "online" };
  return withFolder({ quantization_config: config }, {}, async (folder) => {
    const rounded = roundedModel(await loadCheckpoint(folder));
    for (const name of names) {
      const weights = Float32Array.from(await model.parameters[name].data());
      const scale = Math.max(weights.reduce((sum, value) => sum + Math.abs(value), 0) / weights.length, 1e-5);
      const got = await rounded.parameters[name].data();
      weights.forEach((value, at) => {
        const code = Math.max(-1, Math.min(1, Math.round(value / scale)));
        equal(Math.abs(got[at] - code * scale) < 1e-6, true, `${name} ${at}: ${got[at]}, wanted ${code * scale}`);
      });
    }
  });
});

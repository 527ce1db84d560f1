import { writeSafetensors } from "../../src/io/safetensors.ts";
import { readSafetensorsFile } from "../../src/io/safetensors_file.ts";
import { type LanguageModel, loadCheckpoint, type Quantization, saveCheckpoint } from "../../src/llama/checkpoint.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { useBackend } from "../../src/runtime.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";

const model = tinyModel({ layers: 1 });

/** Runs `work` in a folder that is removed afterwards, and that holds a checkpoint. */
async function inCheckpoint(work: (folder: string) => Promise<void>, saved: LanguageModel = model): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await saveCheckpoint(`${root}/model`, saved, saved);
    await work(`${root}/model`);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function values({ parameters }: LanguageModel): Promise<Record<string, Float32Array>> {
  const data = await Promise.all(Object.values(parameters).map((each) => each.data()));
  return Object.fromEntries(Object.keys(parameters).map((name, index) => [name, Float32Array.from(data[index])]));
}

async function editConfig(folder: string, change: Record<string, unknown>): Promise<void> {
  const json = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
  await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...json, ...change }));
}

/** Rewrites the stored tensors. */
async function editTensors(folder: string, change: (tensors: Parameters<typeof writeSafetensors>[0]) => void): Promise<void> {
  const tensors = Object.fromEntries((await readSafetensorsFile(`${folder}/model.safetensors`)).tensors);
  change(tensors);
  await Deno.writeFile(`${folder}/model.safetensors`, writeSafetensors(tensors));
}

Deno.test("a checkpoint comes back to the bit, with its tokenizer and the way it was quantized", async () => {
  const quantization: Quantization = {
    quantizer: "hestia",
    groupSize: 64,
    recipe: "hestia-2026",
    tieRule: "zero",
    scaleEpsilon: 1e-3,
  };
  const saved = { ...model, beginToken: 1, endTokens: [2, 3], quantization };
  await inCheckpoint(async (folder) => {
    const { parameters: _, ...rest } = saved;
    const loaded = await loadCheckpoint(folder);
    const { parameters: __, origin, ...loadedRest } = loaded;
    deepEqual(loadedRest, rest);
    equal(origin?.dtype, "float32");
    equal(loaded.tokenizer, byteTokenizer);
    deepEqual(await values(loaded), await values(saved));
    const files = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    deepEqual(files, ["config.json", "model.safetensors", "tokenizer.json"]);
  }, saved);
});

Deno.test("a checkpoint always names its recipe; one without a name is older than the release of 2026", async () => {
  await inCheckpoint(async (folder) => {
    const { hestia } = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
    deepEqual(hestia, { quantizer: "ternary", groupSize: 0, recipe: "hestia-2026" });
    await editConfig(folder, { hestia: { quantizer: "ternary", groupSize: 0 } });
    equal((await loadCheckpoint(folder)).quantization?.recipe, "hestia-2025");
  }, { ...model, quantization: { quantizer: "ternary", groupSize: 0 } });
});

Deno.test("a checkpoint of the release of 2026 says in its own file how it was quantized", async () => {
  await inCheckpoint(async (folder) => {
    const of = async (fields: object) => {
      await Deno.writeTextFile(`${folder}/hestia_config.json`, JSON.stringify(fields));
      return (await loadCheckpoint(folder)).quantization;
    };
    const recipe = "hestia-2026";
    deepEqual(await of({}), { quantizer: "hestia", groupSize: 128, recipe });
    deepEqual(await of({ codebook: "2,-3,0.5", group_size: -1, scale_eps: 1e-4 }), {
      quantizer: "hestia:2,-3,0.5",
      groupSize: -1,
      recipe,
      scaleEpsilon: 1e-4,
    });
    deepEqual(await of({ method: "ste", codebook: "binary" }), { quantizer: "ternary:binary", groupSize: 128, recipe });
    deepEqual(await of({ codebook: "fairy2i", fairy2i_steps: 3 }), { quantizer: "fairy_v3", groupSize: 0, recipe });
    await rejects(
      of({ skip_modules: ["lm_head", "mlp.up_proj"] }),
      /hestia_config\.json skips mlp\.up_proj, wanted all linear maps/,
    );
    await rejects(of({ scale_epsilon: 1 }), /scale_epsilon is not a field; there are method, codebook/);
  });
});

Deno.test("a checkpoint in full precision has no field of ours, and a head where it is not tied", async () => {
  const own = tinyModel({ layers: 1, tieEmbeddings: false, ropeScaling: undefined });
  await inCheckpoint(async (folder) => {
    const json = JSON.parse(await Deno.readTextFile(`${folder}/config.json`));
    ok(!("hestia" in json));
    equal(json.tie_word_embeddings, false);
    const loaded = await loadCheckpoint(folder);
    equal(loaded.quantization, undefined);
    deepEqual(await values(loaded), await values(own));
  }, own);
});

Deno.test("half-precision tensors, and shards, are read", async () => {
  await inCheckpoint(async (folder) => {
    const { tensors } = await readSafetensorsFile(`${folder}/model.safetensors`);
    const wanted = await values(model);
    const names = [...tensors.keys()];
    const shards: [string, "F16" | "BF16", string[]][] = [["a.safetensors", "F16", names.slice(0, 4)], [
      "b.safetensors",
      "BF16",
      names.slice(4),
    ]];
    for (const [file, dtype, part] of shards) {
      const entries = part.map((name) => [name, { dtype, shape: tensors.get(name)!.shape, data: wanted[name] }] as const);
      await Deno.writeFile(`${folder}/${file}`, writeSafetensors(Object.fromEntries(entries)));
    }
    const map = Object.fromEntries(shards.flatMap(([file, , part]) => part.map((name) => [name, file])));
    await Deno.writeTextFile(`${folder}/model.safetensors.index.json`, JSON.stringify({ weight_map: map }));
    await Deno.remove(`${folder}/model.safetensors`);
    const loaded = await values(await loadCheckpoint(folder));
    for (const [, dtype, part] of shards) {
      const relative = dtype === "F16" ? 2 ** -11 : 2 ** -8;
      for (const name of part) {
        ok(loaded[name].every((value, i) => Math.abs(value - wanted[name][i]) <= relative * Math.abs(value) + 1e-7));
      }
    }
  });
});

const q = "model.layers.0.self_attn.q_proj.weight";
const faults: Record<string, [(folder: string) => Promise<void>, RegExp]> = {
  "a missing tensor": [
    (folder) => editTensors(folder, (tensors) => delete tensors[q]),
    /wanted a float tensor "model\.layers\.0\.self_attn\.q_proj\.weight" of \[64,64\], there is none/,
  ],
  "a tensor of another shape": [
    (folder) => editTensors(folder, (tensors) => tensors[q] = { dtype: "F32", shape: [2, 3], data: new Float32Array(6) }),
    /q_proj\.weight" of \[64,64\], got \[2,3\]/,
  ],
  "a tensor of integers": [
    (folder) => editTensors(folder, (tensors) => tensors[q] = { dtype: "I8", shape: [64, 64], data: new Int8Array(4096) }),
    /q_proj\.weight" of \[64,64\], got I8/,
  ],
  "a tensor too many": [
    (folder) => editTensors(folder, (tensors) => tensors["model.extra"] = { dtype: "F32", shape: [1], data: [1] }),
    /tensor "model\.extra" is not one of the 11 of a llama model of 1 layers; remove it/,
  ],
  "another architecture": [
    (folder) => editConfig(folder, { model_type: "gpt2" }),
    /model_type must be one of "llama", .*, got "gpt2"/,
  ],
  "a missing field": [
    (folder) => editConfig(folder, { hidden_size: undefined }),
    /hidden_size must be a positive number, got undefined/,
  ],
  "a damaged quantization": [
    (folder) => editConfig(folder, { hestia: { quantizer: 3 } }),
    /the field hestia of its config\.json must have another quantizer, got \{"quantizer":3\}/,
  ],
  "a recipe that there is not": [
    (folder) => editConfig(folder, { hestia: { quantizer: "hestia", groupSize: 64, recipe: "hestia-2027" } }),
    /the field hestia of its config\.json must have another recipe, got .*hestia-2027/,
  ],
  "a rule that there is not": [
    (folder) => editConfig(folder, { hestia: { quantizer: "hestia", groupSize: 64, scaleRules: "offset" } }),
    /the field hestia of its config\.json must have no scaleRules; there are quantizer, groupSize/,
  ],
  "a tokenizer that is too large": [
    (folder) => editConfig(folder, { vocab_size: 100 }),
    /its tokenizer has 256 ids, its config a vocab_size of 100/,
  ],
  "no config": [(folder) => Deno.remove(`${folder}/config.json`), /Cannot read ".*config\.json": no such file or folder/],
  "no tokenizer": [
    (folder) => Deno.remove(`${folder}/tokenizer.json`),
    /Cannot read ".*tokenizer\.json": no such file or folder/,
  ],
  "no weights": [
    (folder) => Deno.remove(`${folder}/model.safetensors`),
    /wanted model\.safetensors or model\.safetensors\.index\.json/,
  ],
};

for (const [what, [damage, message]] of Object.entries(faults)) {
  Deno.test(`a checkpoint with ${what} is refused in one line`, () =>
    inCheckpoint(async (folder) => {
      await damage(folder);
      await rejects(loadCheckpoint(folder), message);
    }));
}

Deno.test("a tied head that is stored nevertheless is passed over where it is the embedding, and refused where it differs", () =>
  inCheckpoint(async (folder) => {
    const embedding = (await values(model))["model.embed_tokens.weight"];
    await editTensors(folder, (tensors) => tensors["lm_head.weight"] = { dtype: "F32", shape: [256, 64], data: embedding });
    deepEqual(await values(await loadCheckpoint(folder)), await values(model));
    const other = embedding.with(16383, 7);
    await editTensors(folder, (tensors) => tensors["lm_head.weight"] = { dtype: "F32", shape: [256, 64], data: other });
    await rejects(
      loadCheckpoint(folder),
      /tie_word_embeddings\), but "lm_head\.weight" differs from it; set tie_word_embeddings to false/,
    );
    await editConfig(folder, { tie_word_embeddings: false });
    deepEqual((await values(await loadCheckpoint(folder)))["lm_head.weight"], other);
    await editTensors(folder, (tensors) => tensors["lm_head.weight"] = { dtype: "F32", shape: [2], data: [1, 2] });
    await editConfig(folder, { tie_word_embeddings: true });
    await rejects(loadCheckpoint(folder), /"lm_head\.weight" differs/);
  }));

Deno.test("a folder that cannot be written is named", async () => {
  await rejects(saveCheckpoint("/dev/null/model", model, model), /Cannot make the folder "\/dev\/null\/model"/);
});

Deno.test("a checkpoint is read from the device one tensor at a time", async () => {
  const { statistics } = await useBackend("webgpu");
  const { readbacks } = statistics;
  await inCheckpoint(() => Promise.resolve());
  equal(statistics.readbacks - readbacks, Object.keys(model.parameters).length);
});

import { tensor } from "../../mod.ts";
import { ggufInMemory } from "../../src/io/gguf.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { heldOutLoss } from "../../src/pipeline/evaluate.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack, packFile } from "../../src/pipeline/pack.ts";
import { packedSizes } from "../../src/pipeline/pack_gguf.ts";
import { roundedModel } from "../../src/pipeline/rounded.ts";
import { deepEqual, equal, notDeepEqual, ok, rejects } from "../assert.ts";
import { sampleText, tinyConfig, tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";

const text = sampleText(600);
const evaluation = { batchSize: 4, sequenceLength: 64 };

function quantizedModel(groupSize: number, options: Parameters<typeof tinyModel>[0] = {}): LanguageModel {
  return { ...tinyModel(options), quantization: { quantizer: "hestia", groupSize } };
}

for (const groupSize of [64, -1, 0]) {
  Deno.test(`a packed model has the weights and the loss of the rounded one (group size ${groupSize})`, async () => {
    const model = quantizedModel(groupSize);
    const rounded = roundedModel(model);
    const packed = await openPacked(await pack(model));
    deepEqual(packed.config, tinyConfig);
    deepEqual(packed.trainedWith, model.quantization);
    equal(packed.tokenizer, byteTokenizer);
    deepEqual(packed.endTokens, []);
    for (const name of Object.keys(model.parameters)) {
      const [actual, wanted] = await Promise.all([packed, rounded].map(({ parameters }) => parameters[name].data()));
      close(actual, wanted, { relative: 2 ** -11, absolute: 2 ** -24, says: name });
    }
    const [latent, hard, opened] = [model, rounded, packed].map((each) => heldOutLoss(each, text, evaluation));
    ok(Math.abs((await opened).lossNats - (await hard).lossNats) < 1e-3);
    ok(Math.abs((await latent).lossNats - (await hard).lossNats) > 1e-2, "rounding changed nothing");
  });
}

Deno.test("a model with its own head and without rope scaling comes back", async () => {
  const model = quantizedModel(64, { layers: 1, tieEmbeddings: false, ropeScaling: undefined });
  const packed = await openPacked(await pack(model, { name: "Tiny" }));
  deepEqual({ ...packed.config, ropeScaling: undefined }, model.config);
  ok(!("ropeScaling" in packed.config));
  const [actual, wanted] = await Promise.all([packed, model].map(({ parameters }) => parameters["lm_head.weight"].data()));
  close(actual, wanted, { relative: 2 ** -11, absolute: 2 ** -24, says: "head" });
});

Deno.test("quantized weights take 2.25 bits, in the order of rows that llama.cpp wants", async () => {
  const model = quantizedModel(64);
  const gguf = parseGguf(await pack(model));
  const sizes = packedSizes(ggufInMemory(gguf));
  const weights = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128);
  deepEqual(sizes, {
    bytes: weights * 2.25 / 8 + 2 * 256 * 64 + 4 * 5 * 64 + 4 * 8,
    quantizedBytes: weights * 2.25 / 8,
    quantizedWeights: weights,
    bitsPerWeight: 2.25,
  });
  deepEqual((await openPacked(await pack(model))).sizes, sizes);
  const types = [...gguf.tensors].map(([name, { type }]) => `${name} ${type}`).slice(0, 4);
  deepEqual(types, ["rope_freqs.weight F32", "token_embd.weight F16", "blk.0.attn_norm.weight F32", "blk.0.attn_q.weight Q2_0"]);
  const rowsOf = ({ bytes }: { bytes: Uint8Array }) => (row: number) => bytes.subarray(row * 18, (row + 1) * 18);
  const file = rowsOf(gguf.tensors.get("blk.0.attn_q.weight")!);
  const straight = rowsOf(gguf.tensors.get("blk.0.attn_output.weight")!);
  notDeepEqual(file(1), straight(1));
  const codes = roundedModel(model).parameters["model.layers.0.self_attn.q_proj.weight"];
  const values = await codes.data();
  const firstCode = (row: number) => (file(row)[2] & 3) - 1;
  for (const [row, source] of [[0, 0], [1, 8], [2, 1], [17, 24]]) equal(firstCode(row), Math.sign(values[source * 64]));
});

Deno.test("a model in full precision is packed when it is said how", async () => {
  await rejects(pack(tinyModel()), /Cannot pack a model in full precision: wanted the option quantization/);
  const quantization = { quantizer: "ternary", groupSize: 64 };
  const model = tinyModel();
  deepEqual(await pack(model, { quantization }), await pack({ ...model, quantization }));
});

Deno.test("a file written tensor by tensor is the one made in memory, and one that fails leaves what was there", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [path, model, last] = [`${folder}/model`, quantizedModel(64), "model.layers.1.mlp.down_proj.weight"];
    for (const format of ["f16", "q4_0", "dense", "q2_0"] as const) {
      await packFile(path, model, { format, allowLoss: true });
      deepEqual(await Deno.readFile(path), await pack(model, { format, allowLoss: true }), format);
    }
    const { parameters } = tinyModel();
    const huge = { ...parameters, [last]: parameters[last].mul(1e9) };
    await rejects(
      packFile(path, { ...tinyModel(), parameters: huge }, { format: "f16" }),
      /^RangeError: Cannot pack "model\.layers\.1/,
    );
    await rejects(packFile(`${folder}/none/model`, model), /Cannot write ".*none\/model": its folder does not exist/);
    deepEqual(await Deno.readFile(path), await pack(model));
    deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["model"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("what cannot be packed is refused", async () => {
  await rejects(
    pack(quantizedModel(32)),
    /group size 32 would lose scales, wanted 0 \(tensor\), -1 \(channel\), or a multiple of 64/,
  );
  await rejects(
    pack({ ...tinyModel(), quantization: { quantizer: "none", groupSize: 64 } }),
    /quantized by "none": they are no integers times scales/,
  );
  await rejects(pack({ ...tinyModel(), quantization: { quantizer: "best", groupSize: 64 } }), /Cannot quantize by "best"/);
  const model = quantizedModel(64);
  const huge = tensor(new Float32Array(256 * 64).fill(1e5), { shape: [256, 64] });
  const parameters = { ...model.parameters, "model.embed_tokens.weight": huge };
  await rejects(pack({ ...model, parameters }), /Cannot pack "model\.embed_tokens\.weight" in half precision: it holds 100000/);
});

Deno.test("a packed model is opened from a response or a stream as well", async () => {
  const bytes = await pack(quantizedModel(64, { layers: 1 }));
  equal((await openPacked(new Response(bytes))).config.layers, 1);
  equal((await openPacked(new Response(bytes).body!)).config.layers, 1);
  await rejects(openPacked(new Response("", { status: 404, statusText: "Not Found" })), /Cannot fetch .*404 Not Found/);
});

Deno.test("a file that is no packed Llama model is refused in one line", async () => {
  const { metadata, tensors } = parseGguf(await pack(quantizedModel(64, { layers: 1 })));
  const all = Object.fromEntries(tensors);
  const without = (name: string) => Object.fromEntries(Object.entries(all).filter(([key]) => key !== name));
  const up = "blk.0.ffn_up.weight";
  const cases: [Uint8Array, RegExp][] = [
    [new TextEncoder().encode("not a model at all"), /wanted it to begin with "GGUF"/],
    [writeGguf(metadata, without(up)), /wanted a tensor "blk\.0\.ffn_up\.weight", there is none/],
    [
      writeGguf(metadata, { ...all, [up]: all["blk.0.attn_q.weight"] }),
      /wanted "blk\.0\.ffn_up\.weight" to be \[128,64\], got \[64,64\]/,
    ],
    [
      writeGguf(metadata, { ...all, [up]: { type: "I8", shape: [128, 64], bytes: new Uint8Array(128 * 64) } }),
      /"blk\.0\.ffn_up\.weight": it is I8 \[128,64\], wanted a matrix of one of F32, .*Q6_K, Q2_0, TQ2_0, TQ1_0/,
    ],
    [
      writeGguf({ ...metadata, "general.architecture": { type: "string", value: "gpt2" } }, all),
      /general\.architecture is "gpt2", wanted one of "llama", /,
    ],
    [
      writeGguf({ ...metadata, "llama.block_count": { type: "uint32", value: 0 } }, all),
      /llama\.block_count is 0, wanted a positive integer/,
    ],
    [
      writeGguf({ ...metadata, "llama.block_count": { type: "uint32", value: 4e9 } }, all),
      /4000000000 layers, but only \d+ tensors/,
    ],
    [
      writeGguf({ ...metadata, "llama.attention.key_length": { type: "uint32", value: 4e9 } }, all),
      /llama\.attention\.value_length is 16, wanted 4000000000/,
    ],
    [writeGguf({ ...metadata, "tokenizer.ggml.pre": { type: "string", value: "bloom" } }, all), /tokenizer\.ggml\.pre bloom/],
    [
      writeGguf({ ...metadata, "hestia.rope.factor": { type: "float32", value: 3 } }, all),
      /its rope factors are not those of Llama 3/,
    ],
  ];
  for (const [bytes, message] of cases) await rejects(openPacked(bytes), message);
});

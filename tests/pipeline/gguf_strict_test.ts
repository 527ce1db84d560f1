/** GGUF files that say more than others: several files, other types of numbers, keys and tensors that are not known. */

import { ggmlFloats } from "../../src/io/ggml_floats.ts";
import { gzip } from "../../src/io/gzip.ts";
import { type GgufMetadata, type GgufTensor, openGgufFile } from "../../mod.ts";
import { llama, loadModel, openPacked, pack, type PackedModel, tensor, useBackend } from "../../mod.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { readCheckpointFolder } from "../../src/io/safetensors_file.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { tinyModel } from "../support/models.ts";

await useBackend("reference");
const model = tinyModel({ layers: 1, ropeScaling: undefined });
const bytes = await pack(model, { format: "f16" });
const { metadata, tensors } = parseGguf(bytes);
const all: Record<string, GgufTensor> = Object.fromEntries(tensors);

const written = (change: GgufMetadata = {}, more: Record<string, GgufTensor> = {}) =>
  writeGguf({ ...metadata, ...change }, { ...all, ...more });
const uint32 = (value: number) => ({ type: "uint32", value }) as const;
const ids = tensor(Uint32Array.of(72, 105, 33), { shape: [1, 3] });
const logits = async (from: LanguageModel | PackedModel) => [...await llama(from, ids).data()];
const wanted = await logits(await openPacked(bytes));

const opening: readonly (readonly [what: string, bytes: Uint8Array<ArrayBuffer>])[] = [
  ["counts as uint64", written({ "llama.block_count": { type: "uint64", value: 1n } })],
  ["counts as int32", written({ "llama.embedding_length": { type: "int32", value: 64 } })],
  ["a count for each layer", written({ "llama.attention.head_count_kv": { type: "array", itemType: "int32", value: [2] } })],
  ["gzip", gzip(bytes)],
  [
    "keys that only people read",
    written({
      "general.tags": { type: "array", itemType: "string", value: ["a"] },
      "quantize.imatrix.file": { type: "string", value: "x" },
    }),
  ],
  [
    "an original context without a scaling",
    written({
      "llama.rope.scaling.type": { type: "string", value: "none" },
      "llama.rope.scaling.original_context_length": uint32(9),
    }),
  ],
];
for (const [what, file] of opening) {
  Deno.test(`a GGUF file with ${what} opens`, async () => deepEqual(await logits(await openPacked(file)), wanted));
}

Deno.test("a name that is not UTF-8 is no reason to refuse a file; an architecture is", async () => {
  for (const [key, opens] of [["general.name", true], ["general.architecture", false]] as const) {
    const file = written({ [key]: { type: "string", value: "QQQQ" } });
    file[file.findIndex((_, at) => file.subarray(at, at + 4).every((byte) => byte === 81))] = 0xff;
    if (opens) deepEqual(await logits(await openPacked(file)), wanted);
    else await rejects(openPacked(file), /metadata "general\.architecture" .*: wanted UTF-8 text/);
  }
});

const float = (value: number) => ({ type: "float32", value }) as const;
const text = (value: string) => ({ type: "string", value }) as const;
const extra: GgufTensor = { type: "F32", shape: [64], bytes: new Uint8Array(256) };
const refused: readonly (readonly [what: string, bytes: Uint8Array<ArrayBuffer>, message: RegExp])[] = [
  [
    "a key that is not known",
    written({ "llama.attention.sinks": uint32(4) }),
    /metadata llama\.attention\.sinks is not known, got 4; remove it/,
  ],
  ["a factor of attention", written({ "llama.attention.scale": float(0.5) }), /llama\.attention\.scale is not known/],
  [
    "another scaling",
    written({ "llama.rope.scaling.type": text("longrope") }),
    /rope\.scaling\.type is "longrope", wanted "none", "linear" or "yarn"/,
  ],
  ["experts", written({ "llama.expert_count": uint32(8) }), /expert_count is 8, wanted 0/],
  [
    "a window",
    written({ "llama.attention.sliding_window": uint32(9) }),
    /sliding_window is 9, wanted 0, or at least the context length/,
  ],
  [
    "heads that are turned in part",
    written({ "llama.rope.dimension_count": uint32(8) }),
    /rope\.dimension_count is 8, wanted 16/,
  ],
  [
    "counts that differ",
    written({ "llama.attention.head_count": { type: "array", itemType: "uint32", value: [4, 2] } }),
    /head_count is \[4,2\]/,
  ],
  [
    "a tensor that is not known",
    written({}, { "blk.0.attn_sinks.weight": extra }),
    /tensor "blk\.0\.attn_sinks\.weight" is not one of the 11 of a llama model/,
  ],
  [
    "biases of which some are missing",
    written({}, { "blk.0.attn_q.bias": extra, "blk.1.attn_q.bias": extra }),
    /tensor "blk\.1\.attn_q\.bias" is not one of/,
  ],
  [
    "one part of three",
    written({ "split.no": { type: "uint16", value: 1 }, "split.count": { type: "uint16", value: 3 } }),
    /it is part 2 of 3 of a model, .* join them with llama-gguf-split/,
  ],
  [
    "a growth without end",
    written({ "llama.rope.scaling.factor": float(Infinity) }),
    /scaling\.factor is Infinity, wanted a number/,
  ],
  ["a factor that is no number", written({ "llama.rope.scaling.factor": float(NaN) }), /scaling\.factor is NaN, wanted/],
  ["a group size of text", written({ "hestia.group_size": text("x") }), /hestia\.group_size is "x", wanted -1, 0 or/],
  ["a quantizer that is no name", written({ "hestia.quantizer": uint32(3) }), /hestia\.quantizer is 3, wanted a name/],
  ["end tokens of text", written({ "hestia.end_token_ids": text("x") }), /hestia\.end_token_ids is "x", wanted a list of ids/],
  ["no model in it", written({ "general.type": text("adapter") }), /general\.type is "adapter", wanted "model"/],
];
for (const [what, file, message] of refused) {
  Deno.test(`a GGUF file with ${what} is refused`, async () => void await rejects(openPacked(file), message));
}

Deno.test("what is not known can be allowed, with a warning each", async () => {
  const warnings: string[] = [];
  const file = written({ "llama.attention.sinks": uint32(4) }, { "blk.0.attn_sinks.weight": extra });
  const opened = await openPacked(file, { allowUnknown: true, onWarning: (message) => warnings.push(message) });
  deepEqual(await logits(opened), wanted);
  deepEqual(warnings.map((message) => /llama\.attention\.sinks|blk\.0\.attn_sinks\.weight/.exec(message)?.[0]), [
    "llama.attention.sinks",
    "blk.0.attn_sinks.weight",
  ]);
});

Deno.test("a file of packed weights loads as the numbers that they are", async () => {
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  try {
    for (const format of ["q2_0", "q4_0"] as const) {
      const packed = await pack(model, { format, embeddings: "q8_0", quantization: { quantizer: "ternary", groupSize: 64 } });
      await Deno.writeFile(path, packed);
      const loaded = await loadModel(path);
      const name = "model.layers.0.self_attn.k_proj.weight";
      deepEqual([...await loaded.parameters[name].data()], [...await (await openPacked(packed)).parameters[name].data()]);
      const table = parseGguf(packed).tensors.get("token_embd.weight")!;
      equal(table.type, "Q8_0");
      deepEqual([...await loaded.parameters["model.embed_tokens.weight"].data()], [...ggmlFloats("Q8_0", table.bytes)!]);
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("a file that is not what its name says is told by what it looks like", async () => {
  const folder = await Deno.makeTempDir();
  const text = (content: string) => new TextEncoder().encode(content.padEnd(64));
  try {
    for (
      const [content, message] of [
        [text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), /looks like a pointer of Git LFS, .* git lfs pull/],
        [text("<!DOCTYPE html>"), /looks like a page of HTML/],
        [gzip(text("weights")), /looks like a gzip file/],
        [text("PK\x03\x04"), /looks like a ZIP file/],
      ] as const
    ) {
      await Deno.writeFile(`${folder}/model.safetensors`, content);
      await rejects(readCheckpointFolder(folder), message);
      if (content[0] !== 0x1f) await rejects(openPacked(content), message);
    }
    await Deno.writeFile(`${folder}/model.safetensors`, bytes);
    await rejects(readCheckpointFolder(folder), /looks like a GGUF file; wanted a safetensors file/);
    await Deno.rename(`${folder}/model.safetensors`, `${folder}/pytorch_model.bin`);
    await rejects(readCheckpointFolder(folder), /it has pytorch_model\.bin, which transformers saves as safetensors/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The model in three files. */
async function inParts(
  work: (path: (part: number) => string) => Promise<void>,
  claimed = Object.keys(all).length,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = (part: number) => `${folder}/tiny-0000${part}-of-00003.gguf`;
  const names = Object.keys(all);
  try {
    for (const [at, part] of [names.slice(0, 2), names.slice(2, 7), names.slice(7)].entries()) {
      const split: GgufMetadata = {
        "split.no": { type: "uint16", value: at },
        "split.count": { type: "uint16", value: 3 },
        "split.tensors.count": { type: "int32", value: claimed },
      };
      const own = at === 0 ? { ...metadata, ...split } : split;
      await Deno.writeFile(path(at + 1), writeGguf(own, Object.fromEntries(part.map((name) => [name, all[name]]))));
    }
    await work(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a model in several files opens by the path of any of them", () =>
  inParts(async (path) => {
    for (const part of [1, 3]) {
      using file = await openGgufFile(path(part));
      equal(file.tensors.size, Object.keys(all).length);
      deepEqual(await logits(await openPacked(file)), wanted);
    }
    ok(Math.abs((await logits(await loadModel(path(2))))[5] - wanted[5]) < 1e-9);
  }));

Deno.test("a part that is missing, or has another name, is named", async () => {
  await inParts(async (path) => {
    await Deno.remove(path(2));
    await rejects(openGgufFile(path(1)), /tiny-00002-of-00003\.gguf/);
    await Deno.rename(path(1), path(1).replace("tiny-00001-of-00003", "model"));
    await rejects(openGgufFile(path(1).replace("tiny-00001-of-00003", "model")), /part 1 of 3 .* end in -00001-of-00003\.gguf/);
  });
  await inParts(async (path) => void await rejects(openGgufFile(path(1)), /its parts have 11 tensors, wanted 12/), 12);
});

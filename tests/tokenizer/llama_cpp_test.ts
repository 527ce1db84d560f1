import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import type { GgufMetadata } from "../../src/io/gguf.ts";
import { knownEnds } from "../../src/tokenizer/gguf_fields.ts";
import { readableNames } from "../../src/tokenizer/gguf_pre.ts";
import { ggufTokenizer } from "../../src/tokenizer/gguf_read.ts";
import { tokenizerGgufMetadata } from "../../src/tokenizer/gguf_write.ts";
import { loadTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { LlamaCpp, type LlamaCppTokenizer, noLlamaCpp } from "../support/llama_cpp.ts";
import { variedTexts } from "../support/varied_texts.ts";
import { ggufKinds } from "../support/tokenizers.ts";

const llamaCpp = noLlamaCpp ? undefined : await LlamaCpp.open();
const texts = variedTexts(1500);

function test(name: string, work: () => Promise<void>): void {
  Deno.test({ name: noLlamaCpp ? `${name} (${noLlamaCpp})` : name, ignore: noLlamaCpp !== undefined, fn: work });
}

/** llama.cpp's tokenizer of a file with these metadata, and what the file gives back to us. */
async function withLlamaCpp(
  metadata: GgufMetadata,
  work: (theirs: LlamaCppTokenizer, read: GgufMetadata) => void | Promise<void>,
) {
  const path = await Deno.makeTempFile({ suffix: ".gguf" });
  const tensor = { type: "F32", shape: [32], bytes: new Uint8Array(128) } as const; // llama.cpp wants one
  const bytes = writeGguf({ "general.architecture": { type: "string", value: "llama" }, ...metadata }, {
    "output_norm.weight": tensor,
  });
  try {
    await Deno.writeFile(path, bytes);
    using theirs = llamaCpp!.tokenizer(path);
    await work(theirs, parseGguf(bytes).metadata);
  } finally {
    await Deno.remove(path);
  }
}

/** llama.cpp does not normalize what it reads. */
const normalized: readonly string[] = ["qwen2"];

for (const [name, make] of Object.entries(ggufKinds)) {
  test(`${name}: llama.cpp, we from the file, and we from tokenizer.json give all texts the same ids`, async () => {
    const json = make();
    const written = await loadTokenizer(json);
    const beginToken = written.encode("", { addSpecial: true })[0];
    await withLlamaCpp(tokenizerGgufMetadata(json, { beginToken, endTokens: [2] }), async (theirs, metadata) => {
      const file = ggufTokenizer(metadata);
      deepEqual(tokenizerGgufMetadata(file.json, file), tokenizerGgufMetadata(json, { beginToken, endTokens: [2] }));
      const read = await loadTokenizer(file.json);
      for (const [at, text] of texts.entries()) {
        const options = { parseSpecial: at % 2 === 0, addSpecial: at % 3 === 0 };
        const ids = written.encode(text, options);
        deepEqual(read.encode(text, options), ids, text);
        equal(read.decode(ids), written.decode(ids));
        if (normalized.includes(name) && text.normalize("NFC") !== text) continue;
        deepEqual([...theirs.encode(text, options)], [...ids], JSON.stringify(text));
      }
      ok(theirs.isEnd(2) && !theirs.isEnd(3));
    });
  });
}

test("the other names of a rule are llama.cpp's for the same", async () => {
  const metadata = tokenizerGgufMetadata(ggufKinds["smaug-bpe"](), { endTokens: [] });
  for (const name of readableNames) {
    await withLlamaCpp({ ...metadata, "tokenizer.ggml.pre": { type: "string", value: name } }, async (theirs, read) => {
      const ours = await loadTokenizer(ggufTokenizer(read).json);
      for (const text of texts.slice(0, 300)) {
        deepEqual([...theirs.encode(text)], [...ours.encode(text)], `${name}: ${JSON.stringify(text)}`);
      }
    });
  }
});

test("end tokens end a text for llama.cpp: those with a key, and those that it knows by their spelling", async () => {
  const json = ggufKinds["gpt-2"]();
  const first = Object.keys(json.model!.vocab!).length + 2;
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const spelled = knownEnds.filter((content) => !["</s>", "<|endoftext|>"].includes(content)).map((content, at) => ({
    id: first + at,
    content,
    ...flags,
  }));
  const other = { id: first + spelled.length, content: "<|other|>", ...flags };
  const all = { ...json, added_tokens: [...json.added_tokens!, ...spelled, other] };
  await withLlamaCpp(tokenizerGgufMetadata(all, { endTokens: [0, 1, other.id] }), (theirs, metadata) => {
    deepEqual(spelled.filter(({ id }) => !theirs.isEnd(id)), []);
    deepEqual([0, 1, other.id, 2, 300].map((id) => theirs.isEnd(id)), [true, true, true, true, false]);
    deepEqual(ggufTokenizer(metadata).endTokens, [0, 1, other.id]);
  });
});

/** Perplexity by every protocol, and divergence from base logits: against plain loops in float64, and against llama.cpp on the same files. */

import { loadTokenizer, openPacked, pack, type ProtocolName, textPerplexity, useBackend } from "../../mod.ts";
import { chunkPlace, decodedRow, encodedRows, headerBytes, readHeader, rowsOfChunk } from "../../src/evaluation/base_logits.ts";
import { baseLogits, divergenceFromBase } from "../../src/evaluation/divergence.ts";
import { protocols, textChunks } from "../../src/evaluation/protocols.ts";
import { percentile } from "../../src/evaluation/statistics.ts";
import type { LanguageModel } from "../../src/llama/checkpoint.ts";
import { huggingFaceConfig } from "../../src/llama/config.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";
import { float64Logits } from "../support/float64_llama.ts";
import { LlamaCpp, noLlamaCpp, softmax } from "../support/llama_cpp.ts";
import { tinyModel } from "../support/models.ts";
import { ggufKinds } from "../support/tokenizers.ts";

await useBackend("webgpu");
const tokenizer = await loadTokenizer(ggufKinds["llama-bpe"]());
const settings = { layers: 1, vocabularySize: tokenizer.vocabularySize, maxPositions: 64 };
const model: LanguageModel = { ...tinyModel(settings), tokenizer, beginToken: 1, endTokens: [2] };
const documents = [
  "Call me Ishmael. Some years ago",
  "",
  "never mind how long precisely — né à Brême 🐋, I thought",
  "I would sail about a little",
];
const text = documents.join("\n\n");
const ids = [1, ...tokenizer.encode(text)];

const weights = Object.fromEntries(
  await Promise.all(Object.entries(model.parameters).map(async ([name, value]) => [name, Float64Array.from(await value.data())])),
);

/** -log p of the tokens of a row at the places that count. */
function natsOf(row: readonly number[], counts: (at: number) => boolean): number[] {
  const size = model.config.vocabularySize;
  const logits = float64Logits(huggingFaceConfig(model.config), weights, row.slice(0, -1));
  return row.flatMap((token, at) => {
    if (at === 0 || !counts(at)) return [];
    return [-Math.log(softmax(logits.subarray((at - 1) * size, at * size))[token])];
  });
}

/** What each protocol counts, said in another way. */
const wanted: Readonly<Record<ProtocolName, () => number[]>> = {
  whole: () => {
    const all: number[] = [];
    for (let start = 0; start < ids.length - 1; start += 23) all.push(...natsOf(ids.slice(start, start + 24), () => true));
    return all;
  },
  stride: () => {
    // each token but the first by the first window of 23, 7 apart, that holds it and one before it
    return ids.flatMap((_, token) => {
      if (token === 0) return [];
      const start = 7 * Math.max(0, Math.ceil((token - 22) / 7));
      return natsOf(ids.slice(start, token + 1), (at) => at === token - start);
    });
  },
  "llama.cpp": () => {
    const chunks = Math.floor(ids.length / 23);
    return Array.from(
      { length: chunks },
      (_, chunk) => natsOf([1, ...ids.slice(23 * chunk + 1, 23 * chunk + 23)], (at) => at >= 12),
    ).flat();
  },
  hestia: () => {
    const [first, , second, third] = documents.map((each) => Array.from(tokenizer.encode(each)));
    ok(first.length + 1 <= 57 && first.length + second.length + 2 > 57 && second.length + third.length + 2 > 57);
    return [first, second, third].flatMap((each) => natsOf([1, ...each, 2], () => true));
  },
};

for (const protocol of Object.keys(protocols) as ProtocolName[]) {
  Deno.test(`perplexity by "${protocol}" counts what it says`, async () => {
    const each = wanted[protocol]();
    const options = { protocol, contextLength: protocol === "hestia" ? 57 : 23, stride: 7, batchTokens: 100 };
    const found = await textPerplexity(model, documents, options);
    const mean = each.reduce((sum, value) => sum + value, 0) / each.length;
    const variance = each.reduce((sum, value) => sum + value ** 2, 0) / each.length - mean ** 2;
    equal(found.tokens, each.length);
    ok(Math.abs(found.nats - mean) < 1e-5, `${found.nats} nats, wanted ${mean}`);
    ok(Math.abs(found.perplexity / Math.exp(mean) - 1) < 1e-5);
    ok(Math.abs(found.perplexityStandardError / (Math.exp(mean) * Math.sqrt(variance / (each.length - 1))) - 1) < 1e-4);
    ok(Math.abs(found.bitsPerByte - mean * each.length / Math.LN2 / found.bytes) < 1e-6);
    const bytes = (part: string) => new TextEncoder().encode(part).length;
    if (protocol === "whole" || protocol === "stride") equal(found.bytes, bytes(text));
    if (protocol === "hestia") equal(found.bytes, bytes(documents.join("")));
  });
}

Deno.test("perplexity refuses windows and texts that do not fit", async () => {
  const cases: [Parameters<typeof textPerplexity>[2], RegExp][] = [
    [{ contextLength: 65 }, /windows of 65 tokens: wanted 2 to 64/],
    [{ protocol: "stride", contextLength: 8, stride: 9 }, /slide a window of 8 tokens by 9: wanted 1 to 8/],
    [{ protocol: "llama.cpp", contextLength: 60 }, /on 8 tokens: wanted 120 or more, two chunks of 60/],
    [{ protocol: "hestia", contextLength: 2 }, /Cannot pack 1 documents: none fits into 2 tokens/],
  ];
  for (const [options, message] of cases) await rejects(textPerplexity(model, ["Ishmael"], options), message);
  await rejects(textPerplexity({ ...model, endTokens: [] }, ["a"], { protocol: "hestia" }), /no token that ends a text/);
});

Deno.test("rows of base logits keep 16 nats to a 65535th, and the file is refused where it is cut", async () => {
  const header = { contextLength: 5, vocabularySize: 3, chunks: [Int32Array.of(0, 1, 2, 1, 0), Int32Array.of(2, 2, 1, 1, 0)] };
  const logits = Float32Array.of(0, -1, -30, 4, 4, 4);
  const rows = encodedRows(logits, 3);
  const { start, bytes } = chunkPlace(header, 1);
  equal(rowsOfChunk(5), 2);
  equal(bytes, rows.length);
  equal(start, 20 + 40 + bytes);
  const found = decodedRow(rows, 0, 3);
  softmax(logits.subarray(0, 3)).forEach((p, token) => {
    ok(Math.abs(found[token] - Math.max(Math.log(p), -16 - Math.log1p(Math.exp(-1)))) < 16 / 65535);
  });
  ok(decodedRow(rows, 1, 3).every((value) => Math.abs(value + Math.log(3)) < 1e-6)); // no range at all
  const file = new Uint8Array([...headerBytes(header), ...rows, ...rows]);
  const reading = (content: Uint8Array) => ({
    byteLength: content.length,
    read: (from: number, count: number) => Promise.resolve(content.slice(from, from + count)),
  });
  deepEqual(await readHeader(reading(file)), header);
  await rejects(readHeader(reading(file.subarray(0, -1))), /it has 123 bytes, wanted 124/);
  await rejects(readHeader(reading(new Uint8Array(40))), /does not begin with "_logits_"/);
  equal(percentile([1, 2, 4], 0.75), 3);
  throws(() => protocols["llama.cpp"].rows(model, ["a"], { contextLength: 4, stride: 1 }), RangeError);
});

const llamaCpp = noLlamaCpp ? undefined : await LlamaCpp.open();
const sizes = { layers: 2, maxPositions: 256, seed: 3 };

/** Random models: one with bytes for tokens and a few ids without one, one that begins each text with a token. */
const sources: Readonly<Record<string, LanguageModel>> = {
  bytes: { ...tinyModel({ ...sizes, vocabularySize: 259 }), tokenizer: byteTokenizer, endTokens: [0] },
  "a begin token": { ...model, ...tinyModel({ ...sizes, vocabularySize: tokenizer.vocabularySize }), tokenizer, beginToken: 1 },
};
const long = "It is a way I have of driving off the spleen, and regulating the circulation. Whenever I find myself grim. ".repeat(
  2,
);
const contextLength = 48;

async function inFiles<T>(contents: readonly Uint8Array[], work: (paths: string[]) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    const paths = contents.map((_, index) => `${folder}/${index}.gguf`);
    await Promise.all(contents.map((bytes, index) => Deno.writeFile(paths[index], bytes)));
    return await work(paths);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** llama.cpp's log p of all tokens, for each token of the second half of each chunk, and which token is right. */
function referenceRows(path: string, { beginToken }: LanguageModel): { target: number; logs: Float64Array }[] {
  const own = llamaCpp!.tokenizer(path);
  const tokens = own.encode(long, { addSpecial: true });
  const begin = beginToken === undefined ? [] : [beginToken];
  own[Symbol.dispose]();
  return Array.from({ length: Math.floor(tokens.length / contextLength) }, (_, chunk) => {
    const part = Int32Array.from(tokens.subarray(chunk * contextLength, (chunk + 1) * contextLength));
    part.set(begin);
    const logits = llamaCpp!.logits(path, part);
    return Array.from({ length: contextLength - 1 - contextLength / 2 }, (_, row) => {
      const at = contextLength / 2 + row;
      return { target: part[at + 1], logs: softmax(logits[at]).map(Math.log) };
    });
  }).flat();
}

const near = (found: number, wanted: number, share: number, says: string): void =>
  ok(Math.abs(found - wanted) <= share * Math.abs(wanted), `${says}: ${found}, llama.cpp ${wanted}`);

for (const [what, source] of Object.entries(sources)) {
  Deno.test({
    name: `perplexity and divergence of a model with ${what} are those of llama.cpp on the same files, to 0.1 %`,
    ignore: noLlamaCpp !== undefined,
    fn: async () => {
      const quantized = { ...source, quantization: { quantizer: "hestia", groupSize: 64 } };
      const base = await pack(source, { format: "f16" });
      const files = [base, await pack(quantized, { format: "f16" }), await pack(quantized, { format: "q2_0" })];
      await inFiles(files, async (paths) => {
        const reference = paths.map((path) => referenceRows(path, source));
        const models = await Promise.all(files.map((bytes) => openPacked(bytes)));
        for (const [index, { length }] of reference.entries()) {
          const nats = reference[index].reduce((sum, { target, logs }) => sum - logs[target], 0) / length;
          const found = await textPerplexity(models[index], [long], { protocol: "llama.cpp", contextLength });
          equal(found.tokens, length);
          // with packed weights llama.cpp rounds activations to eight bits, which a model that has learned nothing feels
          near(found.perplexity, Math.exp(nats), index === 2 ? 5e-3 : 1e-3, `perplexity of file ${index}`);
        }
        const { chunks } = textChunks(models[0], [long], { contextLength, stride: 1 });
        const parts = await Array.fromAsync(baseLogits(models[0], chunks, { onNats: () => {} }));
        const file = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
        const read = (start: number, bytes: number) => Promise.resolve(file.slice(start, start + bytes));
        const header = await readHeader({ byteLength: file.length, read });
        const found = await divergenceFromBase(models[1], { header, read });
        const each = reference[0].map(({ logs: p }, row) => {
          const q = reference[1][row].logs;
          return p.reduce((sum, log, token) => sum + (log > -16 ? Math.exp(log) * (log - q[token]) : 0), 0);
        });
        const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
        near(found.divergence.mean, mean(each), 1e-3, "mean divergence");
        const sorted = Float64Array.from(each).sort();
        near(
          found.percentiles["0.5"],
          (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2,
          5e-3,
          "median",
        );
        near(found.percentiles["1"], sorted.at(-1)!, 1e-3, "largest divergence");
        const top = (logs: Float64Array) => logs.indexOf(Math.max(...logs));
        equal(found.sameTop.mean, mean(reference[0].map(({ logs }, row) => Number(top(logs) === top(reference[1][row].logs)))));
        const changes = reference[0].map(({ logs, target }, row) =>
          Math.exp(reference[1][row].logs[target]) - Math.exp(logs[target])
        );
        near(found.rmsProbabilityChange, Math.sqrt(mean(changes.map((change) => change ** 2))), 2e-3, "change of probability");
        near(
          Math.exp(found.baseNats.mean),
          Math.exp(mean(reference[0].map(({ logs, target }) => -logs[target]))),
          1e-3,
          "perplexity of the base",
        );
      });
    },
  });
}

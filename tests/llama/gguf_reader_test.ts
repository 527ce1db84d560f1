import { parseGguf } from "../../src/io/gguf_reader.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { ggufLlamaConfig } from "../../src/llama/gguf_config.ts";
import { llamaGgufMetadata, ropeFactors } from "../../src/llama/gguf_metadata.ts";
import { deepEqual, throws } from "../assert.ts";
import { tinyConfig } from "../support/models.ts";

/** Metadata as a file gives them back. */
const stored = (metadata: Parameters<typeof writeGguf>[0]) => parseGguf(writeGguf(metadata, {})).metadata;

function metadataOf(config: LlamaConfig) {
  return stored(llamaGgufMetadata(config));
}

Deno.test("the rope scaling of Llama 3 is found from the factors alone", () => {
  const llama = { factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 8192 };
  const config = { ...tinyConfig, headDim: 64, ropeTheta: 500_000, ropeScaling: llama };
  const factors = ropeFactors(config)!;
  const facts = { vocabularySize: 256, tieEmbeddings: true, ropeFactors: factors };
  const theirs = Object.fromEntries(Object.entries(metadataOf(config)).filter(([key]) => !key.startsWith("hestia.")));
  deepEqual(ggufLlamaConfig(theirs, facts), config);
  throws(
    () => ggufLlamaConfig(theirs, { ...facts, ropeFactors: factors.map((factor) => factor + 1) }),
    /not those of Llama 3/,
  );
});

Deno.test("other rope scalings are found from keys of our own", () => {
  const factors = ropeFactors(tinyConfig)!;
  const metadata = metadataOf(tinyConfig);
  deepEqual(ggufLlamaConfig(metadata, { vocabularySize: 256, tieEmbeddings: true, ropeFactors: factors }), tinyConfig);
});

Deno.test("yarn without a factor of attention has the one that llama.cpp computes, and with one both", () => {
  const { ropeScaling: _, ...plain } = tinyConfig;
  const read = (more: Parameters<typeof writeGguf>[0]) =>
    ggufLlamaConfig({
      ...metadataOf(plain),
      "llama.rope.scaling.type": { type: "string", value: "yarn" },
      "llama.rope.scaling.factor": { type: "float32", value: 3 },
      ...more,
    }, { vocabularySize: 256, tieEmbeddings: true }).ropeScaling;
  const size = 0.1 * Math.log(3) + 1;
  const yarn = { type: "yarn", factor: 3, originalMaxPositions: tinyConfig.maxPositions, betaFast: 32, betaSlow: 1 } as const;
  deepEqual(read({}), { ...yarn, attentionFactor: size });
  const twice = read({ "llama.rope.scaling.attn_factor": { type: "float32", value: 2 } });
  deepEqual(twice, { ...yarn, attentionFactor: Number((2 * size).toPrecision(7)) });
});

Deno.test("metadata that is missing is named", () => {
  const { "llama.embedding_length": _, ...rest } = metadataOf(tinyConfig);
  throws(() => ggufLlamaConfig(rest, { vocabularySize: 256, tieEmbeddings: true }), /llama\.embedding_length is undefined/);
});

import { tensor } from "../../mod.ts";
import type { Shape } from "../../src/core/shape.ts";
import { lower } from "../../src/compile/lower.ts";
import { llama } from "../../src/llama/model.ts";
import type { LlamaConfig } from "../../src/llama/config.ts";
import { packedMaps, type PackedMapsOptions } from "../../src/pipeline/packed_maps.ts";
import { deepEqual } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { close, inputs, ternary } from "../support/packed.ts";

const config: LlamaConfig = {
  vocabularySize: 72,
  hiddenSize: 64,
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  headDim: 32,
  intermediateSize: 96,
  normEpsilon: 1e-5,
  ropeTheta: 1e4,
  tieEmbeddings: true,
  maxPositions: 16,
};

/** Logits of a packed model. */
async function logits(tokens: number, options: PackedMapsOptions = {}) {
  const read = (name: string, [rows, columns]: Shape) => {
    if (columns === undefined) return Promise.resolve(inputs(1, rows));
    const isTable = name.includes("embed");
    return Promise.resolve(
      isTable ? new Uint16Array(Float16Array.from(inputs(rows, columns)).buffer) : ternary(rows, columns, 32),
    );
  };
  const model = await packedMaps(config, read, options);
  return llama(model, tensor(Uint32Array.from({ length: tokens }, (_, i) => 7 * i + 3), { shape: [1, tokens] }));
}

const kernels = async (tokens: number, options: PackedMapsOptions, texelReads: boolean) =>
  lower(flat([await logits(tokens, options)]), { ...smallTarget, texelReads, float16: true }).dispatches
    .map(({ label }) => label).filter((label) => label.startsWith("ternary"));

Deno.test("a layer is four packed products: with their norms and residuals where buffers are read", async () => {
  const layer = ["ternary_matmul_normed", "ternary_matmul", "ternary_matmul_normed", "ternary_matmul"];
  const both = (names: readonly string[]) => [...names, ...names];
  deepEqual(await kernels(1, {}, false), both(layer));
  deepEqual(await kernels(1, { dense: true }, false), both(layer.map((name) => name.replace("matmul", "matmul_dense"))));
  deepEqual(await kernels(1, { activations: "float16" }, false), both(layer.map(() => "ternary_matmul")));
  deepEqual(await kernels(1, { activations: "int8" }, false), both(layer.map(() => "ternary_matmul_int8")));
  deepEqual(await kernels(1, {}, true), both(layer.map(() => "ternary_matmul_texture")));
  deepEqual(await kernels(9, {}, false), both(layer.map(() => "ternary_matmul")));
});

for (const [tokens, dense] of [[1, false], [3, true]] as const) {
  Deno.test(`packed models mean the same by norms within products and before them (dense: ${dense})`, async () => {
    const outputs = [await logits(tokens, { dense })];
    const [expected] = await runLowered(outputs, { fused: false });
    const largest = Math.max(...expected.map(Math.abs));
    const share = (values: ArrayLike<number>) => Array.from(values, (value) => value / largest);
    for (const texelReads of [false, true]) {
      const [got] = await runLowered(outputs, { texelReads });
      close(share(got), share(expected), `textures: ${texelReads}`);
    }
  });
}

/** Each kernel for packed weights in turn, and what the compiler asks of a device that may choose among them by time. */

import { packedMatmul, packWeight, tensor, type TensorData } from "../../mod.ts";
import { lower, type Target } from "../../src/compile/lower.ts";
import * as packed from "../../src/kernels/packed.ts";
import { ternaryWeights } from "../../src/pack/format.ts";
import { type PackedMatmulOptions, packedNormMatmul, packWeights } from "../../src/pack/packed_weight.ts";
import { deepEqual, ok } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { close, inputs, product, ternary } from "../support/packed.ts";

/** Tokens, and rows beside panels of 64 and 160, that tiles do not fill. */
const sizes = [[1, 1], [1, 65], [2, 63], [7, 97], [8, 161], [9, 31], [17, 64]];
/** Columns that share a scale: some, all of a row (-1), or all (0). */
const groupings = [[64, 128], [128, 256], [256, 256], [-1, 48], [0, 320]];

interface Family extends Pick<PackedMatmulOptions, "activations"> {
  readonly kernels: readonly { readonly name: string; readonly order?: string; readonly packedDots?: true }[];
  readonly dense?: boolean;
  /** Whether rows are normalised. */
  readonly normed?: boolean;
}

const families: Record<string, Family> = {
  "two bits": { kernels: packed.ternaryMatmulBinding.kernels },
  "two bits and halves": { kernels: packed.ternaryMatmulHalfBinding.kernels, activations: "float16" },
  "five a byte and halves": { kernels: packed.ternaryMatmulDenseHalfBinding.kernels, dense: true, activations: "float16" },
  "two bits and norms": { kernels: packed.ternaryMatmulNormedBinding.kernels, normed: true },
  "five a byte and norms": { kernels: packed.ternaryMatmulDenseNormedBinding.kernels, dense: true, normed: true },
  "five a byte": { kernels: packed.ternaryMatmulDenseBinding.kernels, dense: true },
  "two bits and bytes": { kernels: packed.ternaryMatmulInt8Binding.kernels, activations: "int8" },
};

/** Rows divided by the root of the mean of their squares, times the weight of the norm. */
function normalised(x: Float32Array, columns: number, epsilon: number): Float64Array {
  const weight = inputs(1, columns);
  return Float64Array.from(x, (value, i) => {
    const row = x.subarray(i - i % columns, i - i % columns + columns);
    const mean = row.reduce((sum, each) => sum + each ** 2, 0) / columns;
    return value / Math.sqrt(mean + epsilon) * weight[i % columns];
  });
}

/** What a family computes: products of each number of tokens in each grouping, and what they should be. */
function build({ dense, activations, normed }: Family) {
  return groupings.flatMap(([groupSize, columns]) =>
    sizes.map(([tokens, rows]) => {
      const matrix = ternary(rows, columns, groupSize);
      const x = inputs(tokens, columns);
      if (activations === "int8") x.forEach((value, i) => x[i] = i % columns === 0 ? 1 : Math.round(value * 127) / 127); // exact
      if (activations === "float16") x.forEach((value, i) => x[i] = Math.f16round(value));
      const given = tensor(x, { shape: [tokens, columns], dtype: activations === "float16" ? "float16" : "float32" });
      const packedWeight = packWeights([matrix], { dense });
      const norm = { weight: tensor(inputs(1, columns)), epsilon: 0.25 };
      const y = normed ? packedNormMatmul(given, packedWeight, { norm }) : packedMatmul(given, packedWeight, { activations });
      const multiplied = normed ? normalised(x, columns, norm.epsilon) : x;
      const says = `${tokens} rows of ${columns} in groups of ${groupSize}, ${rows} results each`;
      return { y, wanted: product(multiplied, ternaryWeights(matrix), { tokens, rows, columns }), says };
    })
  );
}

for (const [says, family] of Object.entries(families)) {
  let calls: ReturnType<typeof build>;
  const byOrder = new Map<string, TensorData[]>();
  for (const { name, order } of family.kernels) {
    Deno.test(`packed products (${says}) are right by ${name}, bit for bit as others of its order`, async () => {
      const outputs = (calls ??= build(family)).map(({ y }) => y);
      const texelReads = name.endsWith("_texture");
      const { dispatches } = lower(flat(outputs), { ...smallTarget, texelReads, float16: true }, { variant: name });
      ok(dispatches.some(({ label }) => label === name), `${name} is used`);
      const results = await runLowered(outputs, { variant: name, texelReads });
      calls.forEach(({ wanted, says }, at) => close(results[at], wanted, says));
      const key = `${order} ${texelReads}`;
      const expected = byOrder.get(key) ?? byOrder.set(key, results).get(key)!;
      calls.forEach(({ says }, at) => deepEqual(results[at], expected[at], says));
    });
  }
}

/** What the compiler asks for a product of bytes. */
function contests(target: Target) {
  const weight = packWeight(ternary(512, 1024, 128));
  const { contests: open = [] } = lower(
    flat([packedMatmul(tensor(inputs(3, 1024), { shape: [3, 1024] }), weight, { activations: "int8" })]),
    target,
    {
      fastest: () => undefined,
    },
  );
  return open.map(({ shapeClass, names }) => [shapeClass, names]);
}

Deno.test("kernels that multiply packed bytes compete where the device has such an instruction", () => {
  const shapeClass = "ternary_matmul_int8 4x512x1024x128";
  const [pairs, dots] = ["ternary_matmul_int8", "ternary_matmul_int8_dots"].map((name) => [name, `${name}_2_panels`]);
  deepEqual(contests(smallTarget), [[shapeClass, [...pairs, ...dots]]]);
  deepEqual(contests({ ...smallTarget, packedDots: false }), [[shapeClass, pairs]]);
  const inTextures = (names: string[]) => names.map((name) => `${name}_texture`);
  deepEqual(contests({ ...smallTarget, texelReads: true }), [[shapeClass, inTextures([...pairs, ...dots])]]);
});

Deno.test("a kernel that the device cannot run is not taken, whoever names it", () => {
  const y = packedMatmul(tensor(inputs(1, 64), { shape: [1, 64] }), packWeight(ternary(9, 64, 64)), { activations: "int8" });
  const labels = (packedDots: boolean) =>
    lower(flat([y]), { ...smallTarget, packedDots }, { variant: "ternary_matmul_int8_dots" }).dispatches.map(({ label }) => label)
      .filter((label) => label.startsWith("ternary"));
  deepEqual([labels(true), labels(false)], [["ternary_matmul_int8_dots"], ["ternary_matmul_int8"]]);
});

import { gradients, packedMatmul, packWeight, rmsNorm, tensor, useBackend } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { packedNormMatmul, packedValues, packWeights } from "../../src/pack/packed_weight.ts";
import { halfTable, halfTableMatmul, halfTableRows } from "../../src/pack/half_table.ts";
import { ternaryWeights } from "../../src/pack/format.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { close, inputs, product, ternary } from "../support/packed.ts";
import { deepEqual, equal, throws } from "../assert.ts";

const ternaryShapes = [
  { tokens: 1, rows: 1, columns: 8, groupSize: 0 },
  { tokens: 1, rows: 65, columns: 64, groupSize: -1 },
  { tokens: 1, rows: 192, columns: 256, groupSize: 64 },
  { tokens: 1, rows: 130, columns: 1024, groupSize: 8 },
  { tokens: 3, rows: 63, columns: 72, groupSize: 24 },
  { tokens: 4, rows: 8, columns: 128, groupSize: 128 },
  { tokens: 5, rows: 71, columns: 64, groupSize: 32 },
  { tokens: 1, rows: 1031, columns: 72, groupSize: 24 },
  { tokens: 6, rows: 1025, columns: 40, groupSize: 8 },
  { tokens: 1, rows: 2563, columns: 16, groupSize: 16 },
];

for (const texelReads of [true, false]) {
  for (const dense of [false, true]) {
    const says = `${texelReads ? "textures" : "buffers"}, ${dense ? "five a byte" : "two bits"}`;
    Deno.test(`products with ternary weights equal those with their floats (${says})`, async () => {
      for (const { groupSize, ...sizes } of ternaryShapes) {
        const matrix = ternary(sizes.rows, sizes.columns, groupSize);
        const x = inputs(sizes.tokens, sizes.columns);
        const activations = tensor(x, { shape: [sizes.tokens, sizes.columns] });
        const [got] = await runLowered([packedMatmul(activations, packWeights([matrix], { dense }))], { texelReads });
        close(got, product(x, ternaryWeights(matrix), sizes), JSON.stringify({ ...sizes, groupSize }));
      }
    });
  }

  Deno.test(`whole activations lose half a step each, and nothing else (${texelReads ? "textures" : "buffers"})`, async () => {
    for (const { groupSize, ...sizes } of ternaryShapes) {
      const matrix = ternary(sizes.rows, sizes.columns, groupSize);
      const x = inputs(sizes.tokens, sizes.columns);
      const rounded = Float32Array.from(x, (_, i) => {
        const row = Math.floor(i / sizes.columns) * sizes.columns;
        const step = Math.fround(Math.max(...x.slice(row, row + sizes.columns).map(Math.abs)) / 127);
        return Math.round(x[i] / step) * step;
      });
      const activations = tensor(x, { shape: [sizes.tokens, sizes.columns] });
      const [got] = await runLowered([packedMatmul(activations, packWeight(matrix), { activations: "int8" })], { texelReads });
      close(got, product(rounded, ternaryWeights(matrix), sizes), JSON.stringify({ ...sizes, groupSize }));
    }
  });

  Deno.test(`sums of the largest whole activations stay in their half (${texelReads ? "textures" : "buffers"})`, async () => {
    for (const [sign, code] of [[1, 1], [-1, 1], [1, -1], [-1, -1]]) {
      const sizes = { tokens: 1, rows: 8, columns: 1024 };
      const matrix = { ...sizes, codes: new Int8Array(8 * 1024).fill(code), scales: Float32Array.of(1), groupSize: 0 };
      const x = tensor(new Float32Array(1024).fill(sign * 127), { shape: [1, 1024] });
      const [got] = await runLowered([packedMatmul(x, packWeight(matrix), { activations: "int8" })], { texelReads });
      close(got, new Array(8).fill(sign * code * 127 * 1024), `${sign} times ${code}`);
    }
  });

  Deno.test(`products with a table of halves, and its rows (${texelReads ? "textures" : "buffers"})`, async () => {
    for (
      const sizes of [{ tokens: 1, rows: 5, columns: 8 }, { tokens: 3, rows: 33, columns: 72 }, {
        tokens: 1,
        rows: 257,
        columns: 1024,
      }]
    ) {
      const halves = Float16Array.from(inputs(sizes.rows, sizes.columns));
      const x = inputs(sizes.tokens, sizes.columns);
      for (const maxSlabRows of [1000, 4]) {
        const table = halfTable(new Uint16Array(halves.buffer), { ...sizes, maxSlabRows });
        const ids = Uint32Array.of(0, sizes.rows - 1, 3, sizes.rows, 2 ** 32 - 1);
        const [got, rows] = await runLowered([
          halfTableMatmul(tensor(x, { shape: [sizes.tokens, sizes.columns] }), table),
          halfTableRows(table, tensor(ids)),
        ], { texelReads });
        const says = JSON.stringify({ ...sizes, maxSlabRows });
        close(got, product(x, halves, sizes), says);
        close(
          rows,
          [...ids].flatMap((id) => Array.from({ length: sizes.columns }, (_, k) => halves[id * sizes.columns + k] ?? 0)),
          says,
        );
      }
    }
  });
}

Deno.test("activations in half precision round each number, on devices that store halves and on others", async () => {
  const [matrix, sizes] = [ternary(70, 48, 16), { tokens: 3, rows: 70, columns: 48 }];
  const x = inputs(3, 48);
  const wanted = product(x.map(Math.f16round), ternaryWeights(matrix), sizes);
  for (const dense of [false, true]) {
    for (const float16 of [false, true]) {
      const given = tensor(x, { shape: [3, 48] });
      const y = packedMatmul(given, packWeights([matrix], { dense }), { activations: "float16" });
      const says = `dense ${dense}, float16 ${float16}`;
      close((await runLowered([y], { float16 }))[0], wanted, says);
      const [slope] = gradients(y.sum(), [given]);
      const [expected] = gradients(packedMatmul(given, packWeights([matrix], { dense })).sum(), [given]);
      const [got, same] = await runLowered([slope, expected], { float16 });
      close(got, [...same], `gradient, ${says}`);
    }
  }
});

Deno.test("a norm before a packed product and what follows it are one kernel where buffers are read", async () => {
  for (const [tokens, dense] of [[1, false], [4, false], [2, true]] as const) {
    const weight = packWeights([ternary(163, 128, 64)], { dense });
    const norm = { weight: tensor(inputs(1, 128)), epsilon: 1e-5 };
    const shaped = (columns: number) => tensor(inputs(tokens, columns), { shape: [tokens, columns] });
    const y = packedNormMatmul(shaped(128), weight, { norm }).mul(0.5).add(shaped(163)).tanh();
    const labels = (texelReads: boolean) => lower(flat([y]), { ...smallTarget, texelReads }).dispatches.map(({ label }) => label);
    deepEqual(labels(false), [`ternary_matmul${dense ? "_dense" : ""}_normed`]);
    equal(labels(true).length, 3);
    const [expected] = await runLowered([y], { fused: false });
    for (const texelReads of [false, true]) {
      const [got] = await runLowered([y], { texelReads });
      close(got, [...expected], JSON.stringify({ tokens, dense, texelReads }));
    }
  }
});

Deno.test("norms before packed products are left to the compiler where rows are many, or rounded", () => {
  const labels = (tokens: number, activations: "float32" | "float16" | "int8") => {
    const x = tensor(inputs(tokens, 64), { shape: [tokens, 64] });
    const y = packedNormMatmul(x, packWeight(ternary(9, 64, 64)), {
      norm: { weight: tensor(inputs(1, 64)), epsilon: 1e-5 },
      activations,
    });
    return lower(flat([y]), { ...smallTarget, float16: true }).dispatches.map(({ label }) => label);
  };
  deepEqual(labels(4, "float32"), ["ternary_matmul_normed"]);
  deepEqual(labels(5, "float32"), ["mul", "ternary_matmul"]);
  deepEqual(labels(1, "float16"), ["cast", "ternary_matmul"]);
  equal(labels(1, "int8").at(-1), "ternary_matmul_int8"); // multiplies by the step as well
});

Deno.test("steps of whole activations and residuals are applied where the product is stored", async () => {
  for (const tokens of [1, 7, 17]) {
    const weight = packWeight(ternary(97, 48, 24));
    const [x, residual] = [inputs(tokens, 48), inputs(tokens, 97)];
    const y = packedMatmul(tensor(x, { shape: [tokens, 48] }), weight, { activations: "int8" })
      .add(tensor(residual, { shape: [tokens, 97] }));
    equal(lower(flat([y]), smallTarget).dispatches.at(-1)!.label, "ternary_matmul_int8");
    const [apart] = await runLowered([y], { texelReads: true });
    close((await runLowered([y], { texelReads: false }))[0], [...apart], `${tokens} rows`);
  }
});

Deno.test("packed products of norms are differentiable in what is normalised, and in the weight of the norm", async () => {
  const [matrix, x, weight] = [ternary(35, 24, 8), inputs(2, 24), inputs(1, 24)];
  for (const dense of [false, true]) {
    const [given, scales] = [tensor(x, { shape: [2, 24] }), tensor(weight)];
    const norm = { weight: scales, epsilon: 0.01 };
    const packed = packWeights([matrix], { dense });
    const slopes = gradients(packedNormMatmul(given, packed, { norm }).square().sum(), [given, scales]);
    const floats = tensor(ternaryWeights(matrix), { shape: [35, 24] }).transpose();
    const wanted = gradients(rmsNorm(given, scales, norm).matmul(floats).square().sum(), [given, scales]);
    const results = await runLowered([...slopes, ...wanted], { texelReads: false });
    [0, 1].forEach((at) => close(results[at], [...results[at + 2]], `dense ${dense}, gradient ${at}`, 1e-3));
  }
});

Deno.test("packed products mean the same on the reference backend", async () => {
  await useBackend("reference");
  const matrix = ternary(70, 48, 16);
  const sizes = { tokens: 2, rows: 70, columns: 48 };
  const x = inputs(2, 48);
  close(
    await packedMatmul(tensor(x, { shape: [2, 48] }), packWeight(matrix)).data(),
    product(x, ternaryWeights(matrix), sizes),
    "ternary",
  );
  const dense = packWeights([matrix], { dense: true });
  close(
    await packedMatmul(tensor(x, { shape: [2, 48] }), dense).data(),
    product(x, ternaryWeights(matrix), sizes),
    "five a byte",
  );
  const whole = x.map((value) => Math.round(value * 127));
  whole[0] = whole[48] = 127;
  const bytes = packedMatmul(tensor(whole, { shape: [2, 48] }), packWeight(matrix), { activations: "int8" });
  close(await bytes.data(), product(whole, ternaryWeights(matrix), sizes), "int8");
  const halves = Float16Array.from(inputs(70, 48));
  const table = halfTable(new Uint16Array(halves.buffer), { rows: 70, columns: 48, maxSlabRows: 32 });
  close(await halfTableMatmul(tensor(x, { shape: [2, 48] }), table).data(), product(x, halves, sizes), "halves");
});

Deno.test("several matrices in one weight give their products side by side", async () => {
  const [a, b] = [ternary(33, 64, 32), ternary(70, 64, 32)];
  const x = tensor(inputs(1, 64), { shape: [1, 64] });
  const [both, first, second] = await runLowered(
    [packWeight(a, b), packWeight(a), packWeight(b)].map((weight) => packedMatmul(x, weight)),
  );
  close(both, [...first, ...second], "33 and 70 rows");
});

Deno.test("five weights lie in a byte, and mean what they meant", async () => {
  const matrix = ternary(163, 24, 8);
  const weight = packWeights([matrix], { dense: true });
  deepEqual(weight.words.shape, [2, 6, 8, 4]); // 320 rows of 24 columns in 1536 bytes
  close(await packedValues(weight).data(), [...ternaryWeights(matrix)], "163 rows");
});

Deno.test("products with packed weights are differentiable in what is multiplied", async () => {
  const matrix = ternary(35, 24, 8);
  const floats = ternaryWeights(matrix);
  for (const dense of [false, true]) {
    const x = tensor(inputs(2, 24), { shape: [2, 24] });
    const [slope] = gradients(packedMatmul(x, packWeights([matrix], { dense })).sum(), [x]);
    const sums = Array.from({ length: 24 }, (_, k) => floats.reduce((sum, w, i) => i % 24 === k ? sum + w : sum, 0));
    close(await slope.data(), [...sums, ...sums], `dense ${dense}`);
  }
});

Deno.test("what packed kernels cannot hold is refused", () => {
  throws(() => packWeight(ternary(2, 12, 12)), /Cannot run packed \[2,12\] in groups of 12: wanted a multiple of 8/);
  throws(
    () => packWeight(ternary(2, 16, 8), ternary(2, 16, 16)),
    /\[2,16\] in groups of 8, \[2,16\] in groups of 16 as one weight: wanted equal columns and groups/,
  );
  throws(() => packedMatmul(tensor([[1, 2]]), packWeight(ternary(2, 16, 8))), /wanted a last length of 16/);
  throws(() => halfTable(new Uint16Array(12), { rows: 1, columns: 12 }), /wanted rows of a multiple of 8/);
});

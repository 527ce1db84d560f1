import { deepEqual, equal, ok, throws } from "../assert.ts";
import { ternaryWeights } from "../../src/pack/format.ts";
import { alreadyTernary, groupCount, groupLength, mergeScales, reorderMatrix } from "../../src/pack/groups.ts";

Deno.test("groups are counted along rows", () => {
  const shape = { rows: 3, columns: 8 };
  deepEqual([0, -1, 4, 8].map((groupSize) => groupCount({ ...shape, groupSize }, "")), [1, 3, 6, 3]);
  deepEqual([0, -1, 4, 8].map((groupSize) => groupLength({ ...shape, groupSize })), [24, 8, 4, 8]);
  for (const groupSize of [3, 16, -2, 0.5]) {
    throws(() => groupCount({ ...shape, groupSize }, "Cannot split"), /Cannot split \[3,8\] in groups of/);
  }
});

Deno.test("merged scales are the means over what is not zero, and no other scale comes nearer", () => {
  const matrix = {
    codes: Int8Array.of(1, 0, 0, -1, 1, 1, 0, 0, 0, 0, 0, 0),
    scales: Float32Array.of(1, 4, 2, 9, 3, 3),
    ...{ rows: 3, columns: 4, groupSize: 2 },
  };
  deepEqual([...mergeScales(matrix, 0).scales], [(1 + 4 + 2 + 2) / 4]);
  deepEqual([...mergeScales(matrix, -1).scales], [2.5, 2, 0]);
  deepEqual([...mergeScales(matrix, 2).scales], [1, 4, 2, 0, 0, 0]);
  const weights = ternaryWeights(matrix);
  const error = (scale: number) =>
    ternaryWeights({ ...matrix, groupSize: 0, scales: Float32Array.of(scale) })
      .reduce((sum, weight, i) => sum + (weight - weights[i]) ** 2, 0);
  for (const other of [2, 2.24, 2.26, 3]) ok(error(2.25) < error(other));
});

Deno.test("rows move with their scales", () => {
  const matrix = { codes: Int8Array.of(1, 0, -1, 1), scales: Float32Array.of(5, 7), rows: 2, columns: 2, groupSize: -1 };
  const order = Uint32Array.of(1, 0);
  const moved = reorderMatrix(matrix, order);
  deepEqual([[...moved.codes], [...moved.scales]], [[-1, 1, 1, 0], [7, 5]]);
  const whole = { ...matrix, groupSize: 0, scales: Float32Array.of(5) };
  deepEqual([...reorderMatrix(whole, order).scales], [5]);
  deepEqual(reorderMatrix(moved, order), matrix);
});

Deno.test("weights that are ternary already are taken as they are", () => {
  const shape = { rows: 2, columns: 4, groupSize: 2 };
  const weights = Float32Array.of(0.1, -0.1, 0, 0, 0, 0.3, -0.7, -0.7);
  const matrix = alreadyTernary(weights, shape)!;
  deepEqual([...matrix.codes], [1, -1, 0, 0, 0, 1, -1, -1]);
  deepEqual(ternaryWeights(matrix), weights);
  equal(alreadyTernary(weights, { ...shape, groupSize: 4 }), undefined);
  equal(alreadyTernary(weights.with(0, NaN), shape), undefined);
});

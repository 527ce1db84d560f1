/** Views of views, broadcasting and reductions, over random shapes, those without elements included. */

import fc from "fast-check";
import { gradients, type Tensor, tensor } from "../../mod.ts";
import { deepEqual } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { noise } from "../support/numbers.ts";
import { sizeOf } from "../../src/core/shape.ts";

const runs = Deno.env.get("HESTIA_DEEP") === "1" ? 400 : 60;
const batchSize = 40;
const lengths = fc.constantFrom(0, 1, 2, 3, 4, 5, 8);
const anyShape = fc.array(lengths, { maxLength: 4 });
const natural = fc.nat(1000);

const filled = (shape: readonly number[], seed = 1) => tensor(noise(sizeOf(shape), { seed }), { shape });

/** Samples in batches, each of which is compared on both backends in one program. */
async function sampled<T>(arbitrary: fc.Arbitrary<T>, seed: number, build: (value: T) => Record<string, Tensor>): Promise<void> {
  const values = fc.sample(arbitrary, { numRuns: runs, seed });
  for (let first = 0; first < values.length; first += batchSize) {
    await agree(() => {
      const named = values.slice(first, first + batchSize).flatMap((value) =>
        Object.entries(build(value)).map(([name, x]) => [`${name} of ${JSON.stringify(value)}`, x])
      );
      return Object.fromEntries(named);
    });
  }
}

/** Views by what they keep; each takes any shape, `pick` says which of its kind. */
const views: readonly ((x: Tensor, pick: number) => Tensor)[] = [
  (x, pick) => x.shape.length < 2 ? x : x.transpose(x.shape.map((_, axis) => (axis + pick) % x.shape.length)),
  (x) => x.shape.length < 2 ? x : x.transpose(),
  (x, pick) => x.shape.length === 0 ? x : x.flip(pick % x.shape.length),
  (x, pick) =>
    x.slice(
      x.shape.map((length) => Math.min(length, pick % 2)),
      x.shape.map((length) => Math.max(pick % 2, length - pick % 3)).map((stop, axis) => Math.min(stop, x.shape[axis])),
    ),
  (x, pick) =>
    x.size > 2000 ? x : x.pad(x.shape.map((_, axis) => (pick + axis) % 2), x.shape.map((_, axis) => (pick + axis) % 3 >> 1)),
  (x) => x.reshape([x.size]),
  (x) => x.reshape([1, ...x.shape, 1]),
  (x, pick) => x.size > 500 || x.shape.length > 5 ? x : x.reshape([...x.shape, 1]).expand([...x.shape, pick % 4]),
  (x, pick) =>
    x.shape.length < 2 ? x : x.reshape([x.shape[0] * x.shape[1], ...x.shape.slice(2)]).flip(pick % (x.shape.length - 1)),
];

Deno.test("views of views are the same on both backends, and so are their gradients", async () => {
  const plan = fc.record({ shape: anyShape, steps: fc.array(fc.tuple(natural, natural), { minLength: 2, maxLength: 8 }) });
  await sampled(plan, 1, ({ shape, steps }) => {
    const x = filled(shape);
    const y = steps.reduce((view, [kind, pick]) => views[kind % views.length](view, pick), x);
    return { view: y.mul(1.5), gradient: gradients(y.square().sum(), [x])[0] };
  });
});

Deno.test("operands broadcast both ways, and their gradients have their shapes", async () => {
  const pair = fc.record({ shape: anyShape, flat: fc.tuple(natural, natural), dropped: fc.tuple(fc.nat(4), fc.nat(4)) });
  await sampled(pair, 2, ({ shape, flat, dropped }) => {
    const [a, b] = [0, 1].map((side) => {
      const stretched = shape.map((length, axis) => flat[side] >> axis & 1 ? 1 : length);
      return filled(stretched.slice(Math.min(dropped[side], side === 0 ? 0 : stretched.length)), side + 1);
    });
    const y = a.mul(b).add(a.maximum(b)).sub(b);
    const [ga, gb] = gradients(y.mul(filled(y.shape, 3)).sum(), [a, b]);
    deepEqual([ga.shape, gb.shape], [a.shape, b.shape]);
    return { y, ga, gb };
  });
});

Deno.test("reductions over any axes", async () => {
  const plan = fc.record({
    shape: fc.array(fc.constantFrom(0, 1, 2, 3, 4, 7, 16), { maxLength: 4 }),
    mask: natural,
    keepDims: fc.boolean(),
  });
  await sampled(plan, 3, ({ shape, mask, keepDims }) => {
    const x = filled(shape);
    const axes = shape.flatMap((_, axis) => mask >> axis & 1 ? [axis] : []);
    const sum = x.sum({ axes, keepDims });
    deepEqual(sum.shape, shape.flatMap((length, axis) => !axes.includes(axis) ? [length] : keepDims ? [1] : []));
    const isFull = axes.every((axis) => shape[axis] > 0);
    const more: Record<string, Tensor> = isFull ? { max: x.max({ axes, keepDims }), mean: x.mean({ axes, keepDims }) } : {};
    const total = Object.values(more).reduce((loss, y) => loss.add(y.square().sum()), sum.square().sum());
    return { sum, ...more, gradient: gradients(total, [x])[0] };
  });
});

Deno.test("shapes without elements go through every operation", async () => {
  await agree(() => {
    const [none, ids] = [filled([0, 3]), tensor(new Uint32Array(0), { shape: [0] })];
    const outputs: Record<string, Tensor> = {
      sum: none.sum(),
      "sum of columns": none.sum({ axes: 0 }),
      "sum of rows": none.sum({ axes: 1 }),
      "product without inner length": filled([2, 0]).matmul(none),
      "product without rows": none.matmul(filled([3, 2])),
      softmax: none.softmax(),
      "rows of no index": filled([4, 3]).gather(ids),
      "no rows added": none.scatterAdd(ids, 2),
      padded: none.pad([1, 0], [1, 0]),
      gradient: gradients(filled([2, 0]).matmul(none).exp().sum(), [none])[0],
    };
    deepEqual(Object.values(outputs).map(({ shape }) => shape), [[], [3], [0], [2, 3], [0, 2], [0, 3], [0, 3], [2, 3], [2, 3], [
      0,
      3,
    ]]);
    return outputs;
  });
});

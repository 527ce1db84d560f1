/**
 * Random graphs, described by plain data so that a failure can be read and repeated.
 *
 * @module
 */

import fc from "fast-check";
import { arange, ones, recompute, rmsNorm, type Tensor, tensor } from "../../mod.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { noise } from "./numbers.ts";

/** Short lengths of leaves, and steps that each take earlier results and add one. */
export interface Plan {
  readonly shapes: readonly (readonly number[])[];
  readonly steps: readonly { readonly rule: number; readonly first: number; readonly second: number; readonly pick: number }[];
}

const natural = fc.nat(1_000);

/** Plans of 4 to 24 steps. */
export const randomPlan: fc.Arbitrary<Plan> = fc.record({
  shapes: fc.array(fc.array(fc.constantFrom(1, 2, 3, 4, 5, 8), { minLength: 0, maxLength: 3 }), { minLength: 2, maxLength: 4 }),
  steps: fc.array(fc.record({ rule: natural, first: natural, second: natural, pick: natural }), { minLength: 4, maxLength: 24 }),
});

type Rule = (x: Tensor, y: Tensor, pick: number) => Tensor;

/** `y` cut, padded and repeated until it has the shape of `x`. */
function fitted(y: Tensor, x: Tensor): Tensor {
  const padded = y.reshape([sizeOf(y.shape)]);
  const missing = Math.max(0, x.size - y.size);
  return padded.pad([0], [missing]).slice([0], [x.size]).reshape(x.shape);
}

const axisOf = (x: Tensor, pick: number) => pick % Math.max(1, x.shape.length);
const along = (x: Tensor, pick: number, value: number) => x.shape.map((_, axis) => axis === axisOf(x, pick) ? value : 0);

/** A view of a view of a view. */
function viewsOf(x: Tensor, pick: number): Tensor {
  const rank = x.shape.length;
  const order = x.shape.map((_, axis) => (axis + 1 + pick % (rank - 1)) % rank);
  return x.transpose(order).pad(along(x.transpose(order), pick, 1), x.shape.map(() => 0)).flip(axisOf(x, pick + 1)).transpose();
}

/** Positions below 8, some of which lie outside of what they choose from. Computed ones would jump with the last bit. */
const indices = (count: number, pick: number) => arange(count, { dtype: "uint32" }).mul(pick).bitAnd(7);

/** Every rule keeps numbers of ordinary size, so that errors stay small; shapes have no empty axis. The last one has no finite differences. */
const rules: readonly Rule[] = [
  (x, y) => x.add(fitted(y, x)).mul(0.5),
  (x, y) => x.mul(fitted(y, x)),
  (x, y) => x.sub(fitted(y, x)).tanh(),
  (x) => x.sin(),
  (x) => x.square().add(1).sqrt(),
  (x) => x.exp().minimum(3),
  (x, y) => x.less(fitted(y, x)).where(x, fitted(y, x)),
  (x, y) => x.maximum(fitted(y, x)),
  (x) => x.reshape([x.size]),
  (x) => x.shape.length < 2 ? x : x.transpose(),
  (x, _, pick) => x.shape.length === 0 ? x : x.flip(axisOf(x, pick)),
  (x, _, pick) => x.shape.length === 0 ? x : x.pad(along(x, pick, 1), along(x, pick, pick % 3)),
  (x, _, pick) => x.shape.length === 0 ? x : x.slice(along(x, pick, x.shape[axisOf(x, pick)] > 1 ? 1 : 0)),
  (x) => x.size > 500 ? x : x.reshape([1, ...x.shape]).expand([3, ...x.shape]),
  (x, _, pick) => x.mean({ axes: x.shape.length === 0 ? [] : axisOf(x, pick) }),
  (x, _, pick) => x.max({ axes: x.shape.length === 0 ? [] : axisOf(x, pick), keepDims: true }),
  (x) => x.shape.length === 0 ? x : x.softmax(),
  (x, y) => x.reshape([1, x.size]).matmul(fitted(y, x).reshape([x.size, 1])).mul(1 / x.size),
  (x) => x.shape.length < 2 ? x : x.matmul(x.transpose()).mul(1 / x.shape.at(-1)!),
  (x, _, pick) => x.sum({ axes: x.shape.flatMap((_, axis) => pick >> axis & 1 ? [axis] : []), keepDims: pick % 5 < 2 }).tanh(),
  (x) => x.shape.length === 0 ? x : x.logSumExp().sin(),
  (x) => x.shape.length === 0 ? x : rmsNorm(x, ones(x.shape.slice(-1)), { epsilon: 0.1 }),
  (x, y) => recompute((a: Tensor) => a.sin().mul(fitted(y, a)).sin())(x),
  (x, _, pick) => x.shape.length < 2 || x.size > 500 ? x : viewsOf(x, pick),
  (x, _, pick) =>
    x.shape.length === 0 ? x : x.scatterAdd(indices(x.shape[0], pick), 3)
      .tanh(),
  (x, y, pick) => x.shape.length === 0 ? x : x.gather(indices(Math.min(4, y.size), pick)),
  (x, _, pick) => x.cast("float16").cast("float32").sub(x).mul(pick % 7 / 64).add(x),
];

/** The tensors that a plan begins with. */
export function leavesOf({ shapes }: Plan): Tensor[] {
  return shapes.map((shape, k) => tensor(noise(sizeOf(shape), { seed: k + 1 }), { shape }));
}

/** The last result of a plan, and every third one on the way. */
export function graphOf({ steps }: Plan, leaves: readonly Tensor[], { smooth = false } = {}): Tensor[] {
  const allowed = smooth ? rules.slice(0, -1) : rules;
  const values = [...leaves];
  steps.forEach(({ rule, first, second, pick }) => {
    const [x, y] = [first, second].map((choice) => values[values.length - 1 - choice % Math.min(5, values.length)]);
    const next = allowed[rule % allowed.length](x, y, pick);
    values.push(next.size > 5000 ? next.reshape([next.size]).slice([0], [100]) : next);
  });
  return values.filter((_, index) => index === values.length - 1 || index >= leaves.length && index % 3 === 0);
}

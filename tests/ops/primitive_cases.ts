/**
 * Calls of every primitive, exhaustive by type: a new primitive does not compile without a row here.
 *
 * @module
 */

import { arange, full, type Tensor } from "../../mod.ts";
import { fromBits, toBits, unpackHalf } from "../../src/bits.ts";
import { after } from "../../src/tensor.ts";
import type { PrimitiveName } from "../../src/ops/primitives.ts";
import type { Case, Input } from "../support/cases.ts";

type Unary = (x: Tensor) => Tensor;
type Binary = (x: Tensor, y: Tensor) => Tensor;
type Range = { low?: number; high?: number };

/** Scalars, nothing at all, primes, a workgroup of 64 and its neighbours. */
const shapes = [[3, 5], [], [1], [0], [2, 0, 3], [7], [63], [64], [5, 13], [3, 8]];
const small = (shape: readonly number[]) => `${shape}` === "3,5" || shape.length === 0;

function overShapes(
  says: string,
  inputs: (shape: readonly number[]) => Input[],
  f: Case["f"],
  options: Partial<Case> = {},
): Case[] {
  return shapes.map((shape) => ({ says: `${says} of [${shape}]`, inputs: inputs(shape), f, large: !small(shape), ...options }));
}

function unary(says: string, f: Unary, range: Range = {}, options: Partial<Case> = {}): Case[] {
  return overShapes(says, (shape) => [{ shape, ...range }], f, options);
}

function binary(says: string, f: Binary, range: Range = {}, options: Partial<Case> = {}): Case[] {
  return overShapes(says, (shape) => [{ shape, ...range }, { shape, ...range }], f, options);
}

/** A comparison of values with ties; its derivative is zero. */
function comparison(says: string, f: Binary): Case[] {
  return binary(says, (x, y) => f(x.round(), y.round()), { low: -2, high: 2 }, { flat: true });
}

function bits(says: string, f: Binary): Case[] {
  const word = (shape: readonly number[]): Input => ({ shape, dtype: "uint32", low: 0, high: 4e9 });
  const count = (shape: readonly number[]): Input => ({ shape, dtype: "uint32", low: 0, high: 31 });
  return [
    ...overShapes(says, (shape) => [word(shape), count(shape)], f),
    {
      says: `${says} of a float cast`,
      inputs: [{ shape: [5], low: 0, high: 9 }],
      f: (x) => f(x.cast("uint32"), full([5], 2, "uint32")),
      flat: true,
    },
  ];
}

const ids = (dtype: "int32" | "uint32", data: number[]): Input => ({ shape: [data.length], dtype, data });

/** Every primitive by name. */
export const primitiveCases = {
  neg: unary("neg", (x) => x.neg()),
  abs: unary("abs", (x) => x.abs()),
  sign: unary("sign", (x) => x.sign(), {}, { flat: true }),
  exp: unary("exp", (x) => x.exp(), { low: -4, high: 2 }),
  log: unary("log", (x) => x.log(), { low: 0.2, high: 5 }),
  sqrt: unary("sqrt", (x) => x.sqrt(), { low: 0.2, high: 5 }),
  sin: unary("sin", (x) => x.sin(), { low: -3, high: 3 }),
  cos: unary("cos", (x) => x.cos(), { low: -3, high: 3 }),
  tanh: [
    ...unary("tanh", (x) => x.tanh(), { low: -3, high: 3 }),
    { says: "tanh far out", inputs: [{ shape: [4], data: [-100, -11, 11, 100] }], f: (x) => x.tanh(), large: true },
  ],
  sigmoid: [
    ...unary("sigmoid", (x) => x.sigmoid(), { low: -5, high: 5 }),
    { says: "sigmoid far out", inputs: [{ shape: [4], data: [-200, -80, 80, 200] }], f: (x) => x.sigmoid(), large: true },
  ],
  floor: unary("floor", (x) => x.floor(), { low: -3, high: 3 }, { flat: true }),
  round: [
    ...unary("round", (x) => x.round(), { low: -3, high: 3 }, { flat: true }),
    {
      says: "round of halves",
      inputs: [{ shape: [6], data: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5] }],
      f: (x) => x.round(),
      flat: true,
    },
  ],
  add: binary("add", (x, y) => x.add(y)),
  sub: binary("sub", (x, y) => x.sub(y)),
  mul: binary("mul", (x, y) => x.mul(y)),
  div: binary("div", (x, y) => x.div(y), { low: 0.5, high: 2 }),
  maximum: binary("maximum", (x, y) => x.maximum(y)),
  minimum: binary("minimum", (x, y) => x.minimum(y)),
  less: comparison("less", (x, y) => x.less(y)),
  lessEqual: comparison("lessEqual", (x, y) => x.lessEqual(y)),
  equal: comparison("equal", (x, y) => x.equal(y)),
  bitAnd: bits("bitAnd", (x, y) => x.bitAnd(y)),
  bitOr: bits("bitOr", (x, y) => x.bitOr(y)),
  bitXor: bits("bitXor", (x, y) => x.bitXor(y)),
  shiftLeft: bits("shiftLeft", (x, y) => x.shiftLeft(y)),
  shiftRight: bits("shiftRight", (x, y) => x.shiftRight(y)),
  unpackHalf: [8, 5].map((length) => ({
    says: `unpackHalf of ${length}`,
    inputs: [{
      shape: [length],
      dtype: "uint32",
      data: [0x3c00, 0xffff_c000, 0x3555, 1, 0x7bff, 0x8000, 0x0400, 0xabcd_9266].slice(0, length),
    }],
    f: (x) => unpackHalf(x),
  })),
  toBits: unary("toBits", (x) => toBits(x.round().add(0.5)), { low: -9, high: 9 }, { flat: true }),
  fromBits: [8, 5].map((length) => ({
    says: `fromBits of ${length}`,
    inputs: [{
      shape: [length],
      dtype: "uint32",
      data: [0x3f800000, 0xc0490fdb, 0x00800000, 0x7f7fffff, 0, 0x33d6bf95, 0xff7f0000, 0x42280000].slice(0, length),
    }],
    f: (x) => fromBits(x),
  })),
  where: binary("where", (x, y) => x.less(y).where(x.mul(y), y)),
  after: [
    ...binary("after", (x, y) => after(x, y)),
    {
      says: "after of integers",
      inputs: [{ shape: [2, 4], dtype: "uint32", data: [0, 1, 2, 3, 4, 5, 6, 4e9] }, {
        shape: [8],
        data: new Array(8).fill(NaN),
      }],
      f: (x, y) => after(x, y).bitXor(5),
      large: true,
    },
  ],
  cast: [
    ...unary("cast to int32", (x) => x.cast("int32"), { low: -9, high: 9 }, { flat: true }),
    ...unary("cast to uint32", (x) => x.cast("uint32"), { low: 0, high: 9 }, { flat: true }),
    {
      says: "cast of integers",
      inputs: [{ shape: [5], dtype: "int32", data: [-3, -1, 0, 1, 7] }],
      f: (x) => x.cast("uint32").cast("float32").add(x.cast("float32")),
    },
  ],
  reshape: [
    { says: "reshape", inputs: [{ shape: [2, 3, 4] }], f: (x) => x.reshape([4, -1]) },
    { says: "reshape of a transpose", inputs: [{ shape: [3, 5] }], f: (x) => x.transpose().reshape([15]) },
    { says: "reshape of nothing", inputs: [{ shape: [0, 3] }], f: (x) => x.reshape([2, 0]) },
    { says: "reshape to a scalar", inputs: [{ shape: [1, 1] }], f: (x) => x.reshape([]) },
  ],
  permute: [
    { says: "transpose", inputs: [{ shape: [3, 5] }], f: (x) => x.transpose() },
    { says: "permute", inputs: [{ shape: [2, 3, 4, 5] }], f: (x) => x.transpose([2, 0, -1, 1]), large: true },
    { says: "permute of length 1", inputs: [{ shape: [1, 7, 1] }], f: (x) => x.transpose([1, 2, 0]) },
  ],
  expand: [
    { says: "expand", inputs: [{ shape: [3, 1] }], f: (x) => x.expand([3, 5]) },
    { says: "expand in front", inputs: [{ shape: [] }], f: (x) => x.expand([2, 3]) },
    { says: "expand to nothing", inputs: [{ shape: [1, 3] }], f: (x) => x.expand([0, 3]) },
  ],
  slice: [
    { says: "slice", inputs: [{ shape: [5, 7] }], f: (x) => x.slice([1, 2], [4, -1]) },
    { says: "empty slice", inputs: [{ shape: [5] }], f: (x) => x.slice([2], [2]) },
  ],
  pad: [
    { says: "pad", inputs: [{ shape: [3, 4] }], f: (x) => x.pad([1, 0], [2, 3]) },
    { says: "pad of nothing", inputs: [{ shape: [0, 2] }], f: (x) => x.pad([2, 0], [1, 1]) },
    { says: "pad by nothing", inputs: [{ shape: [3] }], f: (x) => x.pad([0], [0]) },
  ],
  flip: [
    { says: "flip", inputs: [{ shape: [3, 5] }], f: (x) => x.flip(-1) },
    { says: "flip of a transposed slice", inputs: [{ shape: [3, 5] }], f: (x) => x.slice([1, 1]).transpose().flip(0) },
    { says: "flip of nothing", inputs: [{ shape: [3, 0] }], f: (x) => x.flip(1) },
  ],
  stopGradient: [{ says: "stopGradient", inputs: [{ shape: [5] }], f: (x) => x.stopGradient(), flat: true }],
  sum: [
    ...unary("sum", (x) => x.sum()),
    { says: "sum over rows", inputs: [{ shape: [3, 5] }], f: (x) => x.sum({ axes: 0 }) },
    { says: "sum over columns", inputs: [{ shape: [3, 5] }], f: (x) => x.sum({ axes: 1, keepDims: true }) },
    { says: "sum over outer axes", inputs: [{ shape: [3, 2, 5] }], f: (x) => x.sum({ axes: [0, 2] }) },
    { says: "sum over an inner axis", inputs: [{ shape: [3, 2, 5] }], f: (x) => x.sum({ axes: -2 }) },
    { says: "sum over no axis", inputs: [{ shape: [3] }], f: (x) => x.sum({ axes: [] }) },
    { says: "sum of empty rows", inputs: [{ shape: [3, 0] }], f: (x) => x.sum({ axes: 1 }) },
    { says: "sum of no rows", inputs: [{ shape: [0, 3] }], f: (x) => x.sum({ axes: 1 }) },
    { says: "sum of a long row", inputs: [{ shape: [2, 70_001] }], f: (x) => x.sum({ axes: 1 }), large: true },
    { says: "sum of a long column", inputs: [{ shape: [70_001, 2] }], f: (x) => x.sum({ axes: 0 }), large: true },
    { says: "sum of everything", inputs: [{ shape: [67, 1100] }], f: (x) => x.square().sum(), large: true },
    { says: "many sums", inputs: [{ shape: [4099, 3] }], f: (x) => x.sum({ axes: 1 }), large: true },
    { says: "many sums of columns", inputs: [{ shape: [3, 4099] }], f: (x) => x.sum({ axes: 0 }), large: true },
  ],
  max: [
    ...unary("max", (x) => x.max()).filter(({ inputs }) => !inputs[0].shape.includes(0)),
    { says: "max over rows", inputs: [{ shape: [3, 5] }], f: (x) => x.max({ axes: 0 }) },
    { says: "max over outer axes", inputs: [{ shape: [3, 2, 5] }], f: (x) => x.max({ axes: [0, 2] }) },
    { says: "max of no rows", inputs: [{ shape: [0, 3] }], f: (x) => x.max({ axes: 1 }) },
    { says: "max of a long row", inputs: [{ shape: [2, 70_001] }], f: (x) => x.max({ axes: 1 }), large: true },
    { says: "max of a long column", inputs: [{ shape: [70_001, 2] }], f: (x) => x.max({ axes: 0 }), large: true },
    { says: "many maxima", inputs: [{ shape: [4099, 3] }], f: (x) => x.max({ axes: 1 }), large: true },
  ],
  constant: [{ says: "constant", inputs: [{ shape: [3] }], f: (x) => x.mul(full([3], 2.5)) }],
  iota: [
    { says: "arange", inputs: [{ shape: [3, 5] }], f: (x) => x.mul(arange([3, 5], { axis: 0 })).add(arange(5)) },
    { says: "arange of integers", inputs: [], f: () => arange([3, 5], { axis: 1, dtype: "int32" }).cast("float32") },
  ],
  gather: [
    { says: "gather rows", inputs: [{ shape: [4, 3] }, ids("uint32", [3, 0, 3, 1])], f: (x, i) => x.gather(i) },
    { says: "gather outside", inputs: [{ shape: [4, 3] }, ids("int32", [-1, 4, 2, 2_000_000])], f: (x, i) => x.gather(i) },
    {
      says: "gather elements",
      inputs: [{ shape: [7] }, ids("uint32", [6, 6, 0, 2, 5, 1])],
      f: (x, i) => x.gather(i.reshape([2, 3])),
    },
    { says: "gather of a view", inputs: [{ shape: [3, 5] }, ids("uint32", [4, 1])], f: (x, i) => x.transpose().gather(i) },
    {
      says: "gather of a sum",
      inputs: [{ shape: [4, 3] }, ids("uint32", [2, 2])],
      f: (x, i) => x.exp().gather(i).pad([0, 1], [1, 0]),
    },
    { says: "gather nothing", inputs: [{ shape: [4, 3] }, ids("uint32", [])], f: (x, i) => x.gather(i) },
  ],
  scatterAdd: [
    { says: "scatterAdd", inputs: [{ shape: [4, 3] }, ids("uint32", [1, 0, 1, 4])], f: (x, i) => x.scatterAdd(i, 5) },
    { says: "scatterAdd outside", inputs: [{ shape: [3, 2] }, ids("int32", [-1, 1, 9])], f: (x, i) => x.scatterAdd(i, 3) },
    {
      says: "scatterAdd of elements",
      inputs: [{ shape: [6] }, ids("uint32", [0, 1, 1, 0, 2, 2])],
      f: (x, i) => x.scatterAdd(i, 3),
    },
    {
      says: "scatterAdd of a view",
      inputs: [{ shape: [3, 4] }, ids("uint32", [1, 0, 1, 1])],
      f: (x, i) => x.transpose().scatterAdd(i, 2),
    },
    { says: "scatterAdd of nothing", inputs: [{ shape: [0, 3] }, ids("uint32", [])], f: (x, i) => x.scatterAdd(i, 2) },
    {
      says: "scatterAdd of many",
      inputs: [{ shape: [65_000, 2] }, { shape: [65_000], dtype: "uint32", low: 0, high: 3 }],
      f: (x, i) => x.scatterAdd(i, 3),
      large: true,
    },
  ],
  matmul: [
    { says: "matmul", inputs: [{ shape: [3, 4] }, { shape: [4, 2] }], f: (x, y) => x.matmul(y) },
    { says: "matmul of primes", inputs: [{ shape: [7, 11] }, { shape: [11, 13] }], f: (x, y) => x.matmul(y), large: true },
    {
      says: "matmul of tiles",
      inputs: [{ shape: [33, 64] }, { shape: [31, 64] }],
      f: (x, y) => x.matmul(y.transpose()),
      large: true,
    },
    { says: "matmul of one element", inputs: [{ shape: [1, 1] }, { shape: [1, 1] }], f: (x, y) => x.matmul(y) },
    { says: "matmul over nothing", inputs: [{ shape: [2, 0] }, { shape: [0, 3] }], f: (x, y) => x.matmul(y) },
    { says: "matmul to nothing", inputs: [{ shape: [0, 2] }, { shape: [2, 3] }], f: (x, y) => x.matmul(y) },
    { says: "matmul by shared", inputs: [{ shape: [2, 3, 4] }, { shape: [4, 2] }], f: (x, y) => x.matmul(y) },
    { says: "matmul of batches", inputs: [{ shape: [2, 1, 3, 2] }, { shape: [3, 2, 4] }], f: (x, y) => x.matmul(y) },
    {
      says: "matmul of slices",
      inputs: [{ shape: [4, 6] }, { shape: [6, 5] }],
      f: (x, y) => x.slice([1, 2]).matmul(y.slice([1, 1], [5])),
    },
    {
      says: "matmul of heads",
      inputs: [{ shape: [3, 2, 4] }, { shape: [3, 2, 4] }],
      f: (x, y) => x.transpose([1, 0, 2]).matmul(y.transpose([1, 2, 0])),
    },
    {
      says: "matmul over a long axis",
      inputs: [{ shape: [2, 70_001] }, { shape: [70_001, 3] }],
      f: (x, y) => x.matmul(y),
      large: true,
    },
  ],
} satisfies Record<PrimitiveName, Case[]>;

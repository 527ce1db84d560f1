/**
 * Every operation and kernel on NaN, infinities, zeros of both signs, subnormals and the largest numbers.
 *
 * @module
 */

import {
  adamw,
  causalAttention,
  constant,
  distillationLoss,
  gradients,
  headLoss,
  hestia,
  initialMoments,
  packedMatmul,
  packedNormMatmul,
  quantizers,
  rmsNorm,
  rotaryTable,
  rotate,
  type Shape,
  swiglu,
  type Tensor,
  tensor,
} from "../../mod.ts";
import { fromBits, packBfloat16, packFloat16, toBits, unpackBfloat16, unpackFloat16, unpackHalf } from "../../src/bits.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { softCode } from "../../src/quant/relaxation.ts";
import { causalSoftmax, rowLosses } from "../../src/nn/fused.ts";
import type { PrimitiveName } from "../../src/ops/primitives.ts";
import { halfTable, halfTableMatmul, halfTableRows } from "../../src/pack/half_table.ts";
import { packWeights } from "../../src/pack/packed_weight.ts";
import { after, applyFused } from "../../src/tensor.ts";
import { recipeNames } from "../../src/recipes.ts";
import { noise } from "./numbers.ts";
import { ternary } from "./packed.ts";

const largest = 3.4028234663852886e38;
/** NaN, infinities, zeros of both signs, ordinary numbers, subnormals, the largest, and borders of float16 and of integers. */
export const specials = [NaN, Infinity, -Infinity, 0, -0, 1, -1, 2.5, -0.5]
  .concat([1e-40, -1e-40, 1.2e-38, largest, -largest, 88, -104, 3e9, 65_520].map(Math.fround));

/** All pairs of special numbers, as two lists. */
const pairs = [0, 1].map((side) =>
  Float32Array.from(
    { length: specials.length ** 2 },
    (_, i) => specials[side ? i % specials.length : Math.floor(i / specials.length)],
  )
);

/** Makes what one row computes. */
export type Build = () => Tensor;
/** Rows by name. */
export type Table = Readonly<Record<string, Build>>;

const list = (...numbers: number[]) => tensor(Float32Array.from(numbers));
const x = () => list(...specials);
const both = () => pairs.map((numbers) => tensor(numbers));
/** Also by each special number as a constant, which drivers know, and of a number with itself. */
const binary = (name: string, f: (a: Tensor, b: Tensor | number) => Tensor): Table => ({
  [name]: () => f(...both() as [Tensor, Tensor]),
  [`${name} of itself`]: () => ((a) => f(a, a))(x()),
  ...Object.fromEntries(
    specials.flatMap((c) => {
      const text = Object.is(c, -0) ? "-0" : c;
      return [
        [`${name} and ${text}`, () => f(x(), c)],
        [`${name} of ${text} and more`, () => f(constant(c, [specials.length]), x())],
      ] as [string, Build][];
    }),
  ),
});
const words = (...numbers: number[]) => tensor(Uint32Array.from(numbers));

/** The primitives by name: a new one does not compile without rows here. */
export const primitives = {
  neg: { neg: () => x().neg() },
  abs: { abs: () => x().abs() },
  sign: { sign: () => x().sign() },
  exp: { exp: () => x().exp() },
  log: { log: () => x().log() },
  sqrt: { sqrt: () => x().sqrt() },
  sin: { sin: () => x().sin(), "sin far out": () => list(1e4, -12_345.678, 5e5, -1e7, 1e9, -3.3e20, 1e38).sin() },
  cos: { cos: () => x().cos(), "cos far out": () => list(1e4, -12_345.678, 5e5, -1e7, 1e9, -3.3e20, 1e38).cos() },
  tanh: { tanh: () => x().tanh(), "tanh of small numbers": () => list(1e-30, -1e-6, 1e-3, 0.0999, 0.1001).tanh().mul(1e6) },
  sigmoid: { sigmoid: () => x().sigmoid() },
  floor: { floor: () => x().floor() },
  round: { round: () => x().round() },
  add: binary("add", (a, b) => a.add(b)),
  sub: binary("sub", (a, b) => a.sub(b)),
  mul: binary("mul", (a, b) => a.mul(b)),
  div: binary("div", (a, b) => a.div(b)),
  maximum: binary("maximum", (a, b) => a.maximum(b)),
  minimum: binary("minimum", (a, b) => a.minimum(b)),
  less: binary("less", (a, b) => a.less(b)),
  lessEqual: binary("lessEqual", (a, b) => a.lessEqual(b)),
  equal: binary("equal", (a, b) => a.equal(b)),
  bitAnd: { bitAnd: () => words(0, 1, 2 ** 32 - 1).bitAnd(2 ** 31) },
  bitOr: { bitOr: () => words(0, 1, 2 ** 32 - 1).bitOr(2 ** 31) },
  bitXor: { bitXor: () => words(0, 1, 2 ** 32 - 1).bitXor(2 ** 32 - 1) },
  shiftLeft: {
    shiftLeft: () => words(1, 3, 5, 7, 9).shiftLeft(words(0, 31, 32, 33, 2 ** 32 - 1)),
    "shiftLeft by a constant": () => words(1, 2 ** 31).shiftLeft(32).add(words(1, 1).shiftLeft(31)),
  },
  shiftRight: {
    shiftRight: () => words(1, 2 ** 31, 2 ** 31, 7, 9).shiftRight(words(0, 31, 32, 64, 2 ** 32 - 1)),
    "shiftRight by a constant": () => words(1, 2 ** 31).shiftRight(33).add(words(1, 2 ** 31).shiftRight(31)),
  },
  unpackHalf: { unpackHalf: () => unpackHalf(words(0x7e00, 0x7c00, 0xfc00, 0x8000, 1, 0x7bff)) },
  toBits: { toBits: () => toBits(list(Infinity, -Infinity, 0, largest, 1)) },
  fromBits: { fromBits: () => fromBits(words(0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff)) },
  where: {
    where: () => x().less(1).where(x(), 7),
    "where by NaN": () => x().equal(x()).where(1, x()),
  },
  after: { after: () => after(list(1, NaN, Infinity), list(NaN, 1, 2)) },
  cast: {
    "cast to int32": () => x().cast("int32"),
    "cast to uint32": () => x().cast("uint32"),
    "cast to float16": () => x().cast("float16").cast("float32"),
    "stored as float16": () => x().cast("float16"),
    "cast of integers": () => words(0, 2 ** 31, 2 ** 32 - 1).cast("float32"),
  },
  reshape: { reshape: () => x().reshape([2, 9]).mul(1) },
  permute: { permute: () => x().reshape([2, 9]).transpose().add(0) },
  expand: { expand: () => x().reshape([18, 1]).expand([18, 3]).add(0) },
  slice: { slice: () => x().slice([1], [7]).add(0) },
  pad: { pad: () => x().pad([1], [2]) },
  flip: { flip: () => x().flip(0) },
  stopGradient: { stopGradient: () => x().stopGradient().add(0) },
  sum: reductions("sum", (y, axes) => y.sum({ axes })),
  max: reductions("max", (y, axes) => y.max({ axes })),
  constant: {
    constants: () =>
      specials.map((c) => constant(c)).reduce(
        (sum, c, k) => sum.add(c.equal(specials[k]).cast("float32").mul(2 ** k)),
        constant(0),
      ),
  },
  iota: { iota: () => list(NaN).expand([3]).mul(list(0, 1, 2)) },
  gather: { gather: () => x().reshape([6, 3]).gather(words(0, 5, 6, 2 ** 32 - 1)) },
  scatterAdd: { scatterAdd: () => x().reshape([6, 3]).scatterAdd(words(0, 3, 3, 1, 9, 1), 5) },
  matmul: products(),
} as const satisfies Record<PrimitiveName, Table>;

/** Rows of ordinary numbers with one special number each, in several lengths. */
function rows(width: number, numbers: readonly number[] = ordinary): Tensor {
  const data = noise(numbers.length * width, { seed: 3, low: -2, high: 2 });
  numbers.forEach((special, row) => data[row * width + (7 * row + 2) % width] = special);
  return tensor(data, { shape: [numbers.length, width] });
}

function reductions(name: string, f: (y: Tensor, axes: number) => Tensor): Table {
  const entries = [1, 4, 37, 260].flatMap((width): [string, Build][] => [
    [`${name} of rows of ${width}`, () => f(rows(width), 1)],
    [`${name} of columns of ${width}`, () => f(rows(width).transpose(), 0)],
  ]);
  return {
    ...Object.fromEntries(entries),
    [`${name} of all`]: () => f(list(1, NaN, 2).expand([70_001, 3]).reshape([210_003]), 0),
  };
}

/** NaN and infinity reach the results that they belong to, and no other. */
function products(): Table {
  const sizes = [[1, 1, 1], [3, 5, 7], [4, 8, 12], [17, 33, 65], [64, 64, 64], [130, 36, 68]];
  return Object.fromEntries(sizes.flatMap(([m, k, n]): [string, Build][] => {
    const operand = (r: number, c: number, seed: number, at: number, special: number) => {
      const data = noise(r * c, { seed });
      data[Math.min(at, r * c - 1)] = special;
      return tensor(data, { shape: [r, c] });
    };
    return [NaN, Infinity].flatMap((special): [string, Build][] => [
      [`${special} in the left of ${m} x ${k} x ${n}`, () => operand(m, k, 1, k + 1, special).matmul(operand(k, n, 2, 0, 1))],
      [`${special} in the right of ${m} x ${k} x ${n}`, () => operand(m, k, 1, 0, 1).matmul(operand(k, n, 2, n + 1, special))],
    ]);
  }));
}

/** Special numbers whose squares and exponentials do not leave float32. */
export const ordinary = [1, NaN, Infinity, -Infinity, -0, 1e-40];

const filled = (shape: Shape, seed: number) => tensor(noise(sizeOf(shape), { seed }), { shape });
const derivative = (y: Tensor, of: Tensor) => gradients(y.mul(filled(y.shape, 9)).sum(), [of])[0];
const named = (name: string, build: () => readonly [y: Tensor, ...of: Tensor[]]): Table => ({
  [name]: () => build()[0],
  ...Object.fromEntries(
    build().slice(1).map((_, k) => [`${name}, gradient ${k}`, () => ((made) => derivative(made[0], made[k + 1]))(build())]),
  ),
});
const allOf = (numbers: readonly number[], width: number) =>
  tensor(Float32Array.from(numbers.flatMap((value) => new Array(width).fill(value))), { shape: [numbers.length, width] });

/** Of the rows of attention. */
export const [positions, headDim] = [8, 16];

/** One of the operands has a special number at the first position, which all queries see. */
const attention = (operand: number) => {
  const size = 2 * positions * headDim;
  const [q, k, v] = [4, 5, 6].map((seed, index) => {
    const data = noise(ordinary.length * size, { seed });
    if (index === operand) ordinary.forEach((special, batch) => data[batch * size + 3] = special);
    return tensor(data, { shape: [ordinary.length, 2, positions, headDim] });
  });
  return [causalAttention(q, k, v), q, k, v] as const;
};

const packed = (dense: boolean, activations?: "float32" | "float16" | "int8"): Build => () =>
  packedMatmul(rows(64), packWeights([ternary(70, 64, 32)], { dense }), { activations });

/** Whole layers: kernels of their own, and what the compiler writes. */
export const layers: Table = {
  softmax: () => rows(36).softmax(),
  "softmax of equal numbers": () => allOf([...ordinary, largest], 5).softmax(),
  logSumExp: () => rows(36).logSumExp(),
  "logSumExp of equal numbers": () => allOf([...ordinary, largest], 5).logSumExp(),
  ...named("rmsNorm", () => ((y) => [rmsNorm(y, filled([36], 2)), y])(rows(36))),
  ...named("swiglu", () => ((y) => [swiglu(y, filled([6, 36], 2)), y])(rows(36))),
  ...Object.assign(
    {},
    ...[36, 37].map((width) => ({
      ...named(
        `crossEntropy of ${width}`,
        () => ((y) => [applyFused(rowLosses, [y, tensor(Int32Array.of(0, 1, 2, 3, 4, -100))]), y])(rows(width)),
      ),
      ...named(
        `causal softmax of ${width}`,
        () => ((y) => [applyFused(causalSoftmax, [y, constant(1, [], "uint32")]), y])(rows(width).reshape([1, 6, width])),
      ),
    })),
  ),
  ...named(
    "crossEntropy of equal numbers",
    () => ((y) => [applyFused(rowLosses, [y, tensor(Int32Array.of(0, 1, 2, 3, 4, -100))]), y])(allOf(ordinary, 8)),
  ),
  ...named(
    "headLoss",
    () => ((y) => [headLoss(y, filled([19, 36], 2), words(1, 2, 3, 4, 5, 6), { chunk: 8 }), y])(rows(36, [1, 1, NaN, 1, 1, 1])),
  ),
  "distillation of NaN": () => distillationLoss(rows(36), filled([6, 36], 2)),
  ...Object.assign({}, ...[0, 1, 2].map((operand) => named(`attention, operand ${operand}`, () => attention(operand)))),
  ...Object.assign(
    {},
    ...[true, false].flatMap((hard) =>
      recipeNames.flatMap((recipe) =>
        [36, 37].map((width) =>
          named(
            `${recipe}${hard ? ", hard" : ""} of ${width}`,
            () => ((w) => [hestia(w, { recipe, temperature: 0.3, pressure: 0.7, groupSize: width, hard }), w])(rows(width)),
          )
        )
      )
    ),
  ),
  softCode: () => softCode(rows(36), { temperature: 0.1 }),
  ...Object.fromEntries(
    Object.values(quantizers).filter(({ parameters }) => !parameters).map((quantizer) => [
      `the quantizer ${quantizer.name}`,
      () => { // by phase, all groups are one, which a NaN is enough for
        const isWhole = quantizer.name.startsWith("fairy");
        const weight = rows(36, isWhole ? [1, NaN, 2, 3, 4, 5] : ordinary);
        return quantizer.quantize(weight, { groupSize: isWhole ? 0 : 36, hard: true, temperature: 0.1, pressure: 0.5 });
      },
    ]),
  ),
  "packed products": packed(false),
  "packed products, five a byte": packed(true),
  "packed products of halves": packed(false, "float16"),
  "packed products of halves, five a byte": packed(true, "float16"),
  "packed products of bytes": packed(false, "int8"),
  "packed products of norms": () =>
    packedNormMatmul(rows(64), packWeights([ternary(70, 64, 32)]), { norm: { weight: filled([64], 3), epsilon: 1e-5 } }),
  "a table of halves": () => halfTableMatmul(rows(8), halves()),
  "rows of a table of halves": () => halfTableRows(halves(), words(0, 1, 2, 3, 9)),
  "bfloat16 and back": () => unpackBfloat16(packBfloat16(x().slice([0], [9])), [9]),
  "float16 and back": () => unpackFloat16(packFloat16(x()), [specials.length]),
  "rotated by positions": () => rotate(rows(8).reshape([1, 1, 6, 8]), rotaryTable({ headDim: 8, theta: 100, length: 6 })),
  adamw: () => optimized(0),
  "first moments of adamw": () => optimized(1),
};

function halves() {
  const data = Float16Array.from(noise(5 * 8, { seed: 4 }));
  [NaN, Infinity, -0, 6e-8].forEach((special, row) => data[row * 8 + row] = special);
  return halfTable(new Uint16Array(data.buffer), { rows: 5, columns: 8, maxSlabRows: 1000 });
}

function optimized(which: 0 | 1): Tensor {
  const w = filled([6], 1);
  const result = adamw(
    { parameters: { w }, gradients: { w: list(1, NaN, 0, 1, 1, 1) }, moments: initialMoments({ w }), step: 1 },
    { learningRate: 0.1, clipNorm: 0 },
  );
  return [result.parameters, result.moments.first][which].w;
}

const slopeOf = (f: (y: Tensor) => Tensor): Build => () => ((y) => gradients(f(y).sum(), [y])[0])(x());

/** Derivatives at special numbers. */
export const slopes: Table = {
  ...Object.fromEntries(
    (["neg", "abs", "sign", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "floor", "round", "square"] as const)
      .map((name) => [`slope of ${name}`, slopeOf((y) => y[name]())]),
  ),
  ...Object.fromEntries(
    (["add", "sub", "mul", "div", "maximum", "minimum"] as const).flatMap((name) =>
      [0, 2, Infinity, NaN].flatMap((c): [string, Build][] => [
        [`slope of ${name} and ${c}`, slopeOf((y) => y[name](c))],
        [`slope of ${c} and more by ${name}`, slopeOf((y) => constant(c, y.shape)[name](y))],
      ])
    ),
  ),
  "slope of max": slopeOf((y) => y.max()),
  "slope of the largest finite": slopeOf((y) => y.slice([3], [9]).max()),
  "slope of a clip": slopeOf((y) => y.maximum(-1).minimum(1)),
  "slope of logSumExp": slopeOf((y) => y.slice([2], [9]).logSumExp()),
  "slope of softmax": slopeOf((y) => y.slice([2], [9]).softmax().square()),
};

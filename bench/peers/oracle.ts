/**
 * What results must be, in float64 on the host and without any of the libraries. Derivatives are held against differences of the loss.
 *
 * @module
 */

import { blockSizes, epsilon, type HostArray, rotation } from "./work.ts";

/** Largest error of a library's outputs, relative to their size. */
export type Check = (outputs: readonly Float32Array[]) => number;

type Numbers = Float64Array;

/** Standard normal numbers, the same for the same seed. */
export function normals(count: number, seed: number): Numbers {
  let state = seed;
  const uniform = () => {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9 | 0;
    const mixed = Math.imul(state ^ (state >>> 13), 0x297a2d39);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
  return Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

const doubles = (inputs: readonly HostArray[]) => inputs.map(({ data }) => Float64Array.from(data));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += a[index] * b[index];
  return sum;
};
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, a));
const plus = (a: Numbers, b: Numbers, factor = 1) => a.map((value, index) => value + factor * b[index]);

/** Every element against what it must be, relative to the largest. */
export function elements(expected: (inputs: readonly Numbers[]) => Numbers): (inputs: readonly HostArray[]) => Check {
  return (inputs) => {
    const wanted = expected(doubles(inputs));
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return ([output]) => {
      if (output.length !== wanted.length) return Infinity;
      let worst = 0;
      for (let index = 0; index < wanted.length; index++) {
        const error = Math.abs(output[index] - wanted[index]);
        if (!(error <= worst)) worst = error; // not a number too
      }
      return worst / largest;
    };
  };
}

/** Rows of the last axis, each mapped by itself. */
export function rows(x: Numbers, width: number, map: (row: Numbers) => Numbers): Numbers {
  const result = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) result.set(map(x.subarray(start, start + width)), start);
  return result;
}

/** One row of a softmax. */
export function softmaxRow(row: Numbers): Numbers {
  const largest = row.reduce((most, value) => Math.max(most, value), -Infinity);
  const exponentials = row.map((value) => Math.exp(value - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials.map((value) => value / sum);
}

/** Divided by its root mean square, times a weight. */
export function rmsNorm(x: Numbers, weight: Numbers): Numbers {
  return rows(x, weight.length, (row) => {
    const scale = 1 / Math.sqrt(dot(row, row) / row.length + epsilon);
    return row.map((value, index) => value * scale * weight[index]);
  });
}

/** How a product's operands lie in memory. */
export interface ProductSizes {
  readonly batch?: number;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** The first operand is stored `[k, m]`, or the second `[n, k]`. */
  readonly transposed?: "a" | "b";
}

/**
 * Freivalds's check of all elements of a product C = A B: C s = A (B s) for a random vector s of signs
 * (Freivalds, "Probabilistic machines can use less running time", 1977).
 */
export function product({ batch = 1, m, k, n, transposed }: ProductSizes): (inputs: readonly HostArray[]) => Check {
  const times = (matrix: ArrayLike<number>, at: number, [rows, columns]: readonly number[], vector: Numbers, flipped = false) =>
    Float64Array.from({ length: rows }, (_, row) => {
      let sum = 0;
      for (let column = 0; column < columns; column++) {
        sum += matrix[at + (flipped ? column * rows + row : row * columns + column)] * vector[column];
      }
      return sum;
    });
  const signs = normals(n, 99).map(Math.sign);
  return ([a, b]) => ([output]) => {
    if (output.length !== batch * m * n) return Infinity;
    let worst = 0;
    for (let each = 0; each < batch; each++) {
      const inner = times(b.data, each * k * n, [k, n], signs, transposed === "b");
      const wanted = times(a.data, each * m * k, [m, k], inner, transposed === "a");
      const difference = norm(plus(times(output, each * m * n, [m, n], signs), wanted, -1)) / norm(wanted);
      if (!(difference <= worst)) worst = difference;
    }
    return worst;
  };
}

/** Four rows of the second operand at a time. */
function matmul(a: Numbers, b: Numbers, inner: number): Numbers {
  const [m, n] = [a.length / inner, b.length / inner];
  const result = new Float64Array(m * n);
  for (let row = 0; row < m; row++) {
    const out = result.subarray(row * n, (row + 1) * n);
    for (let k = 0; k < inner; k += 4) {
      const [a0, a1, a2, a3] = a.subarray(row * inner + k, row * inner + k + 4);
      const [b0, b1, b2, b3] = [0, 1, 2, 3].map((step) => b.subarray((k + step) * n, (k + step + 1) * n));
      for (let column = 0; column < n; column++) {
        out[column] += a0 * b0[column] + a1 * b1[column] + a2 * b2[column] + a3 * b3[column];
      }
    }
  }
  return result;
}

/** The loss of the MLP; x is `[256, 512]`. */
export function mlpLoss([x, w1, w2]: readonly Numbers[]): number {
  const output = matmul(matmul(x, w1, 512).map(Math.tanh), w2, 1024);
  return dot(output, output) / output.length;
}

const { tokens, width, heads, headDim, inner } = blockSizes;
const { cos, sin } = rotation();

/** Rotates the heads of `[tokens, width]`. */
function rotate(x: Numbers): Numbers {
  const half = headDim / 2;
  return x.map((value, index) => {
    const place = index % headDim;
    const angle = Math.floor(index / width) * half + place % half;
    return value * cos[angle] + (place < half ? -x[index + half] : x[index - half]) * sin[angle];
  });
}

function attention(q: Numbers, k: Numbers, v: Numbers): Numbers {
  const result = new Float64Array(tokens * width);
  for (let head = 0; head < heads; head++) {
    const part = (x: Numbers, token: number) => x.subarray(token * width + head * headDim, token * width + (head + 1) * headDim);
    for (let query = 0; query < tokens; query++) {
      const scores = Float64Array.from({ length: query + 1 }, (_, key) => dot(part(q, query), part(k, key)) / Math.sqrt(headDim));
      softmaxRow(scores).forEach((weight, key) => part(result, query).set(plus(part(result, query), part(v, key), weight)));
    }
  }
  return result;
}

/** The loss of the Llama layer. */
export function blockLoss([x, norm1, wq, wk, wv, wo, norm2, gate, up, down]: readonly Numbers[]): number {
  const normed = rmsNorm(x, norm1);
  const [q, k, v] = [wq, wk, wv].map((w) => matmul(normed, w, width));
  const h = plus(x, matmul(attention(rotate(q), rotate(k), v), wo, width));
  const y = rmsNorm(h, norm2);
  const ups = matmul(y, up, width);
  const gated = matmul(y, gate, width).map((value, index) => value / (1 + Math.exp(-value)) * ups[index]);
  const output = plus(h, matmul(gated, down, inner));
  return dot(output, output) / output.length;
}

type Loss = (xs: readonly Numbers[]) => number;

const step = 1e-2; // of a direction of length one
function unit(values: Numbers): Numbers {
  const length = norm(values);
  return values.map((value) => value / length);
}
const directions = (xs: readonly Numbers[]) => xs.map(({ length }, index) => unit(normals(length, 1000 + index)));
const moved = (xs: readonly Numbers[], which: number, direction: Numbers, by: number) =>
  xs.map((x, index) => index === which ? plus(x, direction, by) : x);

/** An output's component along a direction against what it must be, relative to what a random direction sees of it. */
function alongError(output: Float32Array, direction: Numbers, wanted: number): number {
  if (output.length !== direction.length) return Infinity;
  return Math.abs(dot(output, direction) - wanted) / (norm(output) / Math.sqrt(output.length));
}

const worstOf = (errors: readonly number[]) => errors.some(Number.isNaN) ? NaN : Math.max(...errors);

/** The loss, and each gradient along a random direction. */
export function gradientCheck(loss: Loss): (inputs: readonly HostArray[]) => Check {
  return (inputs) => {
    const xs = doubles(inputs);
    const value = loss(xs);
    const along = directions(xs);
    const slopes = along.map((direction, which) => {
      const [after, before] = [step, -step].map((by) => loss(moved(xs, which, direction, by)));
      return (after - before) / (2 * step);
    });
    return ([output, ...gradients]) =>
      worstOf([
        Math.abs(output[0] - value) / Math.abs(value),
        ...slopes.map((slope, index) => alongError(gradients[index], along[index], slope)),
      ]);
  };
}

/** Each part of the Hessian's product with the second half of the inputs, along a random direction. */
export function hessianCheck(loss: Loss): (inputs: readonly HostArray[]) => Check {
  return (inputs) => {
    const all = doubles(inputs);
    const xs = all.slice(0, all.length / 2);
    const vs = all.slice(xs.length);
    const length = Math.hypot(...vs.map(norm));
    const [ahead, behind] = [step, -step].map((by) => xs.map((x, index) => plus(x, vs[index], by / length)));
    const along = directions(xs);
    const curvatures = along.map((direction, which) => {
      const slope = (at: readonly Numbers[]) =>
        loss(moved(at, which, direction, step)) - loss(moved(at, which, direction, -step));
      return (slope(ahead) - slope(behind)) * length / (4 * step * step);
    });
    return (outputs) => worstOf(curvatures.map((curvature, index) => alongError(outputs[index], along[index], curvature)));
  };
}

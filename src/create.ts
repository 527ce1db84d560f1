/**
 * Tensors from numbers, and from nothing.
 *
 * @module
 */

import { bytesPerElement, type DType, isFloat, type TensorData } from "./core/dtype.ts";
import { atCaller } from "./core/errors.ts";
import { requireLengths, type Shape, sizeOf } from "./core/shape.ts";
import { primitives } from "./ops/primitives.ts";
import { leafNode } from "./core/graph.ts";
import { apply, constant, isTensor, Tensor } from "./tensor.ts";

/** Numbers, nested to the depth of the tensor's rank. */
export type NestedNumbers = number | readonly NestedNumbers[];

/** Settings of `tensor`. */
export interface TensorOptions {
  /** Shape of flat data. Nested arrays have their own. */
  readonly shape?: Shape;
  /** float32 by default; int32 and uint32 for typed arrays of those. */
  readonly dtype?: DType;
  /**
   * `false` takes a typed array as it is, which saves memory for large ones: it must not change until the tensor has been used. By
   * default the numbers are copied, once.
   */
  readonly copy?: boolean;
}

/** What there is in place of a number, or of numbers in nested arrays. */
function refuse(value: unknown): never {
  const kind = value === undefined ? "undefined, as in an array with holes" : value === null ? "null" : `a ${typeof value}`;
  throw new TypeError(`Cannot make a tensor of ${kind}: wanted a number, nested arrays or a typed array`);
}

function nestedShape(value: NestedNumbers): number[] {
  if (typeof value === "number") return [];
  if (!Array.isArray(value)) refuse(value);
  return [value.length, ...(value.length > 0 ? nestedShape(value[0]) : [])];
}

/** Rows of one depth and length, in one list. */
function flattenInto(value: NestedNumbers, shape: Shape, depth: number, out: number[]): void {
  if (typeof value === "number") {
    if (depth !== shape.length) throw new TypeError(`Cannot make a tensor: rows differ in depth, wanted [${shape}] throughout`);
    out.push(value);
    return;
  }
  if (!Array.isArray(value)) refuse(value);
  if (depth === shape.length) throw new TypeError(`Cannot make a tensor: rows differ in depth, wanted [${shape}] throughout`);
  if (value.length !== shape[depth]) {
    throw new TypeError(`Cannot make a tensor: a row has ${value.length} elements, wanted ${shape[depth]} as in the first`);
  }
  for (const item of value) flattenInto(item, shape, depth + 1, out);
}

function dtypeOf(data: unknown): DType {
  if (data instanceof Int32Array) return "int32";
  return data instanceof Uint32Array ? "uint32" : "float32";
}

/**
 * A tensor that holds numbers. The data are copied, unless the tensor may have the array itself (`copy: false`).
 *
 * @param data a number, nested arrays, or a flat typed array
 * @throws TypeError where rows differ in length, flat data do not fill the shape, or an integer dtype does not hold a number
 *
 * @example
 * ```ts
 * import { tensor } from "@hestia/hestia";
 * const matrix = tensor([[1, 2], [3, 4]]);
 * const ids = tensor(new Uint32Array([7, 8, 9]), { shape: [1, 3] });
 * console.log(`${matrix} ${ids}`); // float32[2,2] uint32[1,3]
 * ```
 */
export function tensor(data: NestedNumbers | ArrayLike<number>, options: TensorOptions = {}): Tensor {
  try {
    const dtype = options.dtype ?? dtypeOf(data);
    if (!(dtype in bytesPerElement)) {
      throw new TypeError(`Cannot make a tensor of ${dtype}: wanted one of ${Object.keys(bytesPerElement)}`);
    }
    if (typeof data !== "number" && (typeof data !== "object" || data?.length === undefined)) refuse(data);
    if (data instanceof BigInt64Array || data instanceof BigUint64Array) refuse(data[0] ?? 0n);
    const nested = typeof data === "number" || Array.isArray(data);
    const own = nested ? nestedShape(data as NestedNumbers) : [(data as ArrayLike<number>).length];
    let flat = data as ArrayLike<number>;
    if (nested) flattenInto(data as NestedNumbers, own, 0, flat = []);
    const shape = options.shape ?? own;
    requireLengths(shape, "make a tensor");
    if (sizeOf(shape) !== flat.length) {
      throw new TypeError(`Cannot make a tensor of [${shape}]: wanted ${sizeOf(shape)} numbers, got ${flat.length}`);
    }
    return new Tensor(
      leafNode({ shape: [...shape], dtype }, { host: hostData(flat, dtype, options.copy ?? true), state: "ready" }),
    );
  } catch (error) {
    throw atCaller(error as Error);
  }
}

/** Numbers in a type that holds a dtype's on the host: a copy, or the given array where it is of such a type. */
function hostData(flat: ArrayLike<number>, dtype: DType, copy: boolean): TensorData {
  const isOwn = isFloat(dtype) ? flat instanceof Float32Array || flat instanceof Float64Array : dtypeOf(flat) === dtype;
  if (isOwn) return (copy ? (flat as TensorData).slice() : flat) as TensorData;
  if (isFloat(dtype)) return Float64Array.from(flat);
  const copied = dtype === "int32" ? new Int32Array(flat) : new Uint32Array(flat);
  const lost = copied.findIndex((value, index) => value !== flat[index]);
  if (lost < 0) return copied;
  const range = dtype === "int32" ? "-2147483648 to 2147483647" : "0 to 4294967295";
  const name = dtype === "int32" ? "an int32" : "a uint32";
  throw new TypeError(`Cannot make ${name} tensor of ${flat[lost]} at ${lost}: wanted integers from ${range}`);
}

/**
 * A tensor of zeros, which takes no memory.
 *
 * @example
 * ```ts
 * import { zeros } from "@hestia/hestia";
 * console.log(`${zeros([2, 3])}`, await zeros([2]).data()); // float32[2,3] 0, 0
 * ```
 */
export function zeros(shape: Shape, dtype: DType = "float32"): Tensor {
  return constant(0, shape, dtype);
}

/**
 * A tensor of ones, which takes no memory.
 *
 * @example
 * ```ts
 * import { ones } from "@hestia/hestia";
 * console.log(await ones([2], "int32").data()); // 1, 1
 * ```
 */
export function ones(shape: Shape, dtype: DType = "float32"): Tensor {
  return constant(1, shape, dtype);
}

/**
 * A tensor of one value, which takes no memory.
 *
 * @example
 * ```ts
 * import { full } from "@hestia/hestia";
 * console.log(await full([2], 0.5).data()); // 0.5, 0.5
 * ```
 */
export function full(shape: Shape, value: number, dtype: DType = "float32"): Tensor {
  return constant(value, shape, dtype);
}

/**
 * 0, 1, 2, … along one axis (the last by default) of a shape; a number stands for a shape of one axis.
 *
 * @example
 * ```ts
 * import { arange } from "@hestia/hestia";
 * console.log(await arange(3).data(), await arange([2, 2], { axis: 0 }).data()); // 0, 1, 2 and 0, 0, 1, 1
 * ```
 */
export function arange(shape: number | Shape, { axis = -1, dtype = "float32" }: { axis?: number; dtype?: DType } = {}): Tensor {
  const list = typeof shape === "number" ? [shape] : shape;
  return apply(primitives.iota, [], { shape: list, dtype, axis: axis < 0 ? axis + list.length : axis });
}

/** Options of random tensors: a seed, a number or a uint32 scalar tensor (an input of a compiled step, say). */
export interface RandomOptions {
  /** An integer from 0 to 2³² - 1, or a uint32 scalar tensor. */
  readonly seed: number | Tensor;
}

function requireSeed(seed: number | Tensor): void {
  const fits = isTensor(seed) ? seed.size === 1 : Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32;
  if (fits) return;
  throw atCaller(
    new RangeError(
      `Cannot make a random tensor from the seed ${seed}: wanted an integer from 0 to 4294967295, or a uint32 scalar tensor`,
    ),
  );
}

/** One round of the PCG output permutation: scrambles 32 bits. */
function scramble(x: Tensor): Tensor {
  const state = x.mul(747796405).add(2891336453);
  const word = state.shiftRight(state.shiftRight(28).add(4)).bitXor(state).mul(277803737);
  return word.shiftRight(22).bitXor(word);
}

/**
 * Random 32-bit words, each a hash of (seed, stream, position): no state, the same on every device
 * (hash: PCG-RXS-M-XS, M. E. O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014).
 *
 * @example
 * ```ts
 * import { randomBits } from "@hestia/hestia";
 * console.log(`${randomBits([2, 3], { seed: 1 })}`); // uint32[2,3]
 * ```
 */
export function randomBits(shape: Shape, { seed, stream = 0 }: RandomOptions & { stream?: number }): Tensor {
  requireLengths(shape, "make a random tensor");
  requireSeed(seed);
  const position = arange([sizeOf(shape)], { dtype: "uint32" }).reshape(shape);
  const key = typeof seed === "number" ? constant(seed, [], "uint32") : seed.cast("uint32");
  const keyed = scramble(scramble(key.bitXor(Math.imul(stream + 1, 0x9e3779b9) >>> 0)));
  return scramble(scramble(position.bitXor(keyed)).add(keyed));
}

/**
 * Uniform on [0, 1), multiples of 2^-24.
 *
 * @example
 * ```ts
 * import { randomUniform } from "@hestia/hestia";
 * console.log(await randomUniform([1000], { seed: 1 }).mean().item()); // about 0.5
 * ```
 */
export function randomUniform(shape: Shape, options: RandomOptions): Tensor {
  return randomBits(shape, options).shiftRight(8).cast("float32").mul(2 ** -24);
}

/**
 * Standard normal, by Box and Muller.
 *
 * @example
 * ```ts
 * import { randomNormal } from "@hestia/hestia";
 * console.log(await randomNormal([1000], { seed: 1 }).square().mean().item()); // about 1
 * ```
 */
export function randomNormal(shape: Shape, options: RandomOptions): Tensor {
  const radius = randomBits(shape, options).shiftRight(8).add(1).cast("float32").mul(2 ** -24).log().mul(-2).sqrt();
  const angle = randomBits(shape, { ...options, stream: 1 }).shiftRight(8).cast("float32").mul(2 * Math.PI * 2 ** -24);
  return radius.mul(angle.cos());
}

/**
 * -1 or 1 with equal probability: probe vectors of trace estimators (Rademacher).
 *
 * @example
 * ```ts
 * import { randomSigns } from "@hestia/hestia";
 * console.log(await randomSigns([4], { seed: 1 }).abs().data()); // 1, 1, 1, 1
 * ```
 */
export function randomSigns(shape: Shape, options: RandomOptions): Tensor {
  return randomBits(shape, options).shiftRight(31).cast("float32").mul(2).sub(1);
}

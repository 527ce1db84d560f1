/**
 * The handle people hold: a vertex of an immutable graph, with one method for each operation.
 *
 * @module
 */

import { type DType, isFloat, requireHeld, type TensorData } from "./core/dtype.ts";
import { atCaller } from "./core/errors.ts";
import { type Attributes, describe, type Fused, noAttributes, Node, type Primitive } from "./core/graph.ts";
import { broadcastShapes, completeShape, normalizeAxes, normalizeAxis, sameShape, type Shape, sizeOf } from "./core/shape.ts";
import { primitives } from "./ops/primitives.ts";
import { node } from "./ops/simplify.ts";
import { disposeValue, readNode } from "./runtime.ts";

/** Which axes a reduction combines (all by default; negative ones count from the end) and whether they stay with length 1. */
export interface ReduceOptions {
  /** One axis or several; all by default. Negative ones count from the end. */
  readonly axes?: number | readonly number[];
  /** Whether reduced axes stay, with length 1; false by default. */
  readonly keepDims?: boolean;
}

/** A tensor, or a number that stands for a constant of the other operand's dtype. */
export type Operand = Tensor | number;

/** Adds a node to the graph. Types are checked here, so that an error points at the caller's line. */
export function apply(op: Primitive, inputs: readonly Tensor[], attributes: Attributes = noAttributes): Tensor {
  try {
    return new Tensor(node(op, inputs.map((input) => input.node), attributes));
  } catch (error) {
    throw atCaller(error as Error);
  }
}

/** Adds a fused operation: a fast kernel together with the composition that says what it means. */
export function applyFused(op: Fused, inputs: readonly Tensor[], attributes: Attributes = noAttributes): Tensor {
  const nodes = inputs.map((input) => input.node);
  const composition = op.compose(inputs, attributes).node;
  return new Tensor(new Node(op, nodes, composition.shape, composition.dtype, attributes, () => composition));
}

/**
 * A constant tensor, every element `value`; beyond the range of float32 it is infinite. It takes no memory: kernels hold the number itself.
 *
 * @example
 * ```ts
 * import { constant, tensor } from "@hestia/hestia";
 * console.log(await tensor([1, 2]).div(constant(4)).data()); // 0.25, 0.5
 * ```
 */
export function constant(value: number, shape: Shape = [], dtype: DType = "float32"): Tensor {
  requireHeld(dtype, value, `make ${dtype} of ${value}`);
  const held = isFloat(dtype) && Math.abs(Math.fround(value)) === Infinity ? Math.sign(value) * Infinity : value;
  const text = Object.is(held, -0) ? "-0" : Number.isFinite(held) ? held : String(held);
  return apply(primitives.constant, [], { shape, dtype, value: text });
}

/** A number as a constant of another operand's shape: a node less than a scalar that is expanded. */
function number(value: number, like: Tensor): Tensor {
  const dtype = isFloat(like.dtype) ? "float32" : like.dtype;
  requireHeld(dtype, value, `combine ${like} with ${value}`, ", or cast the tensor");
  return constant(value, like.shape, dtype);
}

function combine(op: Primitive, a: Tensor, b: Operand): Tensor {
  const other = typeof b === "number" ? number(b, a) : b;
  const shape = broadcastShapes(a.shape, other.shape);
  if (!shape) {
    throw atCaller(
      new TypeError(
        `Cannot apply ${op.name} to ${a} and ${other}: shapes do not broadcast, wanted equal lengths or 1 from the last axis on`,
      ),
    );
  }
  return apply(op, [a.expand(shape), other.expand(shape)]);
}

/** @internal `x` as another node, which can be computed only after `y`: it does not merge with what was computed before. */
export function after(x: Tensor, y: Tensor): Tensor {
  if (y.size === 0) return x;
  const first = y.reshape([y.size]).slice([0], [1]).reshape(x.shape.map(() => 1));
  return apply(primitives.after, [x, first.expand(x.shape)]);
}

/**
 * An immutable n-dimensional array. Operations build a graph and compute nothing; `data()`, `item()` and `realize` run it.
 *
 * Infinities and NaN follow IEEE 754: `max`, `maximum` and their like give NaN where an operand is, comparisons with NaN are false, a cast
 * of NaN to integers gives 0. `docs/NUMBERS.md` says what a driver may still do otherwise, with numbers below 1.2e-38 above all.
 *
 * @example
 * ```ts
 * import { tensor } from "@hestia/hestia";
 * const x = tensor([[1, 2], [3, 4]]);
 * console.log(await x.mul(x).sum({ axes: 1 }).data()); // 5, 25
 * ```
 */
export class Tensor {
  /** @internal The vertex of the graph. */
  readonly node: Node;

  /** @internal Made by `tensor` and by operations. */
  constructor(node: Node) {
    this.node = node;
  }

  /** Length of each axis; empty for a scalar. */
  get shape(): Shape {
    return this.node.shape;
  }
  /** Type of the elements. */
  get dtype(): DType {
    return this.node.dtype;
  }
  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }
  /** Dtype and shape, such as `float32[2,3]`. */
  toString(): string {
    return describe(this.node);
  }

  // ---- numbers out

  /** All elements, row-major. Reads asked for in one turn of the event loop share one submission and one wait. */
  data(): Promise<TensorData> {
    return readNode(this.node);
  }
  /** The only element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1) throw atCaller(new RangeError(`Cannot take the item of ${this}: wanted exactly one element`));
    return (await this.data())[0];
  }
  /**
   * Frees the memory of a computed tensor now rather than when it is collected; reading it afterwards is an error. Operations that change
   * nothing, such as a cast to the dtype that a tensor has, give the tensor itself.
   */
  dispose(): void {
    disposeValue(this.node);
  }
  /** `dispose` at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  // ---- elementwise; operands broadcast

  /** this + other. */
  add(other: Operand): Tensor {
    return combine(primitives.add, this, other);
  }
  /** this - other. */
  sub(other: Operand): Tensor {
    return combine(primitives.sub, this, other);
  }
  /** this · other, element by element. */
  mul(other: Operand): Tensor {
    return combine(primitives.mul, this, other);
  }
  /** this / other; integers truncate toward zero. */
  div(other: Operand): Tensor {
    return combine(primitives.div, this, other);
  }
  /** Larger of two; the gradient goes to the first where they are equal. */
  maximum(other: Operand): Tensor {
    return combine(primitives.maximum, this, other);
  }
  /** Smaller of two; the gradient goes to the first where they are equal. */
  minimum(other: Operand): Tensor {
    return combine(primitives.minimum, this, other);
  }
  /** uint32 ones where this < other. */
  less(other: Operand): Tensor {
    return combine(primitives.less, this, other);
  }
  /** uint32 ones where this <= other. */
  lessEqual(other: Operand): Tensor {
    return combine(primitives.lessEqual, this, other);
  }
  /** uint32 ones where this == other. */
  equal(other: Operand): Tensor {
    return combine(primitives.equal, this, other);
  }
  /** Bits set in both; int32 and uint32. */
  bitAnd(other: Operand): Tensor {
    return combine(primitives.bitAnd, this, other);
  }
  /** Bits set in either; int32 and uint32. */
  bitOr(other: Operand): Tensor {
    return combine(primitives.bitOr, this, other);
  }
  /** Bits set in exactly one; int32 and uint32. */
  bitXor(other: Operand): Tensor {
    return combine(primitives.bitXor, this, other);
  }
  /** Bits moved up; none is left from a count of 32 on. */
  shiftLeft(other: Operand): Tensor {
    return combine(primitives.shiftLeft, this, other);
  }
  /** Bits moved down, zeros shifted in; none is left from a count of 32 on. */
  shiftRight(other: Operand): Tensor {
    return combine(primitives.shiftRight, this, other);
  }
  /** -x. */
  neg(): Tensor {
    return apply(primitives.neg, [this]);
  }
  /** |x|; derivative zero at zero. */
  abs(): Tensor {
    return apply(primitives.abs, [this]);
  }
  /** -1, 0 or 1. */
  sign(): Tensor {
    return apply(primitives.sign, [this]);
  }
  /** eˣ. */
  exp(): Tensor {
    return apply(primitives.exp, [this]);
  }
  /** Natural logarithm. */
  log(): Tensor {
    return apply(primitives.log, [this]);
  }
  /** √x; NaN below zero. */
  sqrt(): Tensor {
    return apply(primitives.sqrt, [this]);
  }
  /** x². */
  square(): Tensor {
    return this.mul(this);
  }
  /** Sine of x in radians, within 2e-7 on every device. */
  sin(): Tensor {
    return apply(primitives.sin, [this]);
  }
  /** Cosine of x in radians, within 2e-7 as {@linkcode Tensor.sin}. */
  cos(): Tensor {
    return apply(primitives.cos, [this]);
  }
  /** Hyperbolic tangent. */
  tanh(): Tensor {
    return apply(primitives.tanh, [this]);
  }
  /** 1 / (1 + exp(-x)). */
  sigmoid(): Tensor {
    return apply(primitives.sigmoid, [this]);
  }
  /** Largest integer that is not above x; derivative zero. */
  floor(): Tensor {
    return apply(primitives.floor, [this]);
  }
  /** To the nearest integer, half to even; derivative zero. */
  round(): Tensor {
    return apply(primitives.round, [this]);
  }
  /** This tensor's uint32 elements choose: `a` where not zero, else `b`. */
  where(a: Operand, b: Operand): Tensor {
    const like = a instanceof Tensor ? a : b instanceof Tensor ? b : constant(0);
    const [x, y] = [a, b].map((operand) => typeof operand === "number" ? number(operand, like) : operand);
    const pair = broadcastShapes(x.shape, y.shape);
    const shape = pair && broadcastShapes(this.shape, pair);
    if (!shape) throw atCaller(new TypeError(`Cannot choose between ${x} and ${y} by ${this}: shapes do not broadcast`));
    return apply(primitives.where, [this, x, y].map((operand) => operand.expand(shape)));
  }
  /** Another dtype; float16 rounds to nearest, int32 and uint32 truncate toward zero and saturate. Gradients pass between floating-point dtypes. */
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : apply(primitives.cast, [this], { dtype });
  }

  // ---- views

  /** Same elements in row-major order under another shape; one length may be -1. */
  reshape(shape: Shape): Tensor {
    const full = completeShape(shape, this);
    return sameShape(full, this.shape) ? this : apply(primitives.reshape, [this], { shape: full });
  }
  /** Axes in another order; by default the last two exchanged. */
  transpose(order?: readonly number[]): Tensor {
    const rank = this.shape.length;
    if (!order && rank < 2) throw atCaller(new RangeError(`Cannot transpose ${this}: wanted at least two axes, or an order`));
    const axes = order?.map((axis) => axis < 0 ? axis + rank : axis) ??
      [...this.shape.keys()].slice(0, -2).concat(rank - 1, rank - 2);
    return apply(primitives.permute, [this], { order: axes });
  }
  /** Repeats axes of length 1, and adds axes in front, to reach `shape`. */
  expand(shape: Shape): Tensor {
    if (sameShape(shape, this.shape)) return this;
    const missing = Math.max(0, shape.length - this.shape.length);
    const aligned = missing ? this.reshape([...new Array(missing).fill(1), ...this.shape]) : this;
    return sameShape(shape, aligned.shape) ? aligned : apply(primitives.expand, [aligned], { shape });
  }
  /** Elements from `start` (inclusive) to `stop` (exclusive) of each axis; axes left out are whole, negative positions count from the end. */
  slice(start: readonly number[], stop: readonly number[] = []): Tensor {
    const at = (position: number | undefined, axis: number, absent: number) =>
      position === undefined ? absent : position < 0 ? position + this.shape[axis] : position;
    const axes = [...Array(Math.max(this.shape.length, start.length, stop.length)).keys()]; // too many are refused with the types
    const from = axes.map((axis) => at(start[axis], axis, 0));
    const to = axes.map((axis) => at(stop[axis], axis, this.shape[axis]));
    return from.every((first) => first === 0) && sameShape(to, this.shape)
      ? this
      : apply(primitives.slice, [this], { start: from, stop: to });
  }
  /** Zeros around: `before[axis]` in front and `after[axis]` behind. */
  pad(before: readonly number[], after: readonly number[]): Tensor {
    return apply(primitives.pad, [this], { before, after });
  }
  /** Elements of one axis in reverse. */
  flip(axis: number): Tensor {
    return apply(primitives.flip, [this], { axis: normalizeAxis(axis, this.shape, `flip ${this}`) });
  }
  /** The same value, a constant to `gradients`. */
  stopGradient(): Tensor {
    return apply(primitives.stopGradient, [this]);
  }

  // ---- reductions

  /** Sum over some axes. */
  sum(options: ReduceOptions = {}): Tensor {
    return this.#reduce("sum", options);
  }
  /** Largest; the gradient is shared by elements that tie. */
  max(options: ReduceOptions = {}): Tensor {
    return this.#reduce("max", options);
  }
  /** Arithmetic mean over some axes, of floating-point numbers. */
  mean(options: ReduceOptions = {}): Tensor {
    requireFloat(this, "average");
    const axes = normalizeAxes(options.axes, this.shape, `average ${this}`);
    return this.sum(options).div(axes.reduce((count, axis) => count * this.shape[axis], 1));
  }
  #reduce(name: "sum" | "max", { axes, keepDims = false }: ReduceOptions): Tensor {
    const list = normalizeAxes(axes, this.shape, `reduce ${this}`);
    const kept = list.length === 0 ? this : apply(primitives[name], [this], { axes: list });
    return keepDims ? kept : kept.reshape(this.shape.filter((_, axis) => !list.includes(axis)));
  }
  /** exp(x) / Σ exp(x) along an axis, the last by default; stable for large values. */
  softmax(axis = -1): Tensor {
    const over = { axes: normalizeAxis(axis, this.shape, `take the softmax of ${this}`), keepDims: true };
    const powers = this.sub(this.max(over).stopGradient()).exp();
    return powers.div(powers.sum(over));
  }
  /** log Σ exp(x) along an axis, the last by default, which stays with length 1; stable for large values. */
  logSumExp(axis = -1): Tensor {
    const axes = normalizeAxis(axis, this.shape, `take the log-sum-exp of ${this}`);
    const largest = finiteOr(this.max({ axes, keepDims: true }).stopGradient(), 0); // rows with no other are infinite
    return this.sub(largest).exp().sum({ axes, keepDims: true }).log().add(largest);
  }

  // ---- products and indices

  /**
   * Matrix product over the last two axes. Leading axes broadcast; with a two-axis right operand they are rows of one product.
   */
  matmul(other: Tensor): Tensor {
    const fail = (why: string) => atCaller(new TypeError(`Cannot multiply ${this} by ${other}: ${why}`));
    if (this.shape.length < 2 || other.shape.length < 2) throw fail("wanted at least two axes each");
    const [m, k] = this.shape.slice(-2);
    const [rows, n] = other.shape.slice(-2);
    if (k !== rows) throw fail(`inner lengths must be equal, got ${k} and ${rows}`);
    if (other.shape.length === 2 && this.shape.length > 2) {
      return this.reshape([sizeOf(this.shape.slice(0, -1)), k]).matmul(other).reshape([...this.shape.slice(0, -1), n]);
    }
    const batch = broadcastShapes(this.shape.slice(0, -2), other.shape.slice(0, -2));
    if (!batch) throw fail("leading axes do not broadcast");
    return apply(primitives.matmul, [this.expand([...batch, m, k]), other.expand([...batch, k, n])]);
  }
  /** Rows of this table: `result[i…, d…] = this[indices[i…], d…]`; zeros where an index lies outside. */
  gather(indices: Tensor): Tensor {
    return apply(primitives.gather, [this, indices]);
  }
  /** Adjoint of `gather`: sums rows of this tensor into a table of `length` rows at `indices`. */
  scatterAdd(indices: Tensor, length: number): Tensor {
    return apply(primitives.scatterAdd, [this, indices], { length });
  }
}

/** @internal `x`, or `other` where it is infinite or NaN. */
export const finiteOr = (x: Tensor, other: number): Tensor => x.abs().lessEqual(3.4028234663852886e38).where(x, other);

/**
 * Whether a value is a tensor.
 *
 * @example
 * ```ts
 * import { isTensor, tensor } from "@hestia/hestia";
 * console.log(isTensor(tensor([1, 2])), isTensor([1, 2])); // true, false
 * ```
 */
export function isTensor(value: unknown): value is Tensor {
  return value instanceof Tensor;
}

/** Throws unless the tensor is floating-point: for functions that differentiate. */
export function requireFloat(x: Tensor, action: string): void {
  if (!isFloat(x.dtype)) throw atCaller(new TypeError(`Cannot ${action} ${x}: wanted a floating-point tensor`));
}

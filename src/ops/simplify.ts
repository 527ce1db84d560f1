/**
 * Adding nodes to a graph, with the few rewritings that are always worth it.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { type Attributes, noAttributes, Node, type Primitive } from "../core/graph.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { primitives } from "./primitives.ts";

/** Whether a node is a constant of ones, seen through views. */
function isOne({ op, inputs, attributes }: Node): boolean {
  return op === primitives.constant ? attributes.value === 1 : op.kind === "view" && !op.guarded && isOne(inputs[0]);
}

/** Factors of one, which derivatives begin with, disappear. */
function product([a, b]: readonly Node[]): Node | undefined {
  if (a.dtype !== b.dtype || a.dtype === "float16") return undefined;
  return isOne(b) ? a : isOne(a) ? b : undefined;
}

/** Permutations in a row become one, and (a b)ᵀ = bᵀ aᵀ: operands are read transposed in place, where a product would be copied. */
function permuted(x: Node, order: readonly number[]): Node | undefined {
  const last = order.length - 1;
  if (x.op === primitives.permute) {
    const inner = x.attributes.order as readonly number[];
    return node(primitives.permute, x.inputs, { order: order.map((axis) => inner[axis]) });
  }
  const swapsLast = order[last] === last - 1 && order[last - 1] === last &&
    order.every((axis, index) => index >= last - 1 || axis === index);
  if (x.op !== primitives.matmul || !swapsLast) return undefined;
  const [a, b] = x.inputs.map((input) => node(primitives.permute, [input], { order }));
  return node(primitives.matmul, [b, a]);
}

/** Fewest multiplications worth copying operands for. */
const muchWork = 2 ** 20;

/** Zeros behind the last two axes, up to these lengths. */
function filledUp(x: Node, [rows, columns]: readonly [number, number]): Node {
  const rank = x.shape.length;
  const [m, n] = x.shape.slice(-2);
  if (m === rows && n === columns) return x;
  const before = new Array(rank).fill(0);
  return node(primitives.pad, [x], { before, after: [...before.slice(2), rows - m, columns - n] });
}

/** Large products of odd lengths, on operands filled up to the fours that fast kernels load. */
function inFours([a, b]: readonly Node[], shape: Shape): Node | undefined {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape.at(-1)!;
  if (sizeOf(shape) * k < muchWork) return undefined;
  const fours = (length: number) => 4 * Math.ceil(length / 4);
  const [rows, inner, columns] = [a.op.kind === "view" ? fours(m) : m, fours(k), fours(n)];
  if (rows === m && inner === k && columns === n) return undefined;
  const product = node(primitives.matmul, [filledUp(a, [rows, inner]), filledUp(b, [inner, columns])]);
  return product.shape.at(-2) === m && columns === n
    ? product
    : node(primitives.slice, [product], { start: new Array(shape.length).fill(0), stop: shape });
}

/** Most indices that one `scatterAdd` looks through: some drivers end an invocation after 65 535 iterations. */
const maxScattered = 50_000;

function rowsOf(x: Node, from: number, to: number): Node {
  return node(primitives.slice, [x], { start: [from, ...x.shape.slice(1).fill(0)], stop: [to, ...x.shape.slice(1)] });
}

/** Scatters many rows in two halves. */
function scattered([updates, indices]: readonly Node[], attributes: Attributes): Node | undefined {
  const count = sizeOf(indices.shape);
  if (count <= maxScattered) return undefined;
  const rows = node(primitives.reshape, [updates], { shape: [count, ...updates.shape.slice(indices.shape.length)] });
  const list = node(primitives.reshape, [indices], { shape: [count] });
  const part = (from: number, to: number) =>
    node(primitives.scatterAdd, [rowsOf(rows, from, to), rowsOf(list, from, to)], attributes);
  return node(primitives.add, [part(0, count >> 1), part(count >> 1, count)]);
}

/** Fewest rows for each index where a table is mostly zeros. */
const manyRows = 4;

/**
 * Scatters into one row for each index, that of the first equal one, and reads the table from these: its zeros are written only where a
 * kernel wants them, and indices are compared once for each row rather than for each part of it.
 */
function scatteredSparsely([updates, indices]: readonly Node[], attributes: Attributes): Node | undefined {
  const count = sizeOf(indices.shape);
  const rows = attributes.length as number;
  const terms = [rows, count];
  if (count === 0 || rows < manyRows * count || sizeOf(terms) >= 2 ** 32) return undefined;
  const number = (value: number, shape: Shape) => node(primitives.constant, [], { shape, dtype: "uint32", value });
  const along = (axis: number, dtype: DType) => node(primitives.iota, [], { shape: terms, dtype, axis });
  const listed = node(primitives.expand, [node(primitives.reshape, [indices], { shape: [1, count] })], { shape: terms });
  const isRow = node(primitives.equal, [listed, along(0, indices.dtype)]);
  const fromEnd = node(primitives.sub, [number(count, terms), along(1, "uint32")]);
  const largest = node(primitives.max, [node(primitives.where, [isRow, fromEnd, number(0, terms)])], { axes: [1] });
  const firsts = node(primitives.reshape, [largest], { shape: [rows] }); // counted from the end; 0 for none
  const position = (x: Node) => node(primitives.sub, [number(count, x.shape), x]);
  const sums = node(primitives.scatterAdd, [updates, position(node(primitives.gather, [firsts, indices]))], { length: count });
  return node(primitives.gather, [sums, position(firsts)]);
}

/**
 * A node of the graph, which knows a simpler one of the same value where there is one. Throws where the types of the inputs do not fit.
 * Only what changes nothing (a factor of one, axes left in their order) is no node of its own.
 */
export function node(op: Primitive, inputs: readonly Node[], attributes: Attributes = noAttributes): Node {
  const { shape, dtype } = op.infer(inputs, attributes);
  const order = op === primitives.permute ? attributes.order as readonly number[] : undefined;
  const same = op === primitives.mul ? product(inputs) : order?.every((axis, index) => axis === index) ? inputs[0] : undefined;
  if (same) return same;
  const simpler = order
    ? permuted(inputs[0], order)
    : op === primitives.matmul
    ? inFours(inputs, shape)
    : op === primitives.scatterAdd
    ? scattered(inputs, attributes) ?? scatteredSparsely(inputs, attributes)
    : undefined;
  return new Node(op, inputs, shape, dtype, attributes, undefined, simpler);
}

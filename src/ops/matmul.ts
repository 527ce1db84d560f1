/**
 * The matrix product, batched. Its derivatives are matrix products at every order.
 *
 * @module
 */

import { wideArray } from "../core/dtype.ts";
import { describe, type KernelPrimitive, Node } from "../core/graph.ts";
import { sameShape, type Shape, sizeOf } from "../core/shape.ts";
import { matmulBinding } from "../kernels/matmul_binding.ts";
import { elementwise } from "./elementwise.ts";
import { make } from "./make.ts";
import { reductions } from "./reductions.ts";
import { views } from "./views.ts";

/** Elements that kernels load at once. */
const QUAD = 4;

/** Windows on a stretch of k of all operands, of which every other one is an A. */
function stretch(operands: readonly Node[], from: number, to: number): Node[] {
  const [k] = operands[0].shape.slice(-1);
  return operands.map((x, index) => {
    const axis = kAxis(x, index);
    if (from === 0 && to === k) return x;
    return make(views.slice, [x], { start: x.shape.map((_, each) => each === axis ? from : 0), stop: x.shape.with(axis, to) });
  });
}

/** The axis of an operand that a product sums over. */
const kAxis = ({ shape }: Node, index: number) => shape.length - (index % 2 === 0 ? 1 : 2);

/** A sum of products as a batch of such sums, over pieces of k of one length, which are added up; what is left of k comes last. */
function inPieces(operands: readonly Node[], pieces: number): Node {
  const [{ shape: [...batch] }, b] = operands;
  const k = batch.pop()!;
  const shape = [...batch, b.shape.at(-1)!];
  const length = Math.floor(k / pieces / QUAD) * QUAD;
  const cut = stretch(operands, 0, pieces * length).map((x, index) => {
    const axis = kAxis(x, index);
    const parts = make(views.reshape, [x], { shape: x.shape.toSpliced(axis, 1, pieces, length) });
    return make(views.permute, [parts], { order: [axis, ...parts.shape.keys().filter((each) => each !== axis)] });
  });
  const product = (inputs: readonly Node[], shape: Shape) => new Node(matmul, inputs, shape, "float32");
  const sum = make(reductions.sum, [product(cut, [pieces, ...shape])], { axes: [0] });
  const whole = make(views.reshape, [sum], { shape });
  return pieces * length === k ? whole : make(elementwise.add, [whole, product(stretch(operands, pieces * length, k), shape)]);
}

/** `output[b…, m, n] = Σ_k a[b…, m, k] · b[b…, k, n]`, both of one rank and with equal batch lengths. */
export const matmul: KernelPrimitive = {
  kind: "kernel",
  name: "matmul",
  binding: matmulBinding,
  inPieces,
  infer([a, b]) {
    const fail = (why: string) => new TypeError(`Cannot multiply ${describe(a)} by ${describe(b)}: ${why}`);
    if (a.dtype !== "float32" || b.dtype !== "float32") throw fail("wanted float32, cast them");
    if (a.shape.length < 2 || b.shape.length < 2) throw fail("wanted at least two axes each");
    const [k, rows] = [a.shape.at(-1), b.shape.at(-2)];
    if (k !== rows) throw fail(`inner lengths must be equal, got ${k} and ${rows}`);
    if (!sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) throw fail("batch lengths must be equal");
    return { shape: [...a.shape.slice(0, -1), b.shape.at(-1)!], dtype: "float32" };
  },
  reference([a, b], output) {
    const [m, n] = output.shape.slice(-2);
    const k = a.type.shape.at(-1)!;
    const result = wideArray("float32", sizeOf(output.shape));
    for (let row = 0; row < sizeOf(output.shape.slice(0, -1)); row++) {
      const batch = Math.floor(row / m);
      for (let i = 0; i < k; i++) {
        const factor = a.data[row * k + i];
        const from = (batch * k + i) * n;
        for (let column = 0; column < n; column++) result[row * n + column] += factor * b.data[from + column];
      }
    }
    return result;
  },
  vjp: (g, { inputs: [a, b] }) => [g.matmul(b.transpose()), a.transpose().matmul(g)],
};

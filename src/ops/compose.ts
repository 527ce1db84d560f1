/**
 * Kernel primitives as sums over products that are never stored.
 *
 * @module
 */

import { type Attributes, describe, Node, type Primitive } from "../core/graph.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { elementwise } from "./elementwise.ts";
import { generators } from "./generators.ts";
import { reductions } from "./reductions.ts";
import { views } from "./views.ts";

/** A node of the type that its operation infers. */
export function make(op: Primitive, inputs: readonly Node[], attributes: Attributes = {}): Node {
  const { shape, dtype } = op.infer(inputs, attributes);
  return new Node(op, inputs, shape, dtype, attributes);
}

/** A tensor with axes of length 1, repeated along them. */
const spread = (x: Node, shape: Shape, to: Shape) => make(views.expand, [make(views.reshape, [x], { shape })], { shape: to });

/** Positions are computed in 32 bits. */
function checkTerms(name: string, inputs: readonly Node[], terms: Shape): void {
  if (sizeOf(terms) < 2 ** 32) return;
  throw new RangeError(
    `Cannot compute ${name} of ${inputs.map(describe).join(" and ")} on this adapter: a tensor is larger than one binding, ` +
      `and without its kernel it takes ${sizeOf(terms)} terms, of at most ${2 ** 32 - 1}`,
  );
}

/** What `matmul` stands for. */
export function composeMatmul([a, b]: readonly Node[]): Node {
  const batch = a.shape.slice(0, -2);
  const [m, k, n] = [...a.shape.slice(-2), b.shape[b.shape.length - 1]];
  const terms = [...batch, m, n, k];
  checkTerms("matmul", [a, b], terms);
  const order = [...batch.keys(), batch.length + 1, batch.length];
  const [left, right] = [
    spread(a, [...batch, m, 1, k], terms),
    spread(make(views.permute, [b], { order }), [...batch, 1, n, k], terms),
  ];
  const sum = make(reductions.sum, [make(elementwise.mul, [left, right])], { axes: [batch.length + 2] });
  return make(views.reshape, [sum], { shape: [...batch, m, n] });
}

/** What `scatterAdd` stands for. */
export function composeScatterAdd([updates, indices]: readonly Node[], { length }: Attributes): Node {
  const count = sizeOf(indices.shape);
  const row = updates.shape.slice(indices.shape.length);
  const terms = [count, length as number, sizeOf(row)];
  checkTerms("scatterAdd", [updates, indices], terms);
  const rows = make(generators.iota, [], { shape: terms, dtype: indices.dtype, axis: 1 });
  const chosen = make(elementwise.equal, [spread(indices, [count, 1, 1], terms), rows]);
  const zero = make(generators.constant, [], { shape: terms, dtype: "float32", value: 0 });
  const parts = make(elementwise.where, [chosen, spread(updates, [count, 1, terms[2]], terms), zero]);
  return make(views.reshape, [make(reductions.sum, [parts], { axes: [0] })], { shape: [length as number, ...row] });
}

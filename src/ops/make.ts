/**
 * Nodes of whatever type their operation infers.
 *
 * @module
 */

import { type Attributes, Node, type Primitive } from "../core/graph.ts";

/** A node of the type that its operation infers. */
export function make(op: Primitive, inputs: readonly Node[], attributes: Attributes = {}): Node {
  const { shape, dtype } = op.infer(inputs, attributes);
  return new Node(op, inputs, shape, dtype, attributes);
}

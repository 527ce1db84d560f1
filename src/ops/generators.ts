/**
 * Primitives without inputs: constants and coordinates.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import { type Attributes, describe, type Generator, type TensorType } from "../core/graph.ts";
import { normalizeAxis, requireLengths, type Shape } from "../core/shape.ts";
import { wgslConstant } from "../core/wgsl.ts";

function typeOf({ shape, dtype }: Attributes): TensorType {
  requireLengths(shape as Shape, "make a tensor");
  return { shape: shape as Shape, dtype: dtype as DType };
}

/** Every generator by name. */
export const generators = {
  /** Attributes: `shape`, `dtype`, `value`. */
  constant: {
    kind: "generator",
    name: "constant",
    infer: (_, attributes) => typeOf(attributes),
    evaluate: (_, attributes) => Number(attributes.value),
    wgsl: (_, attributes, dtype) => wgslConstant(Number(attributes.value), dtype),
    vjp: () => [],
  },
  /** The coordinate along `axis`. Attributes: `shape`, `dtype`, `axis`. */
  iota: {
    kind: "generator",
    name: "iota",
    infer(_, attributes) {
      const type = typeOf(attributes);
      normalizeAxis(attributes.axis as number, type.shape, `count in ${describe(type)}`);
      return type;
    },
    evaluate: (coordinates, attributes) => coordinates[attributes.axis as number],
    wgsl: (coordinates, attributes, dtype) => {
      const coordinate = coordinates[attributes.axis as number];
      return dtype === "uint32" ? coordinate : `${dtype === "int32" ? "i32" : "f32"}(${coordinate})`;
    },
    vjp: () => [],
  },
} as const satisfies Record<string, Generator>;

/**
 * Primitives without inputs: constants and coordinates.
 *
 * @module
 */

import type { DType } from "../core/dtype.ts";
import type { Generator } from "../core/graph.ts";
import type { Shape } from "../core/shape.ts";
import { wgslLiteral } from "../core/wgsl.ts";

/** Every generator by name. */
export const generators = {
  /** Attributes: `shape`, `dtype`, `value`. */
  constant: {
    kind: "generator",
    name: "constant",
    infer: (_, attributes) => ({ shape: attributes.shape as Shape, dtype: attributes.dtype as DType }),
    evaluate: (_, attributes) => Number(attributes.value),
    wgsl: (_, attributes, dtype) => wgslLiteral(Number(attributes.value), dtype),
    vjp: () => [],
  },
  /** The coordinate along `axis`. Attributes: `shape`, `dtype`, `axis`. */
  iota: {
    kind: "generator",
    name: "iota",
    infer: (_, attributes) => ({ shape: attributes.shape as Shape, dtype: attributes.dtype as DType }),
    evaluate: (coordinates, attributes) => coordinates[attributes.axis as number],
    wgsl: (coordinates, attributes, dtype) => {
      const coordinate = coordinates[attributes.axis as number];
      return dtype === "uint32" ? coordinate : `${dtype === "int32" ? "i32" : "f32"}(${coordinate})`;
    },
    vjp: () => [],
  },
} as const satisfies Record<string, Generator>;

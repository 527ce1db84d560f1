/**
 * Primitives that combine the elements along axes. The axes stay, with length 1.
 *
 * @module
 */

import { isFloat } from "../core/dtype.ts";
import { describe, type Reduction, type Vjp } from "../core/graph.ts";

function define(name: string, rules: Pick<Reduction, "identity" | "evaluate" | "wgsl"> & { vjp: Vjp }): Reduction {
  return {
    kind: "reduction",
    name,
    ...rules,
    infer([x], attributes) {
      const axes = attributes.axes as readonly number[];
      const shape = x.shape.map((length, axis) => axes.includes(axis) ? 1 : length);
      if (name === "max" && axes.some((axis) => x.shape[axis] === 0)) {
        throw new RangeError(`Cannot take the maximum of ${describe(x)} over axes [${axes}]: there is no element`);
      }
      return { shape, dtype: x.dtype === "float16" ? "float32" : x.dtype };
    },
  };
}

/** Every reduction by name. */
export const reductions = {
  sum: define("sum", {
    identity: 0,
    evaluate: (a, b) => a + b,
    wgsl: (a, b) => `${a} + ${b}`,
    vjp: (g, { inputs: [x] }) => [g.expand(x.shape)],
  }),
  max: define("max", {
    identity: -Infinity,
    evaluate: Math.max,
    wgsl: (a, b, { dtype, wide }) => isFloat(dtype) ? `maximum${wide ? 4 : ""}(${a}, ${b})` : `max(${a}, ${b})`,
    // the gradient is shared equally by all elements that reach the maximum
    vjp(g, { inputs: [x], output, attributes }) {
      const reached = x.equal(output.expand(x.shape)).cast("float32");
      const count = reached.sum({ axes: attributes.axes as readonly number[], keepDims: true });
      return [reached.mul(g.div(count).expand(x.shape))];
    },
  }),
} as const satisfies Record<string, Reduction>;

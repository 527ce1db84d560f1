/**
 * Primitives that show the same elements under other coordinates. They cost nothing until a kernel needs its input stored.
 *
 * @module
 */

import { describe, type TensorType, type View } from "../core/graph.ts";
import { sameShape, type Shape, sizeOf } from "../core/shape.ts";

const identity = (shape: Shape) => shape.map((_, axis) => ({ axis, start: 0, step: 1 }));

function wrong(action: string, input: TensorType, wanted: string): TypeError {
  return new TypeError(`Cannot ${action} ${describe(input)}: ${wanted}`);
}

/** Every view by name. */
export const views = {
  reshape: {
    kind: "view",
    name: "reshape",
    guarded: false,
    map: () => undefined,
    infer([x], attributes) {
      const shape = attributes.shape as Shape;
      if (shape.some((length) => !Number.isInteger(length) || length < 0)) {
        throw wrong("reshape", x, `wanted lengths that are integers, got [${shape}]`);
      }
      if (sizeOf(shape) !== sizeOf(x.shape)) {
        throw wrong("reshape", x, `[${shape}] has ${sizeOf(shape)} elements, wanted ${sizeOf(x.shape)}`);
      }
      return { shape, dtype: x.dtype };
    },
    vjp: (g, { inputs: [x] }) => [g.reshape(x.shape)],
  },
  permute: {
    kind: "view",
    name: "permute",
    guarded: false,
    map: (input, attributes) => {
      const order = attributes.order as readonly number[];
      return input.map((_, axis) => ({ axis: order.indexOf(axis), start: 0, step: 1 }));
    },
    infer([x], attributes) {
      const order = attributes.order as readonly number[];
      if (!sameShape([...order].sort((a, b) => a - b), x.shape.map((_, axis) => axis))) {
        throw wrong("transpose", x, `wanted each of its ${x.shape.length} axes once, got [${order}]`);
      }
      return { shape: order.map((axis) => x.shape[axis]), dtype: x.dtype };
    },
    vjp(g, { attributes }) {
      const order = attributes.order as readonly number[];
      return [g.transpose(order.map((_, axis) => order.indexOf(axis)))];
    },
  },
  expand: {
    kind: "view",
    name: "expand",
    guarded: false,
    map: (input) => input.map((length, axis) => length === 1 ? { axis: -1, start: 0, step: 0 } : { axis, start: 0, step: 1 }),
    infer([x], attributes) {
      const shape = attributes.shape as Shape;
      if (shape.length !== x.shape.length || x.shape.some((length, axis) => length !== 1 && length !== shape[axis])) {
        throw wrong("expand", x, `only axes of length 1 stretch, wanted [${shape}]`);
      }
      return { shape, dtype: x.dtype };
    },
    vjp: (
      g,
      { inputs: [x] },
    ) => [g.sum({ axes: x.shape.flatMap((length, axis) => length !== g.shape[axis] ? [axis] : []), keepDims: true })],
  },
  slice: {
    kind: "view",
    name: "slice",
    guarded: false,
    map: (input, attributes) => input.map((_, axis) => ({ axis, start: (attributes.start as readonly number[])[axis], step: 1 })),
    infer([x], attributes) {
      const start = attributes.start as readonly number[];
      const stop = attributes.stop as readonly number[];
      [...x.shape, ...start.slice(x.shape.length)].forEach((length, axis) => {
        const isAxis = axis < x.shape.length && Number.isInteger(start[axis]) && Number.isInteger(stop[axis]);
        if (!(isAxis && start[axis] >= 0 && start[axis] <= stop[axis] && stop[axis] <= length)) {
          throw wrong("slice", x, `[${start}] to [${stop}] does not lie inside of it`);
        }
      });
      return { shape: start.map((from, axis) => stop[axis] - from), dtype: x.dtype };
    },
    vjp(g, { inputs: [x], attributes }) {
      const stop = attributes.stop as readonly number[];
      return [g.pad(attributes.start as readonly number[], x.shape.map((length, axis) => length - stop[axis]))];
    },
  },
  pad: {
    kind: "view",
    name: "pad",
    guarded: true,
    map: (input, attributes) =>
      input.map((_, axis) => ({ axis, start: -(attributes.before as readonly number[])[axis], step: 1 })),
    infer([x], attributes) {
      const before = attributes.before as readonly number[];
      const after = attributes.after as readonly number[];
      const fits = (list: readonly number[]) =>
        list.length === x.shape.length && list.every((n) => Number.isInteger(n) && n >= 0);
      if (!fits(before) || !fits(after)) throw wrong("pad", x, `wanted one count >= 0 per axis, got [${before}] and [${after}]`);
      return { shape: x.shape.map((length, axis) => before[axis] + length + after[axis]), dtype: x.dtype };
    },
    vjp(g, { inputs: [x], attributes }) {
      const before = attributes.before as readonly number[];
      return [g.slice(before, before.map((from, axis) => from + x.shape[axis]))];
    },
  },
  flip: {
    kind: "view",
    name: "flip",
    guarded: false,
    map: (input, attributes) =>
      input.map((length, axis) =>
        axis === attributes.axis ? { axis, start: Math.max(0, length - 1), step: -1 } : { axis, start: 0, step: 1 }
      ),
    infer: ([x]) => ({ shape: x.shape, dtype: x.dtype }),
    vjp: (g, { attributes }) => [g.flip(attributes.axis as number)],
  },
  stopGradient: {
    kind: "view",
    name: "stopGradient",
    guarded: false,
    map: identity,
    infer: ([x]) => ({ shape: x.shape, dtype: x.dtype }),
    vjp: () => [undefined],
  },
} as const satisfies Record<string, View>;

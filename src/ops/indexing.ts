/**
 * Reading rows by index, and its adjoint.
 *
 * @module
 */

import { isFloat, wideArray } from "../core/dtype.ts";
import { describe, type Gather, type KernelPrimitive } from "../core/graph.ts";
import { type Shape, sizeOf } from "../core/shape.ts";
import { scatterAddBinding } from "../kernels/scatter_add.ts";

/** Rows of a table: `output[i…, d…] = table[indices[i…], d…]`; a row of zeros where the index lies outside of the table. */
export const gather: Gather = {
  kind: "gather",
  name: "gather",
  infer([table, indices]) {
    if (table.shape.length === 0) throw new TypeError(`Cannot gather from ${describe(table)}: wanted at least one axis`);
    if (indices.dtype !== "uint32" && indices.dtype !== "int32") {
      throw new TypeError(`Cannot gather by ${describe(indices)}: wanted int32 or uint32 indices`);
    }
    return { shape: [...indices.shape, ...table.shape.slice(1)], dtype: table.dtype === "float16" ? "float32" : table.dtype };
  },
  vjp: (g, { inputs: [table, indices] }) => [g.scatterAdd(indices, table.shape[0]), undefined],
};

/** Sums rows into a table of zeros: `output[indices[i…], d…] += updates[i…, d…]`. Attributes: `length`, the rows of the table. */
export const scatterAdd: KernelPrimitive = {
  kind: "kernel",
  name: "scatterAdd",
  binding: scatterAddBinding,
  infer([updates, indices], attributes) {
    const rank = indices.shape.length;
    const fits = indices.shape.every((length, axis) => length === updates.shape[axis]);
    if (!fits || updates.dtype !== "float32") {
      throw new TypeError(
        `Cannot scatter ${describe(updates)} by ${
          describe(indices)
        }: wanted float32 updates that begin with the shape of the indices`,
      );
    }
    if (isFloat(indices.dtype)) throw new TypeError(`Cannot scatter by ${describe(indices)}: wanted int32 or uint32 indices`);
    if (!(Number.isInteger(attributes.length) && attributes.length as number >= 0)) {
      throw new RangeError(
        `Cannot scatter ${describe(updates)} into ${attributes.length} rows: wanted an integer of at least 0`,
      );
    }
    return { shape: [attributes.length as number, ...updates.shape.slice(rank)], dtype: "float32" };
  },
  reference([updates, indices], output) {
    const result = wideArray("float32", sizeOf(output.shape));
    const width = sizeOf((output.shape as Shape).slice(1));
    indices.data.forEach((row, i) => {
      if (row < 0 || row >= output.shape[0]) return;
      for (let d = 0; d < width; d++) result[row * width + d] += updates.data[i * width + d];
    });
    return result;
  },
  vjp: (g, { inputs: [, indices] }) => [g.gather(indices), undefined],
};

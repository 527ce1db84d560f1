/**
 * Kernel of `writeRows`.
 *
 * @module
 */

import type { KernelBinding, Strided } from "../core/graph.ts";
import { sizeOf } from "../core/shape.ts";
import { lineGrid } from "./grid.ts";
import { shaders } from "./shaders.ts";

interface WriteRowsCall {
  /** `[batch, heads, tokens, width]`. */
  readonly fresh: Strided;
  /** Rows of the cache. */
  readonly length: number;
}

/** How rows are written over others. Inputs: cache `[batch, heads, length, width]`, fresh rows, uint32 scalar: the first row's place. */
export const writeRowsBinding: KernelBinding<WriteRowsCall> = {
  overwrites: true,
  accepts: (_, position) => position === 1,
  kernels: [{
    name: "write_rows",
    source: shaders.write_rows,
    applies: ({ fresh, length }) => sizeOf(fresh.shape) * length > 0,
    overrides: () => ({}),
    params: ({ fresh: { shape, strides, offset }, length }) => Uint32Array.of(...shape, ...strides, offset, length),
    grid: ({ fresh }, limits) => lineGrid(sizeOf(fresh.shape), limits),
  }],
  call: ([cache, fresh]) => ({ fresh, length: cache.shape[2] }),
};

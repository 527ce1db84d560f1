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

/** Elements of a row that an invocation writes: several of long rows. */
const spanOf = ({ shape: [, , , width] }: Strided): number => width < 512 ? 1 : 16;

/** How rows are written over others. Inputs: cache `[batch, heads, length, width]`, fresh rows, uint32 scalar: the first row's place. */
export const writeRowsBinding: KernelBinding<WriteRowsCall> = {
  overwrites: true,
  accepts: (_, position) => position === 1,
  kernels: [{
    name: "write_rows",
    source: shaders.write_rows,
    applies: ({ fresh, length }) => sizeOf(fresh.shape) * length > 0,
    overrides: ({ fresh }) => ({ SPAN: spanOf(fresh) }),
    params: ({ fresh: { shape, strides, offset }, length }) => Uint32Array.of(...shape, ...strides, offset, length),
    grid: ({ fresh }, limits) => lineGrid(sizeOf(fresh.shape.slice(0, -1)) * Math.ceil(fresh.shape[3] / spanOf(fresh)), limits),
  }],
  call: ([cache, fresh]) => ({ fresh, length: cache.shape[2] }),
};

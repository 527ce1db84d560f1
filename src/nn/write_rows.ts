/**
 * Rows written over those of a cache.
 *
 * @module
 */

import type { Fused } from "../core/graph.ts";
import { arange } from "../create.ts";
import { writeRowsBinding } from "../kernels/write_rows.ts";
import { applyFused, type Tensor } from "../tensor.ts";

function written([cache, fresh, position]: readonly Tensor[]): Tensor {
  const { shape } = cache;
  const length = shape[2];
  const slot = arange([length], { dtype: "uint32" }).sub(position); // wraps below the position
  const rows = fresh.transpose([2, 0, 1, 3]).gather(slot).transpose([1, 2, 0, 3]);
  return slot.less(fresh.shape[2]).reshape([1, 1, length, 1]).expand(shape).where(rows, cache);
}

/** Inputs: cache, fresh rows, uint32 scalar. */
const writeRowsFused: Fused = {
  kind: "fused",
  name: "writeRows",
  binding: writeRowsBinding,
  compose: written,
  windows: { axes: [[0, 1, 2, 3], [0, 1, -1, 3], []], place: { input: 2, axis: 2 } },
};

/**
 * The cache with fresh rows from a position on; those beyond its end are lost. Where the cache is donated, the rows alone are written.
 *
 * @param cache float32 `[batch, heads, length, width]`
 * @param fresh float32 `[batch, heads, tokens, width]`
 * @param position uint32 scalar
 */
export function writeRows(cache: Tensor, fresh: Tensor, position: Tensor): Tensor {
  return applyFused(writeRowsFused, [cache, fresh, position]);
}

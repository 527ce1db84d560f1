/**
 * Keys and values of the tokens seen so far, so that each new token costs one step.
 *
 * @module
 */

import { arange, zeros } from "../create.ts";
import { realize } from "../trace.ts";
import type { Tensor } from "../tensor.ts";
import type { LlamaConfig } from "./config.ts";

/** Keys and values by layer, `[batch, keyValueHeads, length, headDim]` each. */
export type KeyValueCache = {
  readonly layers: readonly { readonly keys: Tensor; readonly values: Tensor }[];
};

/** An empty cache for `length` tokens. */
export function emptyCache(config: LlamaConfig, { batch = 1, length }: { batch?: number; length: number }): KeyValueCache {
  const shape = [batch, config.keyValueHeads, length, config.headDim];
  const buffers = realize(Array.from({ length: 2 * config.layers }, () => zeros(shape)));
  return {
    layers: Array.from({ length: config.layers }, (_, layer) => ({ keys: buffers[2 * layer], values: buffers[2 * layer + 1] })),
  };
}

/** The same cache with room for `length` tokens; frees the one that is given. */
export function grownCache({ layers }: KeyValueCache, { length }: { length: number }): KeyValueCache {
  const old = layers.flatMap(({ keys, values }) => [keys, values]);
  const more = length - old[0].shape[2];
  const buffers = realize(old.map((each) => each.pad([0, 0, 0, 0], [0, 0, more, 0])));
  old.forEach((each) => each.dispose());
  return { layers: layers.map((_, layer) => ({ keys: buffers[2 * layer], values: buffers[2 * layer + 1] })) };
}

/** The cache with `fresh` (`[batch, heads, tokens, headDim]`) written from `position` on; in place where the cache is donated. */
export function writeCache(cache: Tensor, fresh: Tensor, position: Tensor): Tensor {
  const [batch, heads, length, headDim] = cache.shape;
  const tokens = fresh.shape[2];
  const slot = arange([length], { dtype: "uint32" }).sub(position); // wraps below the position
  const rows = fresh.transpose([2, 0, 1, 3]).gather(slot).transpose([1, 2, 0, 3]);
  return slot.less(tokens).reshape([1, 1, length, 1]).expand([batch, heads, length, headDim]).where(rows, cache);
}

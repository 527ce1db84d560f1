/**
 * Keys and values of the tokens seen so far, so that each new token costs one step.
 *
 * @module
 */

import { zeros } from "../create.ts";
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

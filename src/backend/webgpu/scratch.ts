/**
 * Memory for intermediate results. Programs run one after another on one queue, so all of them share it.
 *
 * @module
 */

import type { BufferPool } from "./buffers.ts";

/** Scratch buffers shared by all programs of a device. */
export class ScratchArena {
  readonly #buffers: GPUBuffer[] = [];

  constructor(private readonly pool: BufferPool) {}

  /** One buffer for each length, all different; the arena grows where it has none that fits. */
  assign(bytes: readonly number[]): GPUBuffer[] {
    const free = [...this.#buffers].sort((a, b) => a.size - b.size);
    const result = new Array<GPUBuffer>(bytes.length);
    const bySize = bytes.map((_, index) => index).sort((a, b) => bytes[b] - bytes[a]);
    for (const index of bySize) {
      const fit = free.findIndex((buffer) => buffer.size >= bytes[index]);
      if (fit >= 0) result[index] = free.splice(fit, 1)[0];
      else this.#buffers.push(result[index] = this.pool.take(bytes[index]));
    }
    return result;
  }
}

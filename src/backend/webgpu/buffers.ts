/**
 * Buffers by size, used again and again: the collector feels no GPU memory, so nothing is left to it.
 *
 * @module
 */

import { heldBytes } from "../../core/program.ts";
import type { BackendStatistics } from "../backend.ts";

/** Free memory that is kept whatever is in use. */
const keptBytes = 2 ** 28;
/** Longest buffer for reading that is kept. */
const keptStagingBytes = 2 ** 26;

/** The longest buffer that is held within so many bytes. */
export function longestBuffer(bytes: number): number {
  return heldBytes(1) * Math.floor(bytes / heldBytes(1));
}

/**
 * Free buffers by length. Of several, the one made first is taken: so a loop that takes and gives the same in every turn gets the same
 * buffers, and bind groups that are there already fit.
 */
export class BufferPool {
  /** The one made first comes last. */
  readonly #free = new Map<number, GPUBuffer[]>();
  readonly #staging: GPUBuffer[] = [];
  /** Order in which buffers were made. */
  readonly #all = new Map<GPUBuffer, number>();
  #made = 0;
  #freeBytes = 0;
  /** Where to note the buffers that are made. */
  made: Set<unknown> | undefined;

  constructor(
    private readonly device: GPUDevice,
    private readonly statistics: BackendStatistics,
    /** Longest buffer that there may be. */
    private readonly maxBytes: number = device.limits.maxBufferSize,
  ) {}

  /** A storage buffer of at least `bytes`; its contents are those of its last use. */
  take(bytes: number): GPUBuffer {
    const size = heldBytes(bytes);
    const known = this.#free.get(size)?.pop();
    if (!known) return this.#create(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
    this.#freeBytes -= size;
    return known;
  }

  /** Several buffers; none is kept where one of them cannot be had. */
  takeAll(lengths: readonly number[]): GPUBuffer[] {
    const taken: GPUBuffer[] = [];
    try {
      for (const bytes of lengths) taken.push(this.take(bytes));
      return taken;
    } catch (error) {
      for (const buffer of taken) this.give(buffer);
      throw error;
    }
  }

  /** Takes a buffer back. Where sizes change all the time, free memory would pile up: beyond what is in use it is destroyed. */
  give(buffer: GPUBuffer): void {
    const order = this.#all.get(buffer);
    if (order === undefined) return;
    const list = this.#free.get(buffer.size) ?? [];
    let at = list.length;
    while (at > 0 && this.#all.get(list[at - 1])! < order) at--;
    list.splice(at, 0, buffer);
    this.#free.set(buffer.size, list);
    this.#freeBytes += buffer.size;
    if (this.#freeBytes > keptBytes && this.#freeBytes > this.statistics.bytesHeld / 2) this.trim();
  }

  /** Destroys a buffer that was taken. */
  drop(buffer: GPUBuffer): void {
    if (!this.#all.delete(buffer)) return;
    this.statistics.bytesHeld -= buffer.size;
    buffer.destroy();
  }

  /** A buffer to map for reading. */
  takeStaging(bytes: number): GPUBuffer {
    const index = this.#staging.findIndex((buffer) => buffer.size >= bytes);
    if (index >= 0) return this.#staging.splice(index, 1)[0];
    const rounded = Math.min(2 ** Math.ceil(Math.log2(Math.max(1, bytes))), longestBuffer(this.maxBytes));
    return this.#create(heldBytes(Math.max(bytes, rounded)), GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  }

  giveStaging(buffer: GPUBuffer): void {
    if (buffer.size > keptStagingBytes) return this.drop(buffer);
    this.#staging.push(buffer);
    if (this.#staging.length > 4) this.drop(this.#staging.sort((a, b) => b.size - a.size).pop()!);
  }

  /** Destroys the free buffers; those in use stay. */
  trim(): void {
    for (const list of this.#free.values()) for (const buffer of list.splice(0)) this.drop(buffer);
    this.#freeBytes = 0;
    for (const buffer of this.#staging.splice(0)) this.drop(buffer);
  }

  destroy(): void {
    for (const buffer of [...this.#all.keys()]) this.drop(buffer);
  }

  #create(size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    if (size > this.maxBytes) {
      throw new RangeError(`Cannot allocate ${size} bytes of GPU memory: this adapter's largest buffer is ${this.maxBytes}`);
    }
    const buffer = this.device.createBuffer({ size, usage });
    this.#all.set(buffer, this.#made++);
    this.made?.add(buffer);
    this.statistics.buffersCreated++;
    this.statistics.bytesHeld += size;
    return buffer;
  }
}

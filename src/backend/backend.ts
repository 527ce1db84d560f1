/**
 * What the runtime asks of a device.
 *
 * @module
 */

import type { DType, TensorData } from "../core/dtype.ts";
import type { Doubt } from "../core/doubt.ts";
import type { Graph, Program } from "../core/program.ts";
import type { TensorType } from "../core/graph.ts";
import type { DeviceLimits, KernelTarget } from "../kernels/kernel.ts";

/** A computation that a backend is ready to repeat. */
export interface Executable {
  /**
   * Runs on the buffers of the program's inputs and returns those of its outputs. Buffers of donated inputs belong to the backend
   * afterwards. Returns before the device is done; a later `read` waits.
   */
  run(inputs: readonly object[]): object[];
  /** Positions of the inputs that are best uploaded as textures: nothing reads or overwrites them in any other way. */
  readonly textureInputs: ReadonlySet<number>;
}

/** Counters that tests and reports look at. */
export interface BackendStatistics {
  /** Compute pipelines compiled. */
  pipelinesCreated: number;
  /** Buffers made anew, not taken from the pool. */
  buffersCreated: number;
  /** Bind groups made anew, not taken from the cache. */
  bindGroupsCreated: number;
  /** Kernels launched. */
  dispatches: number;
  /** Command buffers handed to the queue. */
  submissions: number;
  /** Waits for numbers on the host. */
  readbacks: number;
  /** Bytes of device memory now held, free buffers of the pool included. */
  bytesHeld: number;
}

/** A device. Buffers are opaque to everybody else. */
export interface Backend extends KernelTarget {
  readonly name: "webgpu" | "reference";
  /** For people: the adapter. */
  readonly description: string;
  /** What made the device unusable, once something has. */
  readonly failure?: Error;
  /** Tells the adapter from others, as far as it says what it is. */
  readonly adapter: string;
  readonly limits: DeviceLimits;
  readonly statistics: BackendStatistics;
  /** A backend takes whichever form it runs: the graph itself, or the program that `lower` makes of it. */
  prepare(graph: Graph, lower: () => Program): Executable;
  /** @param asTexture whether what runs next reads it from a texture, see {@link Executable.textureInputs} */
  upload(data: TensorData, type: TensorType, asTexture?: boolean): object;
  /** Whether `read` copies all of these before it returns. What it reads must not change until it is done where not. */
  readsAtOnce(buffers: readonly object[], types: readonly { dtype: DType; length: number }[]): boolean;
  /** Contents of several buffers, in order: with one wait, or with several where they are more than one buffer for reading takes. */
  read(buffers: readonly object[], types: readonly { dtype: DType; length: number }[]): Promise<TensorData[]>;
  /**
   * Does some work, and tells later whether the device refused a part of it: what was made in it is forgotten then. Absent where errors are
   * thrown at once.
   */
  guard?<T>(work: () => T): { readonly result: T; readonly doubt: Doubt };
  /** Gives a buffer back. */
  free(buffer: object): void;
  /**
   * The least seconds that each of several programs of one dispatch takes, run in turns on buffers of their own; `undefined` for one that
   * the device refuses, or that does not give the bits that the first one gives. Absent where there is nothing to choose.
   */
  time?(programs: readonly Program[]): Promise<readonly (number | undefined)[]>;
  /** Frees everything; the backend is of no use afterwards. */
  close(): Promise<void>;
}

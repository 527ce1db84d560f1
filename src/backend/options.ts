/**
 * The device in use as people see it, and how they choose it.
 *
 * @module
 */

import type { Tuning } from "../tuning/tuner.ts";
import type { BackendStatistics } from "./backend.ts";

/** Which device computes: the first WebGPU adapter, or float64 on the host. */
export type BackendName = "webgpu" | "reference";

/** The device in use, for people and reports. */
export interface BackendInfo {
  /** Which kind of device it is. */
  readonly name: BackendName;
  /** The adapter's own description. */
  readonly description: string;
  /** Counts since it was opened; they go on counting. */
  readonly statistics: Readonly<BackendStatistics>;
}

/** How the device is used. */
export interface BackendOptions {
  /**
   * Whether the first use of a shape times the kernels that compute it with equal results, bit for bit, and takes the fastest. What
   * was found out is remembered in this process and, where files may be written, in the user's cache folder. By default kernels are
   * timed on graphics processors, for a few seconds in each process; software adapters take longer to compile them than most programs
   * would gain, so they only use what is remembered. `true` times kernels everywhere and without a limit, `false` nowhere: then what
   * is remembered is not used either. The variable `HESTIA_TUNE` of the environment (`on` or `off`) is the default where it may be read.
   *
   * The name of a kernel, here or there, takes that wherever it applies, which tests do.
   */
  readonly tune?: Tuning;
  /**
   * Limits of memory below the device's own, as other devices have them: the most bytes that a shader may bind at once, and that a buffer
   * may have. Tensors beyond either are cut, and computed in pieces.
   */
  readonly limits?: { readonly maxBindingBytes?: number; readonly maxBufferBytes?: number };
}

/**
 * A program: what a device runs, as plain data.
 *
 * @module
 */

import type { Grid } from "../kernels/kernel.ts";
import type { DType } from "./dtype.ts";
import type { Attributes, Operation } from "./graph.ts";
import type { Shape } from "./shape.ts";

/** A node of a flattened graph; inputs are positions in the same list, always earlier ones. */
export interface FlatNode {
  readonly op: Operation;
  readonly attributes: Attributes;
  readonly inputs: readonly number[];
  readonly shape: Shape;
  readonly dtype: DType;
  /** Position among the program's inputs, for a leaf. */
  readonly leaf?: number;
  /** For a fused operation, the node that it stands for. */
  readonly composition?: number;
}

/** A whole computation: nodes in topological order without repetition, and which of them are wanted. */
export interface Graph {
  readonly nodes: readonly FlatNode[];
  /** Node of each program input. */
  readonly leaves: readonly number[];
  readonly outputs: readonly number[];
  /** Program inputs whose memory may be overwritten. */
  readonly donated: ReadonlySet<number>;
}

/** A buffer of a running program. */
export type Slot =
  | { readonly kind: "input"; readonly index: number }
  | { readonly kind: "output"; readonly index: number }
  | { readonly kind: "scratch"; readonly index: number };

/** One buffer as one dispatch sees it. */
export interface Binding {
  readonly slot: Slot;
  readonly access: "read" | "write";
  /** Reads a copy in a texture instead, see `Kernel.texels`: how many texels. */
  readonly texels?: number;
  /** Where several buffers are copied into the texture: all of them, each from the beginning of a line. */
  readonly parts?: readonly { readonly slot: Slot; readonly texels: number; readonly line: number }[];
}

/** One launch of a shader. */
export interface Dispatch {
  /** For people: what it computes. */
  readonly label: string;
  readonly shader: string;
  readonly overrides: Readonly<Record<string, number>>;
  /** In binding order. */
  readonly bindings: readonly Binding[];
  /** Content of the uniform that follows the bindings; empty for none. */
  readonly params: Uint32Array<ArrayBuffer>;
  readonly grid: Grid;
}

/** Where an output lives: in memory of its own, or in that of a donated input. */
export interface ProgramOutput {
  readonly bytes: number;
  /** The donated input whose buffer becomes the output's. */
  readonly donor?: number;
}

/** What a device runs. */
export interface Program {
  readonly dispatches: readonly Dispatch[];
  readonly inputBytes: readonly number[];
  readonly outputs: readonly ProgramOutput[];
  /** Bytes of each intermediate buffer; their contents do not outlive the program. */
  readonly scratchBytes: readonly number[];
  /** Donated inputs that no output took over: their buffers are free after a run. */
  readonly released: readonly number[];
  /**
   * Into how many buffers each input and each output of the graph is cut, where any is (see `core/pieces.ts`): those of one follow each
   * other in `inputBytes` and `outputs`.
   */
  readonly pieces?: { readonly inputs: readonly number[]; readonly outputs: readonly number[] };
  /** What the device may time before it is compiled again; none where that was not asked for. */
  readonly contests?: readonly Contest[];
}

/** Kernels that compute the same, for a device to time. */
export interface Contest {
  /** Names the calls that the fastest of them is remembered for. */
  readonly shapeClass: string;
  /** Names of the kernels, the default first. */
  readonly names: readonly string[];
  /** One dispatch of each kernel, all of them on the same inputs, of which some are overwritten. */
  readonly programs: readonly Program[];
}

/** Bytes of device memory that one run of a program needs at its peak: what is allocated, padding included. */
export interface ProgramBytes {
  /** What goes in: parameters, moments and batches of a training step, say. */
  readonly arguments: number;
  /** Results that take over no donated argument's memory. */
  readonly results: number;
  /** Intermediate results, which all programs of a device share. */
  readonly scratch: number;
  /** Textures that kernels read copies from on software adapters; shared as well. */
  readonly textures: number;
  /** The sum of these. */
  readonly total: number;
}

/** Bytes of memory that a device holds for a buffer of so many. */
export function heldBytes(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / 256)) * 256;
}

/**
 * Kernels that work on rows: each reads a row, reduces it, and reads it again while a cache still holds it.
 *
 * @module
 */

import { type Shape, sizeOf } from "../core/shape.ts";
import type { KernelBinding } from "../core/graph.ts";
import { classText, type Kernel, MAX_TURNS } from "./kernel.ts";
import { lineGrid } from "./grid.ts";
import { inTurns } from "./row_text.ts";
import { MAX_TEXELS, readingTextures } from "./textures.ts";

/** Neighbouring elements that one call reduces together. */
export interface Rows {
  readonly rows: number;
  /** Elements of a row. */
  readonly width: number;
}

/** What `rowBinding` needs to know of a shader. */
export interface RowShader<Call extends Rows> {
  readonly name: string;
  /** With `override MEMBERS`, the invocations that share a row, and `Params` that begin with the rows and the quads of a row. */
  readonly source: string;
  /** For each input whether the marked lines read it; the others stay buffers. */
  readonly inputs: readonly ("rows" | "buffer")[];
  /** How often an invocation walks over a row. */
  readonly passes: number;
  /** Rows that invocations work on one after another, where the shader has `override ROWS`. */
  readonly rowsTogether?: (call: Call) => number;
  readonly overrides?: (call: Call) => Record<string, number>;
  /** What follows rows and quads in `Params`. */
  readonly params?: (call: Call) => readonly number[];
}

/** The rows along the last axis of a shape. */
export function rowsOf(shape: Shape): Rows {
  const width = shape.at(-1) ?? 1;
  return { rows: width === 0 ? 0 : sizeOf(shape) / width, width };
}

/** Elements of one vector load. */
const QUAD = 4;
/** Fewest rows that keep a device busy without sharing them. */
const MANY_ROWS = 64;
/** Fewest rows that keep a device busy in wide workgroups. */
const BUSY_ROWS = 1024;
/** Most elements of few rows: more are reduced sooner by kernels that split them. */
const FEW_ROWS_ELEMENTS = 2 ** 16;
/** Fewest elements worth filling textures. */
const TEXTURE_ELEMENTS = 2 ** 13;
/** Quads of one turn of an unrolled loop: a line of a cache. */
const TURN = 4;
/** Fewest elements that repay the longer time to compile unrolled loops. */
const UNROLLED_ELEMENTS = 2 ** 18;
/** Fewest elements worth timing. */
const TIMED_ELEMENTS = 2 ** 20;
/** As many neighbours share a row, in workgroups of any size. */
const AMONG_NEIGHBOURS = "among neighbours";
/** Most invocations of a workgroup that every device allows. */
const MOST_LANES = 256;

/** How the invocations of a workgroup share rows. */
interface Sharing {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Invocations that share a row. */
  readonly members: number;
}

/** How invocations share the rows of a call, of which they take some number one after another. */
type Share = (rows: Rows, together: number) => Sharing;

/** With textures: an invocation for each row, where there are many; narrow workgroups are as wide as a software driver's vectors. */
const reading: Share = ({ rows }, together) => ({
  lanes: rows < BUSY_ROWS * together ? 8 : 64,
  members: rows < MANY_ROWS ? 8 : 1,
});
/** With buffers: neighbours read neighbouring quads, no more of them than a row has, and more of them where they take several rows. */
const neighbours: Share = ({ rows, width }, together) => {
  const quads = 2 ** Math.floor(Math.log2(width / QUAD));
  const wanted = (rows < MANY_ROWS ? 64 : 32) * 2 ** Math.floor(Math.log2(together));
  const members = Math.min(quads, wanted, MOST_LANES);
  return { lanes: Math.max(64, members), members };
};
/** The same in the widest workgroups. */
const inWideGroups: Share = (rows, together) => ({ ...neighbours(rows, together), lanes: MOST_LANES });

/**
 * How a shader of rows runs, in order of preference: with an invocation for each row, read from textures, which suits drivers that compute
 * on the host; and with rows shared among many neighbours, which suits graphics processors. A call that neither takes is left to the
 * composition: widths that are no multiple of four, and a few long rows.
 */
export function rowBinding<Call extends Rows>(
  shader: RowShader<Call>,
  call: KernelBinding<Call>["call"],
): KernelBinding<Call> {
  return {
    kernels: rowKernels(shader),
    call,
    shapeClass: ({ rows, width }) => rows * width < TIMED_ELEMENTS ? undefined : classText(shader.name, [rows, width]),
  };
}

function rowKernels<Call extends Rows>(shader: RowShader<Call>): readonly Kernel<Call>[] {
  const { name, source, inputs } = shader;
  const texels = ({ rows, width }: Rows) => inputs.map((kind) => kind === "buffer" ? undefined : rows * width / QUAD);
  const texture = kernel(shader, reading);
  const pays = ({ rows, width }: Rows) => rows * width >= TEXTURE_ELEMENTS && rows * width <= MAX_TEXELS * QUAD;
  const reads = { ...texture, name: `${name}_texture`, source: readingTextures(source), texels };
  const applies = (call: Call) => texture.applies(call) && pays(call);
  const isLarge = ({ rows, width }: Rows) =>
    rows >= MANY_ROWS && width % (QUAD * TURN) === 0 && rows * width >= UNROLLED_ELEMENTS;
  return [
    { ...reads, source: inTurns(reads.source, TURN), applies: (call) => applies(call) && isLarge(call) },
    { ...reads, applies },
    { ...kernel(shader, neighbours), order: AMONG_NEIGHBOURS },
    { ...kernel(shader, inWideGroups), name: `${name}_of_${MOST_LANES}`, order: AMONG_NEIGHBOURS, suits: () => false },
  ];
}

function kernel<Call extends Rows>(shader: RowShader<Call>, share: Share): Kernel<Call> {
  const { name, source, passes, rowsTogether, overrides, params } = shader;
  const together = (call: Call) => rowsTogether?.(call) ?? 1;
  const sharing = (call: Call) => share(call, together(call));
  return {
    name,
    source,
    applies: (call) =>
      call.width > 0 && call.rows > 0 && call.width % QUAD === 0 &&
      (call.rows >= MANY_ROWS || call.rows * call.width <= FEW_ROWS_ELEMENTS) &&
      passes * together(call) * (call.width / QUAD / sharing(call).members + 1) <= MAX_TURNS,
    overrides(call) {
      const { lanes, members } = sharing(call);
      return { MEMBERS: members, LANES: lanes, ...rowsTogether && { ROWS: together(call) }, ...overrides?.(call) };
    },
    params: (call) => new Uint32Array([call.rows, call.width / QUAD, ...params?.(call) ?? []]),
    grid(call, limits) {
      const { lanes, members } = sharing(call);
      return lineGrid(Math.ceil(call.rows / together(call)) * members, limits, { workgroup: lanes });
    },
  };
}

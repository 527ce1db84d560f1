/**
 * Matrix products of strided views, float32: `C[b, m, n] = Σₖ A[b, m, k] · B[b, k, n]`, C contiguous as `[batch, M, N]`.
 *
 * Transposes, splits into heads and repeated heads are strides, so they need no copy.
 *
 * @module
 */

import type { DeviceLimits, Grid, Kernel } from "./kernel.ts";
import { shaders } from "./shaders.ts";
import { MAX_TEXELS, readingTextures } from "./textures.ts";

/** One operand: a strided view into its buffer. All numbers count elements and are at least 0. */
export interface MatmulOperand {
  /** Elements before the first one. */
  readonly offset: number;
  /** Stride of each batch axis; 0 repeats the same matrix. */
  readonly batch: readonly [number, number, number];
  /** Stride from row to row: along m in A, along k in B. */
  readonly row: number;
  /** Stride from column to column: along k in A, along n in B. */
  readonly col: number;
}

/** Sizes of one product. `m`, `n` and the batch lengths are at least 1; `k` may be 0, which gives zeros. */
export interface MatmulCall {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Lengths of the batch axes, outermost first; 1 where there is none. */
  readonly batch: readonly [number, number, number];
  readonly a: MatmulOperand;
  readonly b: MatmulOperand;
}

/**
 * The longest k that every kernel here sums. Each turn of a shader's loop takes four steps, and Mesa 22.3 silently ends the loops of
 * an invocation after 65 535 turns, of which a few store the result.
 */
export const MATMUL_MAX_K = 260_000;

/** Elements of one vector load. */
const QUAD = 4;
/** Invocations of a workgroup: the width of a software driver's vectors. */
const LANES = 8;
/** Most rows that the kernel for few rows takes. */
const FEW_ROWS = 8;
/** Fewest tiles worth larger tiles: two workgroups, one for each of two cores. */
const FEW_TILES = 2 * LANES;
/** Fewest multiplications worth the largest tiles, which a driver needs seconds to compile. */
const LARGE_WORK = 2 ** 22;
/** Fewest multiplications worth copying the operands to textures. */
const COPY_WORK = 2 ** 15;

/** How quads (four elements side by side) cover an operand: along its columns or along its rows, `pitch` elements between lines. */
interface QuadView {
  readonly alongColumns: boolean;
  readonly pitch: number;
}

function batchCount(call: MatmulCall): number {
  return call.batch[0] * call.batch[1] * call.batch[2];
}

/** The stride of an axis where it matters: an axis of length 1 is never stepped along. */
function usedStride(stride: number, length: number): number {
  return length === 1 ? 0 : stride;
}

function usedBatchStrides(operand: MatmulOperand, call: MatmulCall): number[] {
  return operand.batch.map((stride, axis) => usedStride(stride, call.batch[axis]));
}

function quadView(operand: MatmulOperand, call: MatmulCall, size: { rows: number; columns: number }): QuadView | undefined {
  const starts = [operand.offset, ...usedBatchStrides(operand, call)];
  if (starts.some((start) => start % QUAD !== 0)) return undefined;
  const rowPitch = usedStride(operand.row, size.rows);
  if (operand.col === 1 && size.columns % QUAD === 0 && rowPitch % QUAD === 0) return { alongColumns: true, pitch: rowPitch };
  const columnPitch = usedStride(operand.col, size.columns);
  if (operand.row === 1 && size.rows % QUAD === 0 && columnPitch % QUAD === 0) return { alongColumns: false, pitch: columnPitch };
  return undefined;
}

function quadViewOfA(call: MatmulCall): QuadView | undefined {
  return quadView(call.a, call, { rows: call.m, columns: call.k });
}

function quadViewOfB(call: MatmulCall): QuadView | undefined {
  return quadView(call.b, call, { rows: call.k, columns: call.n });
}

/** Both views of a call that was found to apply. */
function quadViews(call: MatmulCall): { a: QuadView; b: QuadView } {
  const a = quadViewOfA(call);
  const b = quadViewOfB(call);
  if (!a || !b) throw new Error("Cannot specialise a matrix product of quads: both operands must be aligned, see Kernel.applies");
  return { a, b };
}

function summable(call: MatmulCall): boolean {
  return call.k <= MATMUL_MAX_K;
}

/** The `Params` struct that the shaders share: two operands of eight words, then batch, m, n, k and two words of padding. */
function packParams(call: MatmulCall, a: readonly number[], b: readonly number[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(24);
  words.set(a, 0);
  words.set(b, 8);
  words.set([...call.batch, call.m, call.n, call.k], 16);
  return words;
}

function quadParams(call: MatmulCall): Uint32Array<ArrayBuffer> {
  const views = quadViews(call);
  const words = (operand: MatmulOperand, view: QuadView): number[] =>
    [...usedBatchStrides(operand, call), operand.offset, view.pitch].map((elements) => elements / QUAD);
  return packParams(call, words(call.a, views.a), words(call.b, views.b));
}

function elementParams(call: MatmulCall): Uint32Array<ArrayBuffer> {
  const words = ({ batch, offset, row, col }: MatmulOperand): number[] => [...batch, offset, row, col];
  return packParams(call, words(call.a), words(call.b));
}

/** Workgroups for so many invocations, folded onto a second axis where one is too short. */
function gridOf(invocations: number, limits: DeviceLimits): Grid {
  const workgroups = Math.max(1, Math.ceil(invocations / LANES));
  const y = Math.ceil(workgroups / limits.maxWorkgroups);
  return [Math.ceil(workgroups / y), y, 1];
}

function tileCount(call: MatmulCall, rows: number, columns: number): number {
  return batchCount(call) * Math.ceil(call.m / rows) * Math.ceil(call.n / columns);
}

function multiplications(call: MatmulCall): number {
  return batchCount(call) * call.m * call.n * call.k;
}

/** The smallest power of two that holds `size` rows, at most 8. */
function rowBlock(size: number): number {
  return size > 4 ? 8 : size > 2 ? 4 : size;
}

/** At most eight rows, quads along k in A: decoding, where each weight is loaded once. */
const rowsKernel: Kernel<MatmulCall> = {
  name: "matmul_rows",
  source: shaders.matmul_rows,
  applies: (call) =>
    call.m <= FEW_ROWS && call.k > 0 && summable(call) && quadViewOfA(call)?.alongColumns === true &&
    quadViewOfB(call) !== undefined,
  overrides: (call) => ({ B_ALONG_N: quadViews(call).b.alongColumns ? 1 : 0, ROWS: rowBlock(call.m), LANES }),
  params: quadParams,
  grid: (call, limits) => gridOf(tileCount(call, FEW_ROWS, QUAD), limits),
};

/** Tiles of quads. Larger tiles load less for each multiplication, smaller ones leave no core idle and compile sooner. */
function tileKernel(rows: 16 | 32, columns: 16 | 32): Kernel<MatmulCall> {
  const fills = (call: MatmulCall): boolean =>
    (rows === 16 || call.m > 16) && (columns === 16 || call.n > 16) && tileCount(call, rows, columns) >= FEW_TILES;
  const repays = (call: MatmulCall): boolean => rows * columns < 1024 || multiplications(call) >= LARGE_WORK;
  return {
    name: `matmul_tile_${rows}x${columns}`,
    source: shaders.matmul_tile,
    applies: (call) =>
      call.n % QUAD === 0 && call.k > 0 && summable(call) && (rows * columns === 256 || (fills(call) && repays(call))) &&
      quadViewOfA(call) !== undefined && quadViewOfB(call) !== undefined,
    overrides: (call) => {
      const { a, b } = quadViews(call);
      return {
        A_ALONG_K: a.alongColumns ? 1 : 0,
        B_ALONG_N: b.alongColumns ? 1 : 0,
        RAGGED_K: call.k % QUAD === 0 ? 0 : 1,
        TALL: rows === 32 ? 1 : 0,
        WIDE: columns === 32 ? 1 : 0,
        LANES,
      };
    },
    params: quadParams,
    grid: (call, limits) => gridOf(tileCount(call, rows, columns), limits),
  };
}

/** Quads from the start of an operand's buffer to the last one read. */
function quadsRead(operand: MatmulOperand, call: MatmulCall, rows: number, columns: number): number {
  const batch = usedBatchStrides(operand, call).reduce((sum, stride, axis) => sum + stride * (call.batch[axis] - 1), 0);
  return Math.ceil((operand.offset + batch + operand.row * (rows - 1) + operand.col * (columns - 1) + 1) / QUAD);
}

function texelsRead(call: MatmulCall): [a: number, b: number] {
  return [quadsRead(call.a, call, call.m, call.k), quadsRead(call.b, call, call.k, call.n)];
}

/**
 * Tiles of quads that are read from textures. Measured on a core with Mesa 22.3's software driver, which loads from storage buffers
 * lane by lane: 14 GFLOP/s with 16 × 16 tiles and 15.5 with 16 × 32, where buffers give 2.3, or 4.2 with 32 × 32. A pipeline takes
 * 0.45 s (16 × 16), 1.2 s (16 × 32) or 2.1 s (32 × 32 from buffers) to compile. Copying both operands is 1 % of a product of
 * 512 × 384 × 128. Uniform buffers are as fast as textures, but hold 64 KiB.
 */
function textureKernel(columns: 16 | 32): Kernel<MatmulCall> {
  const tile = tileKernel(16, columns);
  const leastWork = columns === 16 ? COPY_WORK : LARGE_WORK;
  return {
    ...tile,
    name: `matmul_texture_16x${columns}`,
    source: readingTextures(tile.source),
    applies: (call) => tile.applies(call) && multiplications(call) >= leastWork && Math.max(...texelsRead(call)) <= MAX_TEXELS,
    texels: texelsRead,
  };
}

/** Rows and columns of the tile of the general kernel. */
function generalTile(call: MatmulCall): { rows: number; columns: number } {
  return { rows: Math.min(4, rowBlock(call.m)), columns: call.n > 4 ? 8 : 4 };
}

/** Any strides, element by element. */
const generalKernel: Kernel<MatmulCall> = {
  name: "matmul_general",
  source: shaders.matmul_general,
  applies: summable,
  overrides(call) {
    const { rows, columns } = generalTile(call);
    return { ROWS: rows, WIDE: columns === 8 ? 1 : 0, LANES };
  },
  params: elementParams,
  grid(call, limits) {
    const { rows, columns } = generalTile(call);
    return gridOf(tileCount(call, rows, columns), limits);
  },
};

/**
 * Every kernel for matrix products, in order of preference: the first that applies is the default, all that apply are right. None
 * applies beyond {@linkcode MATMUL_MAX_K}. Bindings: a, b, out, params.
 */
export const matmulKernels: readonly Kernel<MatmulCall>[] = [
  rowsKernel,
  textureKernel(32),
  textureKernel(16),
  tileKernel(32, 32),
  tileKernel(16, 32),
  tileKernel(16, 16),
  generalKernel,
];

/**
 * Matrix products of strided views, float32: `C[b, m, n] = Σₖ A[b, m, k] · B[b, k, n]`, C contiguous as `[batch, M, N]`.
 *
 * Transposes, splits into heads and repeated heads are strides, so they need no copy.
 *
 * @module
 */

import { lineGrid } from "./grid.ts";
import { classText, type DeviceLimits, type Grid, type Kernel } from "./kernel.ts";
import { shaders } from "./shaders.ts";
import { matmulText } from "./matmul_text.ts";
import { MAX_TEXELS } from "./textures.ts";

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

/** An operand of one of several products: which of the buffers bound for its side, and the elements before the first one. */
export interface MatmulPart {
  readonly a: { readonly buffer: number; readonly offset: number };
  readonly b: { readonly buffer: number; readonly offset: number };
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
  /**
   * Where several products of this layout are computed at once: the operands of each, in place of the offsets above. Those of one
   * output follow each other and are added up. At most {@linkcode MATMUL_MAX_PARTS}.
   */
  readonly parts?: readonly MatmulPart[];
  /** Which operands are stored as float16; none by default. */
  readonly half?: Readonly<Record<"a" | "b", boolean>>;
  /** Number of outputs, a divisor of the number of parts; 1 by default. */
  readonly outputs?: number;
}

/** The most products that one dispatch computes. */
export const MATMUL_MAX_PARTS = 16;

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

/** Products of a call, by output. */
function partsOf(call: MatmulCall): readonly MatmulPart[] {
  return call.parts ?? [{ a: { buffer: 0, offset: call.a.offset }, b: { buffer: 0, offset: call.b.offset } }];
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

function quadView(call: MatmulCall, side: "a" | "b"): QuadView | undefined {
  const operand = call[side];
  const [rows, columns] = side === "a" ? [call.m, call.k] : [call.k, call.n];
  const starts = [...partsOf(call).map((part) => part[side].offset), ...usedBatchStrides(operand, call)];
  if (starts.some((start) => start % QUAD !== 0)) return undefined;
  const rowPitch = usedStride(operand.row, rows);
  if (operand.col === 1 && columns % QUAD === 0 && rowPitch % QUAD === 0) return { alongColumns: true, pitch: rowPitch };
  const columnPitch = usedStride(operand.col, columns);
  if (operand.row === 1 && rows % QUAD === 0 && columnPitch % QUAD === 0) return { alongColumns: false, pitch: columnPitch };
  return undefined;
}

/** Both views of a call that was found to apply. */
function quadViews(call: MatmulCall): { a: QuadView; b: QuadView } {
  const a = quadView(call, "a");
  const b = quadView(call, "b");
  if (!a || !b) throw new Error("Cannot specialise a matrix product of quads: both operands must be aligned, see Kernel.applies");
  return { a, b };
}

function summable(call: MatmulCall): boolean {
  return call.k <= MATMUL_MAX_K;
}

const padded = (words: readonly number[]): number[] => [...words, ...new Array(-words.length & 3).fill(0)];

/** The `Params` struct that the shaders share: the operands, then sizes, then the places of all products in units of `unit` elements. */
function packParams(call: MatmulCall, operands: readonly (readonly number[])[], unit: number): Uint32Array<ArrayBuffer> {
  const parts = partsOf(call);
  const outputs = call.outputs ?? 1;
  const sizes = [...call.batch, call.m, call.n, call.k, parts.length / outputs, outputs];
  const places = parts.flatMap(({ a, b }) => [a.buffer, a.offset / unit, b.buffer, b.offset / unit]);
  const unused = new Array<number>(4 * (MATMUL_MAX_PARTS - parts.length)).fill(0);
  return new Uint32Array([...operands.flatMap(padded), ...sizes, ...places, ...unused]);
}

function quadParams(call: MatmulCall): Uint32Array<ArrayBuffer> {
  const views = quadViews(call);
  const words = (operand: MatmulOperand, view: QuadView): number[] =>
    [...usedBatchStrides(operand, call), view.pitch].map((elements) => elements / QUAD);
  return packParams(call, [words(call.a, views.a), words(call.b, views.b)], QUAD);
}

function elementParams(call: MatmulCall): Uint32Array<ArrayBuffer> {
  const words = ({ batch, row, col }: MatmulOperand): number[] => [...batch, row, col];
  return packParams(call, [words(call.a), words(call.b)], 1);
}

/** Workgroups for so many invocations, folded onto a second axis where one is too short. */
function gridOf(invocations: number, limits: DeviceLimits): Grid {
  const workgroups = Math.max(1, Math.ceil(invocations / LANES));
  const y = Math.ceil(workgroups / limits.maxWorkgroups);
  return [Math.ceil(workgroups / y), y, 1];
}

function tileCount(call: MatmulCall, rows: number, columns: number): number {
  return (call.outputs ?? 1) * batchCount(call) * Math.ceil(call.m / rows) * Math.ceil(call.n / columns);
}

function multiplications(call: MatmulCall): number {
  return partsOf(call).length * batchCount(call) * call.m * call.n * call.k;
}

/** The smallest power of two that holds `size` rows, at most 8. */
function rowBlock(size: number): number {
  return size > 4 ? 8 : size > 2 ? 4 : size;
}

/** Steps of k one after another. */
const STEP_BY_STEP = "step by step";
/** Four steps of k at a time, which are added up first. */
const IN_FOURS = "in fours";

/** A kernel for matrix products. */
export interface MatmulKernel extends Kernel<MatmulCall> {
  /** Whether invocations share k, so that no core is idle where there are few results. */
  readonly sharesK?: true;
  /** Whether it stores four neighbouring elements at once, so that what is computed with them is computed so. */
  readonly storesQuads: boolean;
  /** The shader for a call; the stored one takes calls of one product. */
  text(call: MatmulCall): string;
}

/** A stored shader for the operands of a call. */
function textFor(source: string, call: MatmulCall, options?: { readonly branches: boolean }): string {
  const side = (name: "a" | "b") => ({
    buffers: 1 + Math.max(...partsOf(call).map((part) => part[name].buffer)),
    half: call.half?.[name] ?? false,
  });
  return matmulText(source, { a: side("a"), b: side("b") }, options);
}

/** Invocations of a workgroup whose neighbours share what they load. */
const SHARING_LANES = 64;
/** Fewest invocations that keep a graphics processor busy. */
const BUSY_INVOCATIONS = 2 ** 14;

/** At most eight rows, quads along k in A: decoding, where each weight is loaded once. */
function rowsKernel({ shared }: { shared: boolean }): MatmulKernel {
  const items = (call: MatmulCall) => tileCount(call, FEW_ROWS, QUAD);
  const members = (call: MatmulCall): number => {
    const useful = Math.min(BUSY_INVOCATIONS / items(call), call.k / (4 * QUAD), SHARING_LANES / 2);
    return shared ? 2 ** Math.floor(Math.log2(Math.max(1, useful))) : 1;
  };
  const lanes = shared ? SHARING_LANES : LANES;
  return {
    name: shared ? "matmul_rows_shared" : "matmul_rows",
    source: shaders.matmul_rows,
    storesQuads: false,
    ...shared ? { tiled: true, sharesK: true } : { order: IN_FOURS },
    text: (call) => textFor(shaders.matmul_rows, call, { branches: shared }),
    applies: (call) =>
      call.m <= FEW_ROWS && call.k > 0 && summable(call) && quadView(call, "a")?.alongColumns === true &&
      quadView(call, "b") !== undefined,
    overrides: (call) => ({
      B_ALONG_N: quadViews(call).b.alongColumns ? 1 : 0,
      ROWS: rowBlock(call.m),
      LANES: lanes,
      MEMBERS: members(call),
    }),
    params: quadParams,
    grid: (call, limits) => lineGrid(items(call) * members(call), limits, { workgroup: lanes }),
  };
}

/** Tiles of quads. Larger tiles load less for each multiplication, smaller ones leave no core idle and compile sooner. */
function tileKernel(rows: 16 | 32, columns: 16 | 32): MatmulKernel {
  const repays = (call: MatmulCall): boolean => rows * columns < 1024 || multiplications(call) >= LARGE_WORK;
  return {
    name: `matmul_tile_${rows}x${columns}`,
    source: shaders.matmul_tile,
    storesQuads: true,
    text: (call) => textFor(shaders.matmul_tile, call),
    order: IN_FOURS,
    applies: (call) =>
      call.n % QUAD === 0 && call.k > 0 && summable(call) && (rows === 16 || call.m > 16) && (columns === 16 || call.n > 16) &&
      quadView(call, "a") !== undefined && quadView(call, "b") !== undefined,
    suits: (call) => rows * columns === 256 || (tileCount(call, rows, columns) >= FEW_TILES && repays(call)),
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

/** Quads from the start of an operand's buffer to the last one read, of all products. */
function quadsRead(call: MatmulCall, side: "a" | "b"): number {
  const operand = call[side];
  const [rows, columns] = side === "a" ? [call.m, call.k] : [call.k, call.n];
  const start = Math.max(...partsOf(call).map((part) => part[side].offset));
  const batch = usedBatchStrides(operand, call).reduce((sum, stride, axis) => sum + stride * (call.batch[axis] - 1), 0);
  return Math.ceil((start + batch + operand.row * (rows - 1) + operand.col * (columns - 1) + 1) / QUAD);
}

const texelsRead = (call: MatmulCall): [a: number, b: number] => [quadsRead(call, "a"), quadsRead(call, "b")];

/** The same kernel, with operands read from textures: for products of at least so much work. */
function fromTextures(kernel: MatmulKernel, leastWork: number): MatmulKernel {
  const source = matmulText(kernel.source, "textures");
  return {
    ...kernel,
    source,
    text: () => source,
    applies: (call) => !call.half?.a && !call.half?.b && kernel.applies(call) && Math.max(...texelsRead(call)) <= MAX_TEXELS,
    suits: (call) => (kernel.suits?.(call) ?? true) && multiplications(call) >= leastWork,
    texels: texelsRead,
  };
}

/**
 * Tiles of quads that are read from textures. Measured on a core with Mesa 22.3's software driver, which loads from storage buffers
 * lane by lane: 14 GFLOP/s with 16 × 16 tiles and 15.5 with 16 × 32, where buffers give 2.3, or 4.2 with 32 × 32. A pipeline takes
 * 0.45 s (16 × 16), 1.2 s (16 × 32) or 2.1 s (32 × 32 from buffers) to compile. Copying both operands is 1 % of a product of
 * 512 × 384 × 128. Uniform buffers are as fast as textures, but hold 64 KiB.
 */
function textureKernel(columns: 16 | 32): MatmulKernel {
  const kernel = fromTextures(tileKernel(16, columns), columns === 16 ? COPY_WORK : LARGE_WORK);
  return { ...kernel, name: `matmul_texture_16x${columns}` };
}

/** The longest k of tiles in workgroup memory: their loops turn about four times for each step of k on some sides. */
const SHARED_MAX_K = 2 ** 14;
/** Fewest large tiles that keep a graphics processor busy. */
const BUSY_TILES = 64;

/**
 * Tiles in workgroup memory, of any strides: for graphics processors, where neighbours share loads. `span` by `span` invocations compute
 * blocks of `4 quads` rows and columns each. The more an invocation computes, the less it loads, and the fewer there are.
 */
function sharedKernel({ span, quads, suits }: {
  span: 8 | 16;
  quads: 1 | 2;
  /** Where the kernel is the default, by the number of its tiles. */
  suits: (tiles: number) => boolean;
}): MatmulKernel {
  const side = 4 * span * quads;
  const along = (stride: number, other: number) => stride <= other ? 1 : 0;
  return {
    name: `matmul_shared_${side}x${side}${span === 16 ? "_of_256" : ""}`,
    source: shaders.matmul_shared,
    storesQuads: false,
    tiled: true,
    order: STEP_BY_STEP,
    text: (call) => textFor(shaders.matmul_shared, call, { branches: true }),
    applies: (call) => call.k > 0 && call.k <= SHARED_MAX_K && Math.min(call.m, call.n) > side / 4,
    suits: (call) => suits(tileCount(call, side, side)),
    overrides: ({ a, b }) => ({ QUADS: quads, SPAN: span, A_ALONG_K: along(a.col, a.row), B_ALONG_N: along(b.col, b.row) }),
    params: elementParams,
    grid: (call, limits) => lineGrid(tileCount(call, side, side), limits, { workgroup: 1 }),
  };
}

/** Rows and columns of the tile of the general kernel. */
function generalTile(call: MatmulCall): { rows: number; columns: number } {
  return { rows: Math.min(4, rowBlock(call.m)), columns: call.n > 4 ? 8 : 4 };
}

/** Any strides, element by element. */
const generalKernel: MatmulKernel = {
  name: "matmul_general",
  source: shaders.matmul_general,
  storesQuads: false,
  text: (call) => textFor(shaders.matmul_general, call),
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

/** Fewest multiplications worth timing: less is done within the time that a dispatch takes to start. */
const TIMED_WORK = 2 ** 24;

/**
 * Calls that the same kernel is expected to be fastest for: of sizes that round to the same powers of two, and equal layouts. Undefined
 * where timing would not repay.
 */
export function matmulClass(call: MatmulCall): string | undefined {
  if (multiplications(call) < TIMED_WORK) return undefined;
  const layout = (side: "a" | "b") => {
    const quads = quadView(call, side);
    const isTransposed = !(quads?.alongColumns ?? call[side].col <= call[side].row);
    return `${isTransposed ? "T" : "N"}${quads ? QUAD : 1}${call.half?.[side] ? "h" : ""}`;
  };
  const { outputs = 1 } = call;
  const counts = { batch: batchCount(call), outputs, terms: partsOf(call).length / outputs };
  const many = Object.entries(counts).filter(([, count]) => count > 1).map(([name, count]) => ` ${classText(name, [count])}`);
  return `${classText("matmul", [call.m, call.n, call.k])} ${layout("a")}${layout("b")}${many.join("")}`;
}

/**
 * Every kernel for matrix products, in order of preference: the first that applies and suits is the default, all that apply are right.
 * None applies beyond {@linkcode MATMUL_MAX_K}. Bindings: a, b, out, params.
 */
export const matmulKernels: readonly MatmulKernel[] = [
  rowsKernel({ shared: true }),
  { ...fromTextures(rowsKernel({ shared: false }), COPY_WORK), name: "matmul_texture_rows" },
  textureKernel(32),
  textureKernel(16),
  rowsKernel({ shared: false }),
  sharedKernel({ span: 8, quads: 2, suits: (tiles) => tiles >= BUSY_TILES }),
  sharedKernel({ span: 8, quads: 1, suits: () => true }),
  sharedKernel({ span: 16, quads: 2, suits: () => false }),
  sharedKernel({ span: 16, quads: 1, suits: () => false }),
  tileKernel(32, 32),
  tileKernel(16, 32),
  tileKernel(16, 16),
  generalKernel,
];

/**
 * Packed weights on a device, and the products that read them packed.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Attributes, Fused } from "../core/graph.ts";
import { arange, tensor } from "../create.ts";
import { EIGHT, PANEL_ROWS, ternaryMatmulBinding, ternaryMatmulInt8Binding } from "../kernels/packed.ts";
import { applyFused, type Tensor } from "../tensor.ts";
import type { TernaryMatrix } from "./format.ts";
import { groupLength } from "./groups.ts";

/** A ternary weight as kernels read it: two bits a weight, and a float32 scale for each row of each group. */
export interface PackedWeight {
  /** uint32 `[panels, columns / 8, 8, 4]`: a panel is 64 rows; `shaders/ternary_matmul.wgsl` says which bits are which. */
  readonly words: Tensor;
  /** float32 `[panels, groups, 8, 8]`: of each of the 64 rows of a panel, for each group of columns. */
  readonly scales: Tensor;
  /** Output channels. */
  readonly rows: number;
  /** Inputs of each. */
  readonly columns: number;
}

const lanes = PANEL_ROWS / EIGHT;
const wordsOfBlock = 4;

/** Word and bit of a code: rows i and i + 4 of a block share word i. */
function placeOf(row: number, column: number, eights: number): { word: number; bit: number } {
  const panel = Math.floor(row / PANEL_ROWS);
  const lane = Math.floor(row % PANEL_ROWS / EIGHT);
  const [half, word] = [Math.floor(row % EIGHT / wordsOfBlock), row % wordsOfBlock];
  const block = (panel * eights + Math.floor(column / EIGHT)) * lanes + lane;
  return { word: block * wordsOfBlock + word, bit: 16 * half + 2 * (column % EIGHT) };
}

/**
 * Lays a ternary matrix out for the kernels. Several matrices of equal columns and groups become one, their rows one after another, so
 * that one product serves all.
 *
 * @throws RangeError where columns or groups are no multiples of 8, or the matrices differ in columns or groups
 *
 * @example
 * ```ts
 * import { packedMatmul, packWeight, tensor } from "@hestia/hestia";
 * const codes = Int8Array.of(1, 0, -1, 0, 1, 1, 0, 0);
 * const weight = packWeight({ codes, scales: Float32Array.of(0.5), rows: 1, columns: 8, groupSize: 0 });
 * const x = tensor([[1, 2, 3, 4, 5, 6, 7, 8]]);
 * console.log(await packedMatmul(x, weight).data()); // 0.5 (1 - 3 + 5 + 6) = 4.5
 * ```
 */
export function packWeight(...matrices: readonly TernaryMatrix[]): PackedWeight {
  const [{ columns }] = matrices;
  const width = commonWidth(matrices);
  const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
  const panels = Math.ceil(rows / PANEL_ROWS);
  const [eights, groups] = [columns / EIGHT, columns / width];
  const words = new Uint32Array(panels * eights * lanes * wordsOfBlock);
  const scales = new Float32Array(panels * groups * PANEL_ROWS);
  let first = 0;
  for (const matrix of matrices) {
    for (let row = 0; row < matrix.rows; row++) {
      writeCodes(words, matrix, { row, to: first + row });
      const panel = Math.floor((first + row) / PANEL_ROWS);
      for (let group = 0; group < groups; group++) {
        scales[(panel * groups + group) * PANEL_ROWS + (first + row) % PANEL_ROWS] =
          matrix.scales[Math.floor((row * columns + group * width) / groupLength(matrix))];
      }
    }
    first += matrix.rows;
  }
  return {
    words: tensor(words, { shape: [panels, eights, lanes, wordsOfBlock] }),
    scales: tensor(scales, { shape: [panels, groups, lanes, EIGHT] }),
    rows,
    columns,
  };
}

function writeCodes(words: Uint32Array, { codes, columns }: TernaryMatrix, { row, to }: { row: number; to: number }): void {
  for (let column = 0; column < columns; column += EIGHT) {
    let bits = 0;
    for (let i = 0; i < EIGHT; i++) bits |= (codes[row * columns + column + i] & 3) << 2 * i;
    const { word, bit } = placeOf(to, column, columns / EIGHT);
    words[word] |= bits << bit;
  }
}

const widthOf = ({ groupSize, columns }: TernaryMatrix): number => groupSize > 0 ? groupSize : columns;

/** Whether {@linkcode packWeight} takes these matrices together. */
export function fitsKernels(matrices: readonly TernaryMatrix[]): boolean {
  const [{ columns }, width] = [matrices[0], widthOf(matrices[0])];
  return width % EIGHT === 0 && columns % width === 0 &&
    matrices.every((matrix) => matrix.columns === columns && widthOf(matrix) === width);
}

/** Columns that share a scale. */
function commonWidth(matrices: readonly TernaryMatrix[]): number {
  const [{ rows, columns }, width] = [matrices[0], widthOf(matrices[0])];
  if (fitsKernels(matrices)) return width;
  const shapes = matrices.map((matrix) => `[${matrix.rows},${matrix.columns}] in groups of ${widthOf(matrix)}`).join(", ");
  throw atCaller(
    new RangeError(
      matrices.length === 1
        ? `Cannot run packed [${rows},${columns}] in groups of ${width}: wanted a multiple of ${EIGHT} that divides the columns`
        : `Cannot run packed ${shapes} as one weight: wanted equal columns and groups, of a multiple of ${EIGHT}`,
    ),
  );
}

/** The float32 weight `[rows, columns]`. */
function unpacked([words, scales]: readonly Tensor[], rows: number): Tensor {
  const [panels, eights] = words.shape;
  const groups = scales.shape[1];
  const shifts = arange([2, 1, 1], { axis: 0, dtype: "uint32" }).mul(16).add(arange([1, 1, EIGHT], { dtype: "uint32" }).mul(2));
  // two's complement of two bits: flipping the upper bit and taking away 2 extends the sign
  const codes = words.reshape([panels, eights, lanes, 1, wordsOfBlock, 1]).shiftRight(shifts).bitAnd(3).bitXor(2)
    .cast("float32").sub(2); // [panels, eights, lanes, half, word, column]
  const weight = codes.transpose([0, 2, 3, 4, 1, 5]).reshape([panels, lanes, EIGHT, groups, eights * EIGHT / groups])
    .mul(scales.transpose([0, 2, 3, 1]).reshape([panels, lanes, EIGHT, groups, 1]));
  return weight.reshape([panels * PANEL_ROWS, eights * EIGHT]).slice([0], [rows]);
}

/** Inputs: x, words, scales. Attribute: rows. */
const ternaryMatmul: Fused = {
  kind: "fused",
  name: "ternaryMatmul",
  binding: ternaryMatmulBinding,
  compose: ([x, words, scales], { rows }: Attributes) => x.matmul(unpacked([words, scales], rows as number).transpose()),
};

/** A packed weight as float32 `[rows, columns]`, computed on the device. */
export function packedValues({ words, scales, rows }: PackedWeight): Tensor {
  return unpacked([words, scales], rows);
}

/** Largest magnitude of a byte: the kernels rely on it. */
const maxByte = 127;

/** The numbers of words of four bytes in two's complement: `[…, columns / 4]` to `[…, columns]`. */
function fromBytes(words: Tensor): Tensor {
  const bytes = words.reshape([...words.shape, 1]).shiftRight(arange([4], { dtype: "uint32" }).mul(8)).bitAnd(0xff);
  return bytes.bitXor(0x80).cast("float32").sub(0x80).reshape([...words.shape.slice(0, -1), words.shape.at(-1)! * 4]);
}

/** Whole numbers from -127 to 127 as words of four bytes. */
function toBytes(x: Tensor): Tensor {
  const quads = x.add(0x80).cast("uint32").reshape([...x.shape.slice(0, -1), x.shape.at(-1)! / 4, 4]);
  const placed = quads.shiftLeft(arange([4], { dtype: "uint32" }).mul(8));
  return placed.sum({ axes: -1 }).bitXor(0x80808080);
}

/** Inputs: x as bytes, words, scales. Attribute: rows. */
const ternaryMatmulInt8: Fused = {
  kind: "fused",
  name: "ternaryMatmulInt8",
  binding: ternaryMatmulInt8Binding,
  compose: ([x, words, scales], { rows }: Attributes) =>
    fromBytes(x).matmul(unpacked([words, scales], rows as number).transpose()),
};

/** How {@linkcode packedMatmul} computes. */
export interface PackedMatmulOptions {
  /**
   * `float32`, the default, takes `x` as it is. `int8` rounds each row of it to 255 steps of its largest magnitude, as llama.cpp does in
   * blocks, and computes in whole numbers, without a derivative: a fifth fewer instructions on a software driver, which the rounding eats
   * up again where products are small (`bench/LOG.md`).
   */
  readonly activations?: "float32" | "int8";
}

/**
 * `x` times the transposed weight, read packed. Differentiable in `x`.
 *
 * @param x float32 `[…, columns]`
 * @returns float32 `[…, rows]`
 * @throws TypeError where the last length of `x` is not the weight's number of columns
 */
export function packedMatmul(x: Tensor, weight: PackedWeight, { activations = "float32" }: PackedMatmulOptions = {}): Tensor {
  const { words, scales, rows, columns } = weight;
  if (x.shape.at(-1) !== columns) {
    throw atCaller(new TypeError(`Cannot multiply ${x} by packed [${rows},${columns}]: wanted a last length of ${columns}`));
  }
  if (activations === "float32") return applyFused(ternaryMatmul, [x, words, scales], { rows });
  const step = x.abs().max({ axes: -1, keepDims: true }).div(maxByte).maximum(tiny);
  return applyFused(ternaryMatmulInt8, [toBytes(x.div(step).round()), words, scales], { rows }).mul(step);
}

/** A step for rows of zeros. */
const tiny = 2 ** -100;

/**
 * Packed weights on a device, and the products that read them packed.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import type { Attributes, Fused } from "../core/graph.ts";
import { arange, tensor } from "../create.ts";
import {
  EIGHT,
  FIVE_A_BYTE,
  ternaryMatmulBinding,
  ternaryMatmulDenseBinding,
  ternaryMatmulDenseHalfBinding,
  ternaryMatmulDenseNormedBinding,
  ternaryMatmulHalfBinding,
  ternaryMatmulInt8Binding,
  ternaryMatmulNormedBinding,
  TWO_BITS,
} from "../kernels/packed.ts";
import { addFives, asFractions, fivesOf, lanes, twoBitsOf, wordsOfBlock, writeTwoBits } from "./weight_layout.ts";
import { applyFused, type Tensor } from "../tensor.ts";
import { type RmsNorm, rmsNorm } from "../nn/normalization.ts";
import type { TernaryMatrix } from "./format.ts";
import { groupLength } from "./groups.ts";

/** A ternary weight as kernels read it: two bits a weight or five weights a byte, and a float32 scale for each row of each group. */
export interface PackedWeight {
  /**
   * uint32. Two bits a weight: `[panels, columns / 8, 8, 4]`, a panel is 64 rows. Five weights a byte: `[panels, columns / 4, 8, 4]`, a
   * panel is 160 rows. `shaders/ternary_matmul.wgsl` and `ternary_matmul_dense.wgsl` say which bits are which.
   */
  readonly words: Tensor;
  /** float32 `[panels, groups, 8, 8 or 20]`: of each of the rows of a panel, for each group of columns. */
  readonly scales: Tensor;
  /** Output channels. */
  readonly rows: number;
  /** Inputs of each. */
  readonly columns: number;
}

/** How weights are packed on the device. */
export interface PackWeightOptions {
  /** Five weights a byte, a fifth fewer bytes for the device to read, and a sixth slower on a software driver; else two bits each. */
  readonly dense?: boolean;
}

const isDense = ({ words, columns }: Pick<PackedWeight, "words" | "columns">) =>
  words.shape[1] * FIVE_A_BYTE.blockColumns === columns;

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
  return packWeights(matrices);
}

/** {@linkcode packWeight} with options. */
export function packWeights(matrices: readonly TernaryMatrix[], { dense = false }: PackWeightOptions = {}): PackedWeight {
  const [{ columns }] = matrices;
  const width = commonWidth(matrices);
  const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
  const { blockRows, blockColumns } = dense ? FIVE_A_BYTE : TWO_BITS;
  const panelRows = lanes * blockRows;
  const panels = Math.ceil(rows / panelRows);
  const groups = columns / width;
  const words = new Uint32Array(panels * columns / blockColumns * lanes * wordsOfBlock);
  const scales = new Float32Array(panels * groups * panelRows);
  const writeRow = dense ? addFives : writeTwoBits;
  let first = 0;
  for (const matrix of matrices) {
    for (let row = 0; row < matrix.rows; row++) {
      writeRow(words, matrix, { row, to: first + row });
      const panel = Math.floor((first + row) / panelRows);
      for (let group = 0; group < groups; group++) {
        scales[(panel * groups + group) * panelRows + (first + row) % panelRows] =
          matrix.scales[Math.floor((row * columns + group * width) / groupLength(matrix))];
      }
    }
    first += matrix.rows;
  }
  if (dense) asFractions(words);
  return {
    words: tensor(words, { shape: [panels, columns / blockColumns, lanes, wordsOfBlock], copy: false }),
    scales: tensor(scales, { shape: [panels, groups, lanes, blockRows], copy: false }),
    rows,
    columns,
  };
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
  const [panels, groups, , blockRows] = scales.shape;
  const codes = blockRows === FIVE_A_BYTE.blockRows ? fivesOf(words) : twoBitsOf(words);
  const columns = codes.shape[2];
  const weight = codes.reshape([panels, lanes, blockRows, groups, columns / groups])
    .mul(scales.transpose([0, 2, 3, 1]).reshape([panels, lanes, blockRows, groups, 1]));
  return weight.reshape([panels * lanes * blockRows, columns]).slice([0], [rows]);
}

const product: Fused["compose"] = ([x, words, scales], { rows }: Attributes) =>
  x.matmul(unpacked([words, scales], rows as number).transpose());

/** Inputs: x, words, scales. Attribute: rows. */
const ternaryMatmul: Fused = { kind: "fused", name: "ternaryMatmul", binding: ternaryMatmulBinding, compose: product };

/** The same for weights of five to a byte. */
const ternaryMatmulDense: Fused = {
  kind: "fused",
  name: "ternaryMatmulDense",
  binding: ternaryMatmulDenseBinding,
  compose: product,
};

/** The same product with x of float16, where devices store that; `of` float32 elsewhere. */
const withHalves = (name: string, binding: Fused["binding"], of: Fused): Fused => ({
  kind: "fused",
  name,
  binding,
  compose: ([x, ...weight], attributes) => applyFused(of, [x.cast("float32"), ...weight], attributes),
});
const ternaryMatmulHalf = withHalves("ternaryMatmulHalf", ternaryMatmulHalfBinding, ternaryMatmul);
const ternaryMatmulDenseHalf = withHalves("ternaryMatmulDenseHalf", ternaryMatmulDenseHalfBinding, ternaryMatmulDense);

/** The same product with rows of x that are normalised; `of` what a norm stores, where that takes less time. */
const withNorm = (name: string, binding: Fused["binding"], of: Fused): Fused => ({
  kind: "fused",
  name,
  binding,
  compose: ([x, words, scales, weight], { rows, epsilon }) =>
    applyFused(of, [rmsNorm(x, weight, { epsilon: epsilon as number }), words, scales], { rows }),
});
const ternaryMatmulNormed = withNorm("ternaryMatmulNormed", ternaryMatmulNormedBinding, ternaryMatmul);
const ternaryMatmulDenseNormed = withNorm("ternaryMatmulDenseNormed", ternaryMatmulDenseNormedBinding, ternaryMatmulDense);

/** A packed weight as float32 `[rows, columns]`, computed on the device. */
export function packedValues({ words, scales, rows }: PackedWeight): Tensor {
  return unpacked([words, scales], rows);
}

/** Largest magnitude of a byte: the kernels rely on it. */
const maxByte = 127;

/** Bytes of a word, and words of which each has every fourth column of sixteen: byte b of word j is column 4 b + j. */
const four = 4;
/** How far to the left the bytes of a word lie, for `[…, sixteens, byte, word]`. */
const shifts = () => arange([four, 1], { axis: 0, dtype: "uint32" }).mul(8);

/** The numbers of words of four bytes in two's complement: `[…, sixteens, 4]` to `[…, columns]`, which may end within a sixteen. */
function fromBytes(words: Tensor, columns: number): Tensor {
  const leading = words.shape.slice(0, -2);
  const bytes = words.reshape([...words.shape.slice(0, -1), 1, four]).shiftRight(shifts()).bitAnd(0xff);
  const numbers = bytes.bitXor(0x80).cast("float32").sub(0x80).reshape([...leading, words.shape.at(-2)! * four * four]);
  return numbers.slice(leading.map(() => 0), [...leading, columns]);
}

/** Whole numbers from -127 to 127 as words of four bytes. */
function toBytes(x: Tensor): Tensor {
  const [leading, columns] = [x.shape.slice(0, -1), x.shape.at(-1)!];
  const sixteens = Math.ceil(columns / (four * four));
  const none = leading.map(() => 0);
  const filled = x.pad([...none, 0], [...none, sixteens * four * four - columns]);
  const placed = filled.add(0x80).cast("uint32").reshape([...leading, sixteens, four, four]).shiftLeft(shifts());
  return placed.sum({ axes: -2 }).bitXor(0x80808080);
}

/** Inputs: x as bytes, words, scales. Attribute: rows. */
const ternaryMatmulInt8: Fused = {
  kind: "fused",
  name: "ternaryMatmulInt8",
  binding: ternaryMatmulInt8Binding,
  compose: ([x, words, scales], { rows }: Attributes) =>
    fromBytes(x, words.shape[1] * TWO_BITS.blockColumns).matmul(unpacked([words, scales], rows as number).transpose()),
};

/** How {@linkcode packedMatmul} computes. */
export interface PackedMatmulOptions {
  /**
   * `float32`, the default, takes `x` as it is. `float16` rounds it to half precision, of magnitudes to 65504, which halves what kernels
   * read of it, and sums in float32. `int8` rounds each row of it to 255 steps of its largest magnitude, as llama.cpp does in
   * blocks, and computes in whole numbers, without a derivative, where weights have two bits: a sixth fewer instructions a
   * token on a software driver (`bench/LOG.md`).
   */
  readonly activations?: "float32" | "float16" | "int8";
}

/**
 * `x` times the transposed weight, read packed. Differentiable in `x`.
 *
 * @param x float32 or float16 `[…, columns]`
 * @returns float32 `[…, rows]`
 * @throws TypeError where the last length of `x` is not the weight's number of columns
 */
export function packedMatmul(x: Tensor, weight: PackedWeight, { activations = "float32" }: PackedMatmulOptions = {}): Tensor {
  const { words, scales, rows, columns } = weight;
  if (x.shape.at(-1) !== columns) {
    throw atCaller(new TypeError(`Cannot multiply ${x} by packed [${rows},${columns}]: wanted a last length of ${columns}`));
  }
  if (activations !== "int8" || isDense(weight)) {
    const given = activations === "float16" ? x.cast("float16") : x;
    const [plain, half] = isDense(weight) ? [ternaryMatmulDense, ternaryMatmulDenseHalf] : [ternaryMatmul, ternaryMatmulHalf];
    return applyFused(given.dtype === "float16" ? half : plain, [given, words, scales], { rows });
  }
  const step = x.abs().max({ axes: -1, keepDims: true }).div(maxByte).maximum(tiny);
  return applyFused(ternaryMatmulInt8, [toBytes(x.div(step).round()), words, scales], { rows }).mul(step);
}

/**
 * {@linkcode packedMatmul} of `rmsNorm(x)`. Where that saves time, for a few rows of float32 on devices that read buffers, rows are
 * normalised as the product reads them; elsewhere before. Differentiable in `x` and in the weight of the norm.
 *
 * @param x float32 `[…, columns]`
 * @returns float32 `[…, rows]`
 * @throws TypeError where the last length of `x`, or of the norm's weight, is not the weight's number of columns
 *
 * @example
 * ```ts
 * import { ones, packedNormMatmul, packWeight, tensor } from "@hestia/hestia";
 * const codes = Int8Array.of(1, 0, -1, 0, 1, 1, 0, 0);
 * const weight = packWeight({ codes, scales: Float32Array.of(0.5), rows: 1, columns: 8, groupSize: 0 });
 * const x = tensor([[2, 2, -2, 2, 2, 2, 2, 2]]);
 * const norm = { weight: ones([8]), epsilon: 1e-5 };
 * console.log(await packedNormMatmul(x, weight, { norm }).data()); // about 0.5 (1 + 1 + 1 + 1) = 2
 * ```
 */
export function packedNormMatmul(
  x: Tensor,
  weight: PackedWeight,
  { norm, activations = "float32" }: PackedMatmulOptions & { readonly norm: RmsNorm },
): Tensor {
  const { words, scales, rows, columns } = weight;
  const isInOne = activations === "float32" && x.dtype === "float32" && norm.weight.dtype === "float32" &&
    x.shape.at(-1) === columns;
  if (!isInOne) return packedMatmul(rmsNorm(x, norm.weight, norm), weight, { activations });
  const op = isDense(weight) ? ternaryMatmulDenseNormed : ternaryMatmulNormed;
  return applyFused(op, [x, words, scales, norm.weight], { rows, epsilon: norm.epsilon });
}

/** A step for rows of zeros. */
const tiny = 2 ** -100;

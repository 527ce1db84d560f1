/**
 * Which bits of the words that packed kernels read hold which code. Rows and columns of four words are a block; eight blocks of
 * neighbouring rows, a panel, lie side by side, then come the next columns.
 *
 * @module
 */

import { arange } from "../create.ts";
import { FIVE_A_BYTE, TWO_BITS } from "../kernels/packed.ts";
import type { Tensor } from "../tensor.ts";
import type { TernaryMatrix } from "./format.ts";

/** Blocks of a panel. */
export const lanes = 8;
/** Words of a block. */
export const wordsOfBlock = 4;

/** Which row of a matrix is written as which row of the weight. */
interface RowOf {
  readonly row: number;
  readonly to: number;
}

/** First word of the block that has a row and a column. */
function blockAt(
  { row, column, columns }: Record<"row" | "column" | "columns", number>,
  layout: typeof TWO_BITS | typeof FIVE_A_BYTE,
) {
  const { blockRows, blockColumns } = layout;
  const panel = Math.floor(row / (lanes * blockRows));
  const lane = Math.floor(row / blockRows) % lanes;
  return ((panel * columns / blockColumns + Math.floor(column / blockColumns)) * lanes + lane) * wordsOfBlock;
}

/** Writes a row of two bits a weight: rows i and i + 4 of a block share word i. */
export function writeTwoBits(words: Uint32Array, { codes, columns }: TernaryMatrix, { row, to }: RowOf): void {
  const { blockRows, blockColumns } = TWO_BITS;
  const half = Math.floor(to % blockRows / wordsOfBlock);
  for (let column = 0; column < columns; column += blockColumns) {
    let bits = 0;
    for (let i = 0; i < blockColumns; i++) bits |= (codes[row * columns + column + i] & 3) << 2 * i;
    words[blockAt({ row: to, column, columns }, TWO_BITS) + to % wordsOfBlock] |= bits << 16 * half;
  }
}

/** Adds a row to bytes of five digits in base three: rows i, i + 4, … i + 16 of a block share word i, the first is the first digit. */
export function addFives(words: Uint32Array, { codes, columns }: TernaryMatrix, { row, to }: RowOf): void {
  const { blockRows, blockColumns } = FIVE_A_BYTE;
  const worth = 3 ** (4 - Math.floor(to % blockRows / wordsOfBlock));
  for (let column = 0; column < columns; column += blockColumns) {
    let bytes = 0;
    for (let i = 0; i < blockColumns; i++) bytes += (codes[row * columns + column + i] + 1) * worth * 2 ** (8 * i);
    words[blockAt({ row: to, column, columns }, FIVE_A_BYTE) + to % wordsOfBlock] += bytes;
  }
}

/** Bytes from 0 to 242 as fractions of 256 whose digits multiplication by three brings up one by one. */
export function asFractions(words: Uint32Array<ArrayBuffer>): void {
  const bytes = new Uint8Array(words.buffer);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Math.ceil(bytes[i] * 256 / 243);
}

/** Codes of two bits a weight, float32 `[panels, rows of a panel, columns]`. */
export function twoBitsOf(words: Tensor): Tensor {
  const [panels, blocks] = words.shape;
  const { blockRows, blockColumns } = TWO_BITS;
  const shifts = arange([2, 1, 1], { axis: 0, dtype: "uint32" }).mul(16)
    .add(arange([1, 1, blockColumns], { dtype: "uint32" }).mul(2));
  // two's complement of two bits: flipping the upper bit and taking away 2 extends the sign
  const codes = words.reshape([panels, blocks, lanes, 1, wordsOfBlock, 1]).shiftRight(shifts).bitAnd(3).bitXor(2)
    .cast("float32").sub(2); // [panels, blocks, lanes, half, word, column]
  return codes.transpose([0, 2, 3, 4, 1, 5]).reshape([panels, lanes * blockRows, blocks * blockColumns]);
}

/** Codes of five weights a byte, float32 `[panels, rows of a panel, columns]`. */
export function fivesOf(words: Tensor): Tensor {
  const [panels, blocks] = words.shape;
  const { blockRows, blockColumns } = FIVE_A_BYTE;
  const bytes = words.reshape([panels, blocks, lanes, wordsOfBlock, 1]).shiftRight(
    arange([blockColumns], { dtype: "uint32" }).mul(8),
  )
    .bitAnd(0xff).reshape([panels, blocks, lanes, wordsOfBlock, blockColumns]);
  let fraction = bytes;
  const digits: Tensor[] = [];
  for (let digit = 0; digit < blockRows / wordsOfBlock; digit++) {
    const thrice = fraction.mul(3);
    digits.push(thrice.shiftRight(8));
    fraction = thrice.bitAnd(0xff);
  }
  const shape = [panels, blocks, lanes, 1, wordsOfBlock, blockColumns];
  const placed = digits.map((digit, index) =>
    digit.cast("float32").reshape(shape).pad([0, 0, 0, index, 0, 0], [0, 0, 0, 4 - index, 0, 0])
  );
  const codes = placed.reduce((a, b) => a.add(b)).sub(1); // [panels, blocks, lanes, digit, word, column]
  return codes.transpose([0, 2, 3, 4, 1, 5]).reshape([panels, lanes * blockRows, blocks * blockColumns]);
}

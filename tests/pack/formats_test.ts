/** What holds for every packed format, and the bytes of each in words of its description. */

import fc from "fast-check";
import { ggmlTypes } from "../../src/io/ggml_types.ts";
import type { PackedFormat, TernaryMatrix } from "../../src/pack/format.ts";
import { type PackedFormatName, packedFormatOf, packedFormats } from "../../src/pack/formats.ts";
import type { Grouping } from "../../src/pack/groups.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { matrixOf, ternaryMatrices } from "../support/ternary.ts";

interface Facts {
  /** Weights of a row stored together; bits of one; ggml id; the finest groups; rows a multiple of this. */
  readonly is: readonly [blockSize: number, bits: number, id: number | undefined, finest: number, rows: number];
  /** Of a matrix of `rows` × `columns` in these bytes: the shape that takes so many. */
  readonly takes: readonly [rows: number, columns: number, bytes: number];
  /** Scales come back rounded to half precision, or as they were. */
  readonly stored: (scale: number) => number;
  /** Which of the trits in its byte a column (of bitnet: a row) is. */
  readonly digit: (place: number) => number;
}

const whole = (scale: number) => scale;
const facts: Record<PackedFormatName, Facts> = {
  q2_0: { is: [64, 2.25, 42, 64, 1], takes: [3, 128, 108], stored: Math.f16round, digit: (column) => column % 4 },
  tq2_0: {
    is: [256, 2.0625, 35, 256, 1],
    takes: [3, 512, 396],
    stored: Math.f16round,
    digit: (column) => Math.floor(column / 32) % 4,
  },
  tq1_0: {
    is: [256, 1.6875, 34, 256, 1],
    takes: [3, 512, 324],
    stored: Math.f16round,
    digit: (column) => Math.floor(column < 160 ? column / 32 : column < 240 ? (column - 160) / 16 : (column - 240) / 4),
  },
  q4_0: { is: [32, 4.5, 2, 32, 1], takes: [3, 96, 162], stored: Math.f16round, digit: (column) => Math.floor(column / 16) },
  pq2_0: { is: [128, 2.125, 142, 128, 1], takes: [3, 256, 204], stored: Math.f16round, digit: (column) => column % 4 },
  ptq1_0: {
    is: [128, 1.75, 143, 128, 1],
    takes: [3, 256, 168],
    stored: Math.f16round,
    digit: (column) => Math.floor(column < 80 ? column / 16 : column < 120 ? (column - 80) / 8 : (column - 120) / 2),
  },
  i2_s: { is: [128, 2, 36, 0, 1], takes: [3, 256, 192 + 32], stored: whole, digit: (column) => Math.floor(column / 32) % 4 },
  bitnet: { is: [1, 2, undefined, 0, 4], takes: [4, 7, 7 + 4], stored: whole, digit: (row) => row },
  dense: { is: [1, 1.6, undefined, 1, 1], takes: [3, 13, 9 + 2], stored: Math.f16round, digit: (column) => column % 5 },
};

/** Shapes that a format holds, of awkward sizes. */
function shapesOf(format: PackedFormat, rowMultiple: number): fc.Arbitrary<Grouping> {
  const unit = Math.max(format.blockSize, format.finestGroup);
  const kinds = format.finestGroup === 0 ? [0] : [0, -1, unit, 2 * unit, 3 * unit];
  return fc.record({
    rows: fc.integer({ min: 1, max: 5 }),
    blocks: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom(...kinds),
  }).map(({ rows, blocks, kind }) => ({
    rows: rows * rowMultiple,
    columns: blocks * Math.max(kind, unit === 1 ? 7 * Math.max(kind, 1) : unit),
    groupSize: kind,
  }));
}

for (const [name, { is: [blockSize, bits, id, finest, rowMultiple], takes, stored, digit }] of Object.entries(facts)) {
  const format = packedFormats[name as PackedFormatName];
  const shapes = shapesOf(format, rowMultiple);

  Deno.test(`${name} names its sizes`, () => {
    equal(format.name, name);
    deepEqual([format.blockSize, format.bitsPerWeight, format.finestGroup], [blockSize, bits, finest]);
    equal(format.ggmlType && ggmlTypes[format.ggmlType].id, id);
    if (format.ggmlType) equal(packedFormatOf(format.ggmlType), format);
    const [rows, columns, bytes] = takes;
    equal(format.pack(matrixOf({ rows, columns, groupSize: 0 }, { code: () => 1, scale: () => 1 })).length, bytes);
    equal(format.holdsExactly(0), true);
    deepEqual([-1, 256, 128, 64, 32].map(format.holdsExactly), [finest > 0, ...[256, 128, 64, 32].map((n) => n % finest === 0)]);
    deepEqual([-2, 0.5, NaN].map(format.holdsExactly), [false, false, false]);
  });

  Deno.test(`${name} gives back any matrix of any granularity`, () =>
    fc.assert(
      fc.property(ternaryMatrices(shapes), (matrix) => {
        deepEqual(format.unpack(format.pack(matrix), matrix), { ...matrix, scales: matrix.scales.map(stored) });
      }),
      { numRuns: 100, seed: 1 },
    ));

  Deno.test(`${name} holds every combination of trits in every byte of a block`, () => {
    const grouping = name === "bitnet"
      ? { rows: 4, columns: 81, groupSize: 0 }
      : { rows: 243, columns: Math.max(blockSize, 10), groupSize: 0 };
    const code = (index: number) => {
      const [row, column] = [Math.floor(index / grouping.columns), index % grouping.columns];
      const [combination, place] = name === "bitnet" ? [column, row] : [row, column];
      return Math.floor(combination / 3 ** digit(place)) % 3 - 1;
    };
    const matrix = matrixOf(grouping, { code, scale: () => 1 });
    deepEqual(format.unpack(format.pack(matrix), grouping), matrix);
  });

  Deno.test(`${name} refuses a matrix that it cannot hold, and bytes that are none`, () => {
    const [rows, columns] = takes;
    const matrix = matrixOf({ rows, columns, groupSize: 0 }, { code: () => 1, scale: () => 1 });
    throws(() => format.pack({ ...matrix, codes: matrix.codes.with(5, 2) }), /code 2 at 5, wanted -1, 0 or 1/);
    throws(() => format.pack({ ...matrix, scales: Float32Array.of(NaN) }), /scale of .* is NaN/);
    throws(() => format.pack({ ...matrix, scales: new Float32Array(2) }), /wanted 1 scales/);
    const bytes = format.pack(matrix);
    const shape = { rows, columns, groupSize: 0 };
    throws(
      () => format.unpack(bytes.subarray(1), shape),
      /Cannot unpack ternary \[\d+,\d+\] from \w+: wanted \d+ bytes, got \d+/,
    );
    if (finest === 0) {
      throws(() => format.pack({ ...matrix, groupSize: -1 }), /group size -1 would lose scales, wanted 0 \(tensor\)/);
    }
    if (blockSize > 1) {
      throws(() => format.unpack(bytes, { ...shape, columns: columns - 1 }), /columns must be a multiple of/);
      throws(
        () => format.pack(matrixOf({ rows, columns: columns - 1, groupSize: 0 }, { code: () => 0, scale: () => 1 })),
        /columns must be a multiple of/,
      );
    }
  });

  Deno.test(`${name} never crashes on bytes that are none`, () =>
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(255)), fc.boolean(), (stream, legal) => {
        const [rows, columns] = takes;
        const bytes = format.pack(matrixOf({ rows, columns, groupSize: 0 }, { code: () => 1, scale: () => 1 }));
        const noise = bytes.map((byte, at) => legal && at < bytes.length / 2 ? byte : stream.next().value!);
        try {
          const { codes, scales } = format.unpack(noise, { rows, columns });
          ok(codes.every((code) => Math.abs(code) <= 1) && scales.every(Number.isFinite));
        } catch (error) {
          ok(error instanceof RangeError && error.message.startsWith("Cannot unpack"), String(error));
        }
      }),
      { numRuns: 100, seed: 1 },
    ));
}

/** One row of `columns` weights: zero except for the trits at these places. */
function row(columns: number, trits: Readonly<Record<number, number>>): TernaryMatrix {
  return matrixOf({ rows: 1, columns, groupSize: 0 }, { code: (index) => trits[index] ?? 0, scale: () => -1.5 });
}

/** A byte of five trits in TQ1_0: the value of the digits, plus one each, as a fraction of 243 in 256ths, rounded up. */
const fraction = (...trits: number[]) => Math.ceil(trits.reduce((value, trit) => 3 * value + trit + 1, 0) * 256 / 243);

Deno.test("tq2_0: element 128 h + 32 l + m lies in byte 32 h + m, bits 2 l, and the scale behind", () => {
  const bytes = packedFormats.tq2_0.pack(row(256, { 3: 1, [128 + 2 * 32 + 5]: -1 }));
  deepEqual([bytes[3], bytes[32 + 5], bytes[0]], [0b01_01_01_10, 0b01_00_01_01, 0b01_01_01_01]);
  deepEqual([...bytes.subarray(64)], [0x00, 0xbe]);
});

Deno.test("tq1_0 and ptq1_0: stages of five trits, then four", () => {
  const tq1_0 = packedFormats.tq1_0.pack(row(256, { 7: -1, [7 + 4 * 32]: 1, [160 + 2 + 16]: 1, [240 + 3 + 3 * 4]: -1 }));
  deepEqual([tq1_0[7], tq1_0[32 + 2], tq1_0[48 + 3]], [
    fraction(-1, 0, 0, 0, 1),
    fraction(0, 1, 0, 0, 0),
    fraction(0, 0, 0, -1, -1),
  ]);
  deepEqual([...tq1_0.subarray(52)], [0x00, 0xbe]);
  const ptq1_0 = packedFormats.ptq1_0.pack(row(128, { 7: -1, [7 + 4 * 16]: 1, [80 + 2 + 8]: 1, [120 + 1 + 3 * 2]: -1 }));
  deepEqual([ptq1_0[7], ptq1_0[16 + 2], ptq1_0[24 + 1]], [
    fraction(-1, 0, 0, 0, 1),
    fraction(0, 1, 0, 0, 0),
    fraction(0, 0, 0, -1, -1),
  ]);
  deepEqual([...ptq1_0.subarray(26)], [0x00, 0xbe]);
});

Deno.test("q4_0: nibbles of trit + 8, the first half of the block in the low ones", () => {
  const bytes = packedFormats.q4_0.pack(row(32, { 1: 1, 17: -1 }));
  deepEqual([...bytes.subarray(0, 4)], [0x00, 0xbe, 0x88, 0x79]);
});

Deno.test("pq2_0: four neighbours a byte behind the scale", () => {
  const bytes = packedFormats.pq2_0.pack(row(128, { 5: 1, 127: -1 }));
  deepEqual([...bytes.subarray(0, 4), bytes[33]], [0x00, 0xbe, 0b01_01_01_01, 0b01_01_10_01, 0b00_01_01_01]);
});

Deno.test("i2_s: element 32 g + p lies in byte p, bits 6 - 2 g; one float32 scale and 28 bytes of padding behind", () => {
  const bytes = packedFormats.i2_s.pack(row(256, { 3: 1, [128 + 2 * 32 + 5]: -1 }));
  deepEqual([bytes[3], bytes[32 + 5], bytes[0]], [0b10_01_01_01, 0b01_01_00_01, 0b01_01_01_01]);
  deepEqual([...bytes.subarray(64, 68)], [0, 0, 0xc0, 0xbf]);
  deepEqual([...bytes.subarray(68)], new Array(28).fill(0));
});

Deno.test("bitnet: what transformers' description says, written down again", () => {
  // "unpack_weights: packed [out / 4, in]; for i in 0..3, rows i · out / 4 to (i + 1) · out / 4 are (packed & (3 << 2 i)) >> 2 i, minus one"
  const matrix = matrixOf({ rows: 12, columns: 5, groupSize: 0 }, { code: (index) => index * 7 % 11 % 3 - 1, scale: () => 0.3 });
  const bytes = packedFormats.bitnet.pack(matrix);
  const packed = Array.from({ length: 3 }, (_, r) => [...bytes.subarray(5 * r, 5 * r + 5)]);
  const rows = [0, 1, 2, 3].flatMap((i) => packed.map((values) => values.map((value) => ((value & (3 << 2 * i)) >> 2 * i) - 1)));
  deepEqual(rows.flat(), [...matrix.codes]);
  deepEqual(bytes.subarray(15), new Uint8Array(Float32Array.of(0.3).buffer));
  throws(
    () => packedFormats.bitnet.pack(matrixOf({ rows: 6, columns: 5, groupSize: 0 }, { code: () => 0, scale: () => 1 })),
    /rows must be a multiple of 4, got 6/,
  );
});

Deno.test("dense: five trits a byte, the first least significant, rows to whole bytes, then half-precision scales", () => {
  const codes = Int8Array.of(1, 0, 0, 0, -1, 1, -1);
  const bytes = packedFormats.dense.pack({ codes, scales: Float32Array.of(-1.5), rows: 1, columns: 7, groupSize: -1 });
  deepEqual([...bytes], [121 + 1 - 81, 121 + 1 - 3, 0x00, 0xbe]);
  throws(() => packedFormats.dense.unpack(bytes.with(0, 243), { rows: 1, columns: 7 }), /the byte 243, wanted at most 242/);
});

import fc from "fast-check";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { type TernaryMatrix, ternaryWeights } from "../../src/pack/format.ts";
import { groupCount } from "../../src/pack/groups.ts";
import { q2_0 } from "../../src/pack/q2_0.ts";

/** A matrix whose codes count up in base 3, and whose scales are 1, 2, 3, … */
function matrix(options: Partial<TernaryMatrix> = {}): TernaryMatrix {
  const { rows = 2, columns = 128, groupSize = 64 } = options;
  const codes = Int8Array.from({ length: rows * columns }, (_, i) => Math.floor(i / 3 ** (i % 4)) % 3 - 1);
  const scales = Float32Array.from({ length: groupCount({ rows, columns, groupSize }, "Cannot test") }, (_, group) => group + 1);
  return { codes, scales, rows, columns, groupSize, ...options };
}

Deno.test("q2_0 has the bytes of llama.cpp: a half-precision scale, then four weights a byte, lowest bits first", () => {
  const codes = new Int8Array(64);
  codes.set([-1, 0, 1, -1, 1, 1, 1, 1]);
  codes[63] = 1;
  const bytes = q2_0.pack({ codes, scales: Float32Array.of(-1.5), rows: 1, columns: 64, groupSize: 0 });
  deepEqual([...bytes], [0x00, 0xbe, 0b00_10_01_00, 0b10_10_10_10, ...new Array(13).fill(0b01_01_01_01), 0b10_01_01_01]);
});

Deno.test("q2_0 names its size", () => {
  deepEqual([q2_0.blockSize, q2_0.bitsPerWeight, q2_0.ggmlType], [64, 2.25, "Q2_0"]);
  deepEqual([0, -1, 64, 128, 192, 256].map(q2_0.holdsExactly), new Array(6).fill(true));
  deepEqual([-2, -64, 1, 32, 63, 65, 96, 0.5, NaN].map(q2_0.holdsExactly), new Array(9).fill(false));
});

Deno.test("q2_0 holds every four codes in every byte of a block", () => {
  for (let at = 0; at < 64; at += 4) {
    const codes = new Int8Array(81 * 64);
    for (let row = 0; row < 81; row++) {
      for (let j = 0; j < 4; j++) codes[row * 64 + at + j] = Math.floor(row / 3 ** j) % 3 - 1;
    }
    const shape = { rows: 81, columns: 64, groupSize: -1 };
    deepEqual(q2_0.unpack(q2_0.pack({ codes, scales: new Float32Array(81).fill(1), ...shape }), shape).codes, codes);
  }
});

Deno.test("q2_0 holds every finite half-precision scale to the bit", () => {
  const finite = new Float16Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer).filter(Number.isFinite);
  const shape = { rows: finite.length, columns: 64, groupSize: -1 };
  const packed = q2_0.pack({ codes: new Int8Array(finite.length * 64), scales: Float32Array.from(finite), ...shape });
  const { scales } = q2_0.unpack(packed, shape);
  equal(finite.length, 63488);
  ok(scales.every((scale, row) => Object.is(scale, finite[row])));
});

Deno.test("q2_0 gives back any matrix of any granularity, scales rounded to half precision", () => {
  const shapes = fc.record({
    rows: fc.integer({ min: 1, max: 5 }),
    groups: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom(0, -1, 64, 128, 192),
  });
  fc.assert(
    fc.property(
      shapes,
      fc.infiniteStream(fc.integer({ min: -1, max: 1 })),
      fc.infiniteStream(fc.float({ min: -60000, max: 60000, noNaN: true })),
      (
        { rows, groups, kind },
        codeStream,
        scaleStream,
      ) => {
        const shape = { rows, columns: groups * Math.max(kind, 64), groupSize: kind };
        const codes = Int8Array.from({ length: rows * shape.columns }, () => codeStream.next().value);
        const scales = Float32Array.from({ length: groupCount(shape, "Cannot test") }, () => scaleStream.next().value);
        const back = q2_0.unpack(q2_0.pack({ codes, scales, ...shape }), shape);
        deepEqual(back, { codes, scales: scales.map(Math.f16round), ...shape });
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});

Deno.test("unpacking in blocks gives the same weights", () => {
  for (const groupSize of [0, -1, 64, 128]) {
    const source = matrix({ groupSize });
    const blocks = q2_0.unpack(q2_0.pack(source), { rows: 2, columns: 128 });
    equal(blocks.groupSize, 64);
    deepEqual(ternaryWeights(blocks), ternaryWeights(source));
  }
});

const bad: [name: string, options: Partial<TernaryMatrix>, wanted: RegExp][] = [
  ["columns", { columns: 96, groupSize: -1 }, /Cannot pack ternary \[2,96\] as q2_0: columns must be a multiple of 64, got 96/],
  ["group size", { groupSize: 32 }, /group size 32 would lose scales, wanted 0 \(tensor\), -1 \(channel\), or a multiple of 64/],
  [
    "group size beyond the row",
    { groupSize: 192, scales: new Float32Array(2) },
    /in groups of 192: wanted 0, -1, or a divisor of 128/,
  ],
  ["code", { codes: new Int8Array(256).fill(2, 7, 8) }, /code 2 at 7, wanted -1, 0 or 1/],
  ["code count", { codes: new Int8Array(255) }, /wanted 256 codes, got 255/],
  ["scale count", { scales: new Float32Array(3) }, /wanted 4 scales for group size 64, got 3/],
  ["large scale", { scales: Float32Array.of(1, 2, 65520, 4) }, /the scale of group 2 is 65520, wanted at most 65504/],
  ["scale that is no number", { scales: Float32Array.of(1, NaN, 3, 4) }, /the scale of group 1 is NaN/],
];

for (const [name, options, wanted] of bad) {
  Deno.test(`q2_0 refuses a bad ${name}`, () =>
    throws(() => q2_0.pack({ ...matrix(options.columns ? { columns: 96, groupSize: -1 } : {}), ...options }), wanted));
}

Deno.test("q2_0 refuses bytes that are no such matrix", () => {
  const bytes = q2_0.pack(matrix());
  const shape = { rows: 2, columns: 128 };
  throws(() => q2_0.unpack(bytes.subarray(1), shape), /Cannot unpack ternary \[2,128\] from q2_0: wanted 72 bytes, got 71/);
  throws(() => q2_0.unpack(bytes, { rows: 2, columns: 100 }), /columns must be a multiple of 64, got 100/);
  throws(() => q2_0.unpack(bytes, { ...shape, groupSize: 32 }), /got group size 32, wanted 0/);
  throws(() => q2_0.unpack(bytes, { ...shape, groupSize: 128 }), /in groups of 128: group 0 has the scales 1 and 2, wanted one/);
  throws(() => q2_0.unpack(bytes.with(2, 0b11), shape), /weight 0 has code 3, which is not ternary/);
  throws(() => q2_0.unpack(bytes.with(1, 0x7c), shape), /the scale of block 0 is Infinity/);
});

/** Our bytes against llama.cpp's own quantizers and dequantizers. */

import { float32ToQ8_0, floatTypes, ggmlFloats } from "../../src/io/ggml_floats.ts";
import { type GgmlType, ggmlTypes } from "../../src/io/ggml_types.ts";
import { type TernaryMatrix, ternaryWeights } from "../../src/pack/format.ts";
import { packedFormats } from "../../src/pack/formats.ts";
import { deepEqual, equal } from "../assert.ts";
import { noLlamaCpp, openGgml } from "../support/llama_cpp.ts";
import { matrixOf, randoms } from "../support/ternary.ts";

const ggml = noLlamaCpp ? undefined : await openGgml();

function test(name: string, work: (library: NonNullable<typeof ggml>) => void): void {
  Deno.test({ name: noLlamaCpp ? `${name} (${noLlamaCpp})` : name, ignore: noLlamaCpp !== undefined, fn: () => work(ggml!) });
}

/** Matrices of this block size and every granularity; each block has a weight that is not zero. */
function* matrices(blockSize: number): Generator<TernaryMatrix> {
  const random = randoms(blockSize);
  for (let round = 0; round < 60; round++) {
    const [rows, blocks] = [1 + round % 5, 1 + round % 4];
    const columns = blocks * blockSize;
    yield matrixOf({ rows, columns, groupSize: [0, -1, blockSize, columns][round % 4] }, {
      code: (index) => index % blockSize === 3 ? 1 : Math.floor(3 * random()) - 1,
      scale: () => Math.exp(8 * random() - 6),
    });
  }
}

for (const name of ["tq1_0", "tq2_0", "q2_0", "q4_0"] as const) {
  const format = packedFormats[name];

  test(`llama.cpp reads our ${name} as the weights that we packed`, (library) => {
    for (const matrix of matrices(format.blockSize)) {
      const bytes = format.pack(matrix);
      const theirs = new Float32Array(matrix.codes.length);
      library[`dequantize_row_${name}`](bytes, theirs, BigInt(theirs.length));
      deepEqual(theirs, ternaryWeights(format.unpack(bytes, matrix)));
    }
  });

  test(`our ${name} is llama.cpp's own, byte for byte`, (library) => {
    for (const matrix of matrices(format.blockSize)) {
      const scales = matrix.scales.map(Math.f16round); // its quantizer takes the largest magnitude for the scale, so they agree on these
      const weights = ternaryWeights({ ...matrix, scales: name === "q4_0" ? scales.map((scale) => 8 * scale) : scales });
      const theirs = new Uint8Array(format.pack(matrix).length);
      library[`quantize_row_${name}_ref`](weights, theirs, BigInt(weights.length));
      const unpacked = name === "q4_0" ? fromTheirQ4_0(theirs, matrix) : theirs;
      deepEqual(unpacked, format.pack({ ...matrix, scales }));
    }
  });
}

/** Its Q4_0 divides a block's largest weight, here the first that is not zero, by -8: its trits lie at ±8, where 8 is cut to 7. */
function fromTheirQ4_0(bytes: Uint8Array<ArrayBuffer>, { codes }: TernaryMatrix): Uint8Array<ArrayBuffer> {
  const ours = bytes.slice();
  const view = new DataView(ours.buffer);
  for (let at = 0, start = 0; at < ours.length; at += 18, start += 32) {
    const sign = -Math.sign(codes.subarray(start, start + 32).find((code) => code !== 0)!);
    view.setFloat16(at, sign * view.getFloat16(at, true), true);
    const trit = (nibble: number) => 8 + sign * (nibble === 0 ? -1 : nibble === 15 ? 1 : 0);
    for (let j = 2; j < 18; j++) ours[at + j] = trit(ours[at + j] & 15) | trit(ours[at + j] >> 4) << 4;
  }
  return ours;
}

test("the sizes of ggml's types are ours", (library) => {
  const foreign = ["I2_S", "PQ2_0", "PTQ1_0"]; // of bitnet.cpp and Prism's fork
  for (const [name, { id, blockLength, blockBytes }] of Object.entries(ggmlTypes)) {
    if (foreign.includes(name)) continue;
    const theirName = new Deno.UnsafePointerView(library.ggml_type_name(id)!).getCString();
    deepEqual([theirName.toUpperCase(), library.ggml_blck_size(id), library.ggml_type_size(id)], [
      name,
      BigInt(blockLength),
      BigInt(blockBytes),
    ]);
  }
});

const quantized = { Q4_0: "q4_0", Q5_0: "q5_0", Q8_0: "q8_0", Q4_K: "q4_K", Q6_K: "q6_K" } as const;

for (const [type, name] of Object.entries(quantized)) {
  test(`${type} is read as llama.cpp reads it`, (library) => {
    const random = randoms(7);
    const values = Float32Array.from({ length: 7 * 256 }, () => (random() - 0.5) * Math.exp(6 * random() - 4));
    const { blockLength, blockBytes } = ggmlTypes[type as GgmlType];
    const bytes = new Uint8Array(values.length / blockLength * blockBytes);
    library[`quantize_row_${name}_ref`](values, bytes, BigInt(values.length));
    const theirs = new Float32Array(values.length);
    library[`dequantize_row_${name}`](bytes, theirs, BigInt(values.length));
    deepEqual(ggmlFloats(type as GgmlType, bytes), theirs);
    if (type === "Q8_0") deepEqual(float32ToQ8_0(values), bytes);
  });
}

test("every quantized float type is among those", () => {
  deepEqual(floatTypes.filter((type) => !["F32", "F64", "F16", "BF16"].includes(type)).sort(), Object.keys(quantized).sort());
  equal(ggmlFloats("TQ1_0", new Uint8Array(54)), undefined);
});

test("Q8_0 is written as llama.cpp writes it where rounding is hard", (library) => {
  const halves = Float32Array.from({ length: 32 * 256 }, (_, i) => i % 32 === 0 ? 127 : (i % 255 - 127) / 2);
  const small = Float32Array.from({ length: 64 }, (_, i) => i < 32 ? 0 : 1e-38 * (i - 40));
  for (const values of [halves, small]) {
    const bytes = new Uint8Array(values.length / 32 * 34);
    library.quantize_row_q8_0_ref(values, bytes, BigInt(values.length));
    deepEqual(float32ToQ8_0(values), bytes);
  }
});

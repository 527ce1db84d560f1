import fc from "fast-check";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { bytesOf, joinBytes } from "../../src/io/bytes.ts";
import { ggmlBytes, type GgmlType, ggmlTypeOf, ggmlTypes } from "../../src/io/ggml_types.ts";
import type { GgufMetadata, GgufTensor, GgufValue } from "../../src/io/gguf.ts";
import { parseGguf } from "../../src/io/gguf_reader.ts";
import { ggufStream, writeGguf } from "../../src/io/gguf_writer.ts";

const metadata: GgufMetadata = {
  "general.architecture": { type: "string", value: "llama" },
  u8: { type: "uint8", value: 255 },
  i8: { type: "int8", value: -128 },
  u16: { type: "uint16", value: 65535 },
  i16: { type: "int16", value: -32768 },
  u32: { type: "uint32", value: 2 ** 32 - 1 },
  i32: { type: "int32", value: -(2 ** 31) },
  f32: { type: "float32", value: 0.5 },
  f64: { type: "float64", value: Math.PI },
  u64: { type: "uint64", value: 2n ** 64n - 1n },
  i64: { type: "int64", value: -(2n ** 63n) },
  yes: { type: "bool", value: true },
  no: { type: "bool", value: false },
  text: { type: "string", value: "né\u0000 ▁" },
  empty: { type: "array", itemType: "string", value: [] },
  words: { type: "array", itemType: "string", value: ["", "a", "é"] },
  nested: { type: "array", itemType: "array", value: [{ type: "array", itemType: "int64", value: [-1n, 2n] }] },
};

const tensors: Record<string, GgufTensor> = {
  "token_embd.weight": { type: "F16", shape: [3, 5], bytes: new Uint8Array(30).fill(1) },
  "blk.0.attn_q.weight": { type: "Q2_0", shape: [2, 64], bytes: new Uint8Array(36).fill(2) },
  "output_norm.weight": { type: "F32", shape: [5], bytes: bytesOf(Float32Array.of(1, 2, 3, 4, 5)) },
  scalar: { type: "F32", shape: [], bytes: new Uint8Array(4) },
};

/** Little-endian bytes: numbers are uint32, bigints uint64, text has its length before it. */
function raw(...parts: (number | bigint | string)[]): Uint8Array<ArrayBuffer> {
  return joinBytes(parts.map((part) => {
    if (typeof part === "number") return bytesOf(Uint32Array.of(part));
    if (typeof part === "bigint") return bytesOf(BigUint64Array.of(part));
    const text = new TextEncoder().encode(part);
    return joinBytes([bytesOf(BigUint64Array.of(BigInt(text.length))), text]);
  }));
}

const magic = 0x46554747;

/** A file with one F32 tensor entry `fields` (after its name "t") and 64 bytes of data. */
function oneTensor(...fields: (number | bigint)[]): Uint8Array {
  const header = raw(magic, 3, 1n, 0n, "t", ...fields);
  return joinBytes([header, new Uint8Array(Math.ceil(header.length / 32) * 32 - header.length + 64)]);
}

Deno.test("metadata of every type and tensors come back as written", () => {
  const parsed = parseGguf(writeGguf(metadata, tensors));
  deepEqual({ ...parsed.metadata }, metadata);
  deepEqual(Object.keys(parsed.metadata), Object.keys(metadata));
  deepEqual([...parsed.tensors], Object.entries(tensors));
});

Deno.test("the bytes are those of the format", () => {
  const bytes = writeGguf({ k: { type: "uint32", value: 7 } }, {
    w: { type: "F32", shape: [1, 2], bytes: bytesOf(Float32Array.of(1, 2)) },
  });
  const header = raw(magic, 3, 1n, 1n, "k", 4, 7, "w", 2, 2n, 1n, 0, 0n);
  deepEqual(bytes.subarray(0, header.length), header);
  equal(bytes.length, 96 + 32);
  deepEqual(bytes.subarray(96, 104), bytesOf(Float32Array.of(1, 2)));
});

Deno.test("alignment follows general.alignment", async () => {
  for (const value of [1, 8, 64, 256]) {
    const aligned: GgufMetadata = { ...metadata, "general.alignment": { type: "uint32", value } };
    const bytes = writeGguf(aligned, tensors);
    for (const { bytes: data } of parseGguf(bytes).tensors.values()) equal(data.byteOffset % value, 0);
    const sources = Object.entries(tensors).map((
      [name, { bytes, ...type }],
    ) => [name, { ...type, pieces: () => [bytes.subarray(0, 1), bytes.subarray(1)] }]);
    deepEqual(joinBytes(await Array.fromAsync(ggufStream(aligned, Object.fromEntries(sources)))), bytes);
  }
  const odd: GgufMetadata = { "general.alignment": { type: "uint32", value: 24 } };
  throws(() => writeGguf(odd, {}), /Cannot write GGUF: general\.alignment is uint32 24, wanted a power of two as uint32/);
});

const notWritable: [name: string, metadata: GgufMetadata, tensors: Record<string, GgufTensor>, wanted: RegExp][] = [
  [
    "integer too large",
    { k: { type: "uint8", value: 256 } },
    {},
    /Cannot write metadata "k" as uint8: wanted a number from 0 to 255, got number 256/,
  ],
  ["fraction", { k: { type: "int32", value: 0.5 } }, {}, /as int32: .* got number 0\.5/],
  ["wide integer too large", { k: { type: "int64", value: 2n ** 63n } }, {}, /as int64: wanted a bigint/],
  ["wrong kind", { k: { type: "string", value: 5 } as unknown as GgufValue }, {}, /as string: wanted a string, got number 5/],
  ["wrong item", { k: { type: "array", itemType: "string", value: ["a", 1] } }, {}, /Cannot write metadata "k" as string/],
  [
    "bytes too short",
    {},
    { w: { type: "F32", shape: [2], bytes: new Uint8Array(4) } },
    /tensor "w": F32 \[2\] takes 8 bytes, got 4/,
  ],
  [
    "columns no multiple",
    {},
    { w: { type: "Q2_0", shape: [2, 65], bytes: new Uint8Array() } },
    /Q2_0 \[2,65\] must be a multiple of 64, got 65/,
  ],
  ["five axes", {}, { w: { type: "F32", shape: [1, 1, 1, 1, 1], bytes: new Uint8Array(4) } }, /5 axes, wanted at most 4/],
  [
    "long name",
    {},
    { ["w".repeat(64)]: { type: "F32", shape: [1], bytes: new Uint8Array(4) } },
    /a name of 64 bytes, wanted at most 63/,
  ],
];

for (const [name, values, entries, wanted] of notWritable) {
  Deno.test(`not writable: ${name}`, () => throws(() => writeGguf(values, entries), wanted));
}

const huge = 2n ** 63n;
const malformed: [name: string, bytes: Uint8Array, wanted: RegExp][] = [
  ["other magic", raw(0x12345678, 3, 0n, 0n), /Cannot read m\.gguf: wanted it to begin with "GGUF", it begins with 0x12345678/],
  ["version 1", raw(magic, 1, 0n, 0n), /version 1, wanted version 2 or 3/],
  ["big-endian", raw(magic, 0x03000000, 0n, 0n), /it is big-endian/],
  [
    "tensor count",
    raw(magic, 3, huge, 0n),
    /the tensor count of m\.gguf: 9223372036854775808 items .* do not fit in the 8 bytes left/,
  ],
  ["metadata count", raw(magic, 3, 0n, huge), /the metadata count of m\.gguf/],
  ["key length", raw(magic, 3, 0n, 1n, huge, 0n), /the length of metadata key 0/],
  ["value type", raw(magic, 3, 0n, 1n, "k", 13, 0n), /metadata "k" of m\.gguf: value type 13, wanted 0 to 12/],
  ["array length", raw(magic, 3, 0n, 1n, "k", 9, 8, huge, 0n), /the length of metadata "k"/],
  ["bool", raw(magic, 3, 0n, 1n, "k", 7, 2), /wanted a bool of 0 or 1, got 2/],
  ["key twice", raw(magic, 3, 0n, 2n, "k", 4, 1, "k", 4, 1, 0n), /metadata key "k" occurs twice/],
  [
    "deep arrays",
    raw(magic, 3, 0n, 1n, "k", 9, ...Array.from({ length: 20 }, () => [9, 1n]).flat()),
    /arrays nested deeper than 4/,
  ],
  ["no text", joinBytes([raw(magic, 3, 0n, 1n, 1n), new Uint8Array(20).fill(255)]), /wanted UTF-8 text/],
  ["alignment", raw(magic, 3, 0n, 1n, "general.alignment", 4, 3), /general\.alignment is uint32 3/],
  ["rank", oneTensor(5, 1n, 1n, 1n, 1n, 1n, 0, 0n), /tensor "t" of m\.gguf: 5 axes, wanted at most 4/],
  ["shape", oneTensor(2, huge, huge, 0, 0n), /tensor "t" of m\.gguf: shape .* is impossible/],
  ["ggml type", oneTensor(1, 1n, 999, 0n), /tensor "t" of m\.gguf: ggml type 999 is not known/],
  ["columns", oneTensor(1, 32n, 42, 0n), /Q2_0 \[32\] must be a multiple of 64, got 32/],
  ["unaligned", oneTensor(1, 1n, 0, 4n), /at byte 4 of the data, wanted an offset that is a multiple of 32/],
  ["span too long", oneTensor(1, 17n, 0, 0n), /F32 \[17\] takes 68 bytes at byte 0 of the data, which has only 64/],
  ["offset too far", oneTensor(1, 1n, 0, huge), /of the data, which has only 64/],
  [
    "overlap",
    joinBytes([raw(magic, 3, 2n, 0n, "a", 1, 16n, 0, 0n, "b", 1, 1n, 0, 32n), new Uint8Array(128)]),
    /tensor "b" of m\.gguf: .* at byte 32 of the data, but another tensor reaches to byte 64/,
  ],
  [
    "tensor twice",
    joinBytes([raw(magic, 3, 2n, 0n, "a", 1, 1n, 0, 0n, "a", 1, 1n, 0, 32n), new Uint8Array(128)]),
    /tensor "a" occurs twice/,
  ],
];

for (const [name, bytes, wanted] of malformed) {
  Deno.test(`malformed: ${name}`, () => throws(() => parseGguf(bytes, { source: "m.gguf" }), wanted));
}

Deno.test("every truncation is an error", () => {
  const bytes = writeGguf(metadata, tensors);
  const end = bytes.length - 28; // the last 28 bytes pad the last tensor
  for (let length = 0; length < end; length++) throws(() => parseGguf(bytes.subarray(0, length)), /Cannot read/);
  ok(parseGguf(bytes.subarray(0, end)));
});

Deno.test("damaged bytes give a result or a RangeError, quickly", () => {
  const bytes = writeGguf(metadata, tensors);
  const damage = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(damage, (changes) => {
      const damaged = bytes.slice();
      for (const [at, value] of changes) damaged[at] = value;
      try {
        parseGguf(damaged);
      } catch (error) {
        ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 2000, seed: 1 },
  );
});

Deno.test("ggml types are found by id, and blocks divide into bits", () => {
  const bitsPerWeight = Object.entries(ggmlTypes).map(([name, { id, blockLength, blockBytes }]) => {
    equal(ggmlTypeOf(id), name);
    equal(ggmlBytes(name as GgmlType, [3, 2 * blockLength], "it"), 6 * blockBytes + (name === "I2_S" ? 32 : 0));
    return [name, 8 * blockBytes / blockLength];
  });
  const { TQ1_0, TQ2_0, Q2_0, Q4_0, Q8_0, BF16 } = Object.fromEntries(bitsPerWeight);
  deepEqual([TQ1_0, TQ2_0, Q2_0, Q4_0, Q8_0, BF16], [1.6875, 2.0625, 2.25, 4.5, 8.5, 16]);
  equal(ggmlTypeOf(43), undefined);
});

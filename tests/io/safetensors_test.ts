import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";
import {
  parseSafetensors,
  type SafetensorsDType,
  safetensorsStream,
  tensorValues,
  writeSafetensors,
} from "../../src/io/safetensors.ts";

/** Values that each dtype holds exactly. */
const samples: Record<SafetensorsDType, number[]> = {
  F64: [Math.PI, -0.1, 1e300, 0],
  F32: [0.5, -3.25, 2 ** 100, 0],
  F16: [0.5, -3.25, 65504, 2 ** -24],
  BF16: [0.5, -3.25, 2 ** 100, 0],
  I64: [2 ** 53, -(2 ** 53), -1, 0],
  U64: [2 ** 53, 1, 2, 3],
  I32: [-(2 ** 31), 2 ** 31 - 1, -1, 0],
  U32: [2 ** 32 - 1, 1, 2, 3],
  I16: [-32768, 32767, -1, 0],
  U16: [65535, 1, 2, 3],
  I8: [-128, 127, -1, 0],
  U8: [255, 1, 2, 3],
  BOOL: [1, 0, 1, 1],
};
const dtypes = Object.keys(samples) as SafetensorsDType[];

/** A file with this header and `dataBytes` zeros. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({ dtype: "F32", shape, data_offsets: [begin, end] });

Deno.test("every dtype is written and read back exactly", () => {
  const tensors = Object.fromEntries(dtypes.map((dtype) => [`t.${dtype}`, { dtype, shape: [2, 2], data: samples[dtype] }]));
  const parsed = parseSafetensors(writeSafetensors(tensors, { about: "é", "0": "" }));
  deepEqual(parsed.metadata, { about: "é", "0": "" });
  for (const dtype of dtypes) {
    const entry = parsed.tensors.get(`t.${dtype}`)!;
    deepEqual([entry.dtype, entry.shape], [dtype, [2, 2]]);
    deepEqual([...tensorValues(entry)], samples[dtype]);
  }
});

Deno.test("tensors are aligned to their elements, whatever their order and names", () => {
  const bytes = writeSafetensors({
    b: { dtype: "U8", shape: [3], data: [1, 2, 3] },
    a: { dtype: "F16", shape: [1], data: [1] },
    z: { dtype: "F64", shape: [], data: [7] },
    empty: { dtype: "F32", shape: [0, 5], data: [] },
  });
  const { tensors } = parseSafetensors(bytes);
  equal(tensors.get("z")!.bytes.byteOffset % 8, 0);
  equal(tensors.get("a")!.bytes.byteOffset % 2, 0);
  deepEqual([...tensorValues(tensors.get("z")!)], [7]);
  deepEqual([...tensorValues(tensors.get("empty")!)], []);
});

Deno.test("the same tensors give the same bytes, also from what was read", () => {
  const a = { dtype: "F32", shape: [1], data: [1] } as const;
  const b = { dtype: "I64", shape: [1], data: [2] } as const;
  const bytes = writeSafetensors({ a, b }, { x: "1", y: "2" });
  deepEqual(writeSafetensors({ b, a }, { y: "2", x: "1" }), bytes);
  const { tensors, metadata } = parseSafetensors(bytes);
  deepEqual(writeSafetensors(Object.fromEntries(tensors), metadata), bytes);
});

Deno.test("the bytes are those of the format", () => {
  const header = '{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}';
  const bytes = writeSafetensors({ w: { dtype: "F32", shape: [1], data: [1] } });
  equal(bytes[0], 56);
  equal(new TextDecoder().decode(bytes.subarray(8, 64)), header.padEnd(56));
  deepEqual([...bytes.subarray(64)], [0, 0, 0x80, 0x3f]);
});

Deno.test("tensors at odd offsets are read too", () => {
  const bytes = file({ a: { dtype: "U8", shape: [1], data_offsets: [0, 1] }, b: f32(1, 9) }, 9);
  new DataView(bytes.buffer).setFloat32(bytes.length - 4, 2.5, true);
  deepEqual([...tensorValues(parseSafetensors(bytes).tensors.get("b")!)], [0, 2.5]);
});

const malformed: [name: string, bytes: Uint8Array, wanted: RegExp][] = [
  ["too short", new Uint8Array(5), /wanted at least 8 bytes, got 5/],
  ["header longer than the file", file("{}", 0).fill(255, 0, 8), /header of 18446744073709551615 bytes, wanted at most 2/],
  ["no JSON", file("{x", 0), /Cannot read the header of m\.st: /],
  ["no object", file("[]", 0), /wanted a JSON object/],
  ["truncated data", file({ a: f32(0, 8) }, 4), /tensor "a" of m\.st: its span \[0,8\] ends after the 4 bytes of data/],
  ["trailing data", file({ a: f32(0, 8) }, 9), /1 bytes at its end belong to no tensor/],
  [
    "overlap",
    file({ a: f32(0, 8), b: f32(4, 12) }, 12),
    /tensor "b" of m\.st: its span \[4,12\] overlaps another, which ends at 8/,
  ],
  ["gap", file({ a: f32(0, 4), b: f32(8, 12) }, 12), /tensor "b" .* leaves a gap: wanted it to begin at 4/],
  [
    "span reversed",
    file({ a: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }, 4),
    /data_offsets \[4,0\], wanted \[begin, end\]/,
  ],
  ["span missing", file({ a: { dtype: "F32", shape: [1] } }, 4), /data_offsets undefined, wanted/],
  [
    "unknown dtype",
    file({ a: { dtype: "Q4", shape: [1], data_offsets: [0, 4] } }, 4),
    /tensor "a" .* dtype "Q4", wanted one of F64, /,
  ],
  ["inherited dtype", file({ a: { dtype: "toString", shape: [], data_offsets: [0, 4] } }, 4), /dtype "toString"/],
  ["shape mismatch", file({ a: f32(0, 4, [2]) }, 4), /tensor "a" .* F32 \[2\] takes 8 bytes, its span \[0,4\] has 4/],
  ["negative length", file({ a: f32(0, 4, [-1]) }, 4), /shape \[-1\], wanted a list of whole numbers/],
  ["entry that is no object", file({ a: 3 }, 0), /tensor "a" .* dtype undefined/],
  [
    "name twice",
    file('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0),
    /"a" twice/,
  ],
  ["metadata no strings", file({ __metadata__: { a: 1 } }, 0), /__metadata__ of m\.st: wanted an object of strings/],
];

for (const [name, bytes, wanted] of malformed) {
  Deno.test(`malformed: ${name}`, () => throws(() => parseSafetensors(bytes, { source: "m.st" }), wanted));
}

Deno.test("every truncation of a good file is an error", () => {
  const bytes = writeSafetensors({ a: { dtype: "F32", shape: [3], data: [1, 2, 3] }, b: { dtype: "U8", shape: [1], data: [1] } });
  for (let length = 0; length < bytes.length; length++) throws(() => parseSafetensors(bytes.subarray(0, length)), /Cannot read/);
});

Deno.test("integers beyond 2^53 are refused, not rounded", () => {
  const bytes = new Uint8Array(new BigInt64Array([2n ** 53n + 1n]).buffer);
  throws(() => tensorValues({ dtype: "I64", shape: [1], bytes }), /Cannot hold 9007199254740993 in a number/);
});

Deno.test("writing checks lengths and names", () => {
  throws(
    () => writeSafetensors({ a: { dtype: "F32", shape: [2], data: [1] } }),
    /Cannot write tensor "a": F32 \[2\] takes 8 bytes, got 4/,
  );
  throws(() => writeSafetensors({ __metadata__: { dtype: "U8", shape: [0], data: [] } }), /the format keeps that name/);
});

Deno.test("files written by PyTorch's safetensors are read", () => {
  const folder = new URL("../golden/", import.meta.url);
  const files = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name.endsWith(".safetensors"));
  ok(files.length > 0, `wanted .safetensors files in ${folder}`);
  for (const name of files) {
    const { tensors, metadata } = parseSafetensors(Deno.readFileSync(new URL(name, folder)), { source: name });
    ok(metadata.about.length > 0 && tensors.size > 0);
    for (const entry of tensors.values()) equal(tensorValues(entry).length, entry.shape.reduce((a, b) => a * b, 1));
  }
});

Deno.test("tensors that are read one at a time give the same bytes", async () => {
  const tensors = { b: { dtype: "F32", shape: [2], data: [1, 2] }, a: { dtype: "F16", shape: [3], data: [1, 2, 3] } } as const;
  let reading = 0;
  const source = ({ data, ...type }: (typeof tensors)[keyof typeof tensors]) => ({
    ...type,
    async *pieces() {
      equal(++reading, 1, "one at a time");
      const { bytes } = parseSafetensors(writeSafetensors({ x: { ...type, data } })).tensors.get("x")!;
      await Promise.resolve();
      yield bytes.subarray(0, 1);
      yield bytes.subarray(1);
      reading--;
    },
  });
  const chunks = await Array.fromAsync(safetensorsStream({ a: source(tensors.a), b: source(tensors.b) }, { format: "pt" }));
  deepEqual(chunks.flatMap((chunk) => [...chunk]), [...writeSafetensors(tensors, { format: "pt" })]);
  const short = safetensorsStream({ a: { dtype: "F32", shape: [3], pieces: () => [new Uint8Array(8)] } });
  await rejects(() => Array.fromAsync(short), /Cannot write tensor "a": F32 \[3\] takes 12 bytes, got 8/);
});

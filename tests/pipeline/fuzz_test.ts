/** Damaged files: an error that says what is wrong, never a crash, and never more memory than the file's size explains. */

import { parseGguf } from "../../src/io/gguf_reader.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { gzip } from "../../src/io/gzip.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack, type PackOptions } from "../../src/pipeline/pack.ts";
import { ok } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { randoms } from "../support/ternary.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";

/** Numbers that counts, lengths and offsets are overwritten with. */
const hard = [
  0n,
  1n,
  3n,
  0xffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 33n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Milliseconds that one file may take, and bytes that the process may grow by over all. */
const limits = { milliseconds: 5000, bytes: 600e6 };

/** A copy with one to four damages, most of them where the header is. */
function damaged(bytes: Uint8Array<ArrayBuffer>, headerBytes: number, random: () => number): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit);
  let copy = bytes.slice();
  for (let count = 1 + below(4); count > 0; count--) {
    const at = below(random() < 0.8 ? Math.min(headerBytes, copy.length) : copy.length);
    const kind = below(10);
    if (kind < 4) copy[at] = below(256);
    else if (kind < 6) copy[at] ^= 1 << below(8);
    else if (kind < 8 && at + 8 <= copy.length) new DataView(copy.buffer).setBigUint64(at, hard[below(hard.length)], true);
    else if (kind === 8) copy = copy.slice(0, at);
    else copy = Uint8Array.of(...copy.subarray(0, at), ...copy.subarray(at + below(9)));
    if (copy.length === 0) return copy;
  }
  return copy;
}

/** Whether an error is one of ours, about the file. */
function isAboutTheFile(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.message.startsWith("Cannot ") && !error.message.startsWith("Cannot read properties");
}

/** Opens so many damaged files. Returns how many were refused. */
async function fuzz(
  { bytes, headerBytes, runs }: { readonly bytes: Uint8Array<ArrayBuffer>; readonly headerBytes: number; readonly runs: number },
  open: (bytes: Uint8Array) => unknown,
): Promise<number> {
  const random = randoms(runs);
  const before = Deno.memoryUsage().rss;
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    const file = damaged(bytes, headerBytes, random);
    const start = performance.now();
    try {
      await open(file);
    } catch (error) {
      refused++;
      ok(isAboutTheFile(error), `file ${run}: ${(error as Error)?.stack ?? error}`);
    }
    ok(performance.now() - start < limits.milliseconds, `file ${run} took ${performance.now() - start} ms`);
  }
  const grown = Deno.memoryUsage().rss - before;
  ok(grown < limits.bytes, `grown by ${grown} bytes`);
  return refused;
}

const model = {
  ...tinyModel({ layers: 1, hiddenSize: 32, intermediateSize: 64, heads: 2, keyValueHeads: 1, headDim: 16 }),
  quantization: { quantizer: "hestia", groupSize: 32 },
};

const kinds: { readonly name: string; readonly options: PackOptions; readonly runs: number }[] = [
  { name: "GGUF", options: { format: "q4_0", embeddings: "q8_0" }, runs: deep ? 24_000 : 300 },
  { name: "dense", options: { format: "dense" }, runs: deep ? 24_000 : 300 },
];

for (const { name, options, runs } of kinds) {
  Deno.test(`${runs} damaged ${name} files are opened or refused`, async () => {
    const bytes = await pack(model, options);
    const headerBytes = name === "GGUF"
      ? bytes.length - dataBytes(bytes)
      : 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const refused = await fuzz({ bytes, headerBytes, runs }, (file) => openPacked(file));
    ok(refused > 0.4 * runs && refused < runs, `${refused} of ${runs} refused`);
  });
}

function dataBytes(bytes: Uint8Array): number {
  return [...parseGguf(bytes).tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
}

Deno.test("damaged compressed files are opened or refused", async () => {
  const bytes = gzip(await pack(model, { format: "dense" }));
  const runs = deep ? 4000 : 100;
  const refused = await fuzz({ bytes, headerBytes: bytes.length, runs }, (file) => openPacked(file));
  ok(refused > 0.4 * runs);
});

Deno.test("damaged safetensors headers are read or refused", async () => {
  const bytes = await pack(model, { format: "dense" });
  const headerBytes = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const runs = deep ? 24_000 : 500;
  ok(await fuzz({ bytes, headerBytes, runs }, (file) => parseSafetensors(file)) > 0.4 * runs);
});

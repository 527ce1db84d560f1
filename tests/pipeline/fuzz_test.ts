/** Damaged files: an error that says what is wrong, never a crash, and never more memory than the file's size explains. */

import { parseGguf } from "../../src/io/gguf_reader.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { gzip } from "../../src/io/gzip.ts";
import { openPacked } from "../../src/pipeline/open_packed.ts";
import { pack, type PackOptions } from "../../src/pipeline/pack.ts";
import { ok } from "../assert.ts";
import { damaged, fuzz } from "../support/fuzz.ts";
import { tinyModel } from "../support/models.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";

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
    const refused = await fuzz({ runs, make: (random) => damaged(bytes, headerBytes, random) }, (file) => openPacked(file));
    ok(refused > 0.4 * runs && refused < runs, `${refused} of ${runs} refused`);
  });
}

function dataBytes(bytes: Uint8Array): number {
  return [...parseGguf(bytes).tensors.values()].reduce((sum, tensor) => sum + tensor.bytes.length, 0);
}

Deno.test("damaged compressed files are opened or refused", async () => {
  const bytes = gzip(await pack(model, { format: "dense" }));
  const runs = deep ? 20_000 : 100;
  const refused = await fuzz({ runs, make: (random) => damaged(bytes, bytes.length, random) }, (file) => openPacked(file));
  ok(refused > 0.4 * runs);
});

Deno.test("damaged safetensors headers are read or refused", async () => {
  const bytes = await pack(model, { format: "dense" });
  const headerBytes = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const runs = deep ? 24_000 : 500;
  ok(await fuzz({ runs, make: (random) => damaged(bytes, headerBytes, random) }, (file) => parseSafetensors(file)) > 0.4 * runs);
});

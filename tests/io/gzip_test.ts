import { crc32, gunzip, gzip } from "../../src/io/gzip.ts";
import { gunzipModel } from "../../src/io/gzip_model.ts";
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { deepEqual, equal, match, ok, throws } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const source = "m.gz";

Deno.test("the checksum is CRC-32", () => {
  equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926); // the check value of the standard
  equal(crc32(new Uint8Array(0)), 0);
});

Deno.test("no bit of a compressed file may be another, but those that say nothing of its content", () => {
  const content = sampleText(499);
  const bytes = gzip(content);
  deepEqual(gunzip(bytes, { source }), content);
  let refused = 0;
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = bytes.with(bit >> 3, bytes[bit >> 3] ^ 1 << (bit & 7));
    try {
      deepEqual(gunzip(damaged, { source }), content, `bit ${bit}`); // what says nothing of the content, such as the time
    } catch (error) {
      match(String(error), /^RangeError: Cannot read m\.gz: /, `bit ${bit}`);
      refused++;
    }
  }
  ok(refused > 0.8 * 8 * bytes.length, `${refused}`);
});

Deno.test("compressed models are refused by their headers before so much memory is taken as they promise", () => {
  const data = new Float32Array(20_011);
  const honest = writeSafetensors({ x: { dtype: "F32", shape: [data.length], data } });
  deepEqual(gunzipModel(gzip(honest), { source }), honest);
  const bombs: [string, Uint8Array, RegExp][] = [
    ["zeros", new Uint8Array(64e6), /it begins with 0x0/],
    ["a model, and zeros", new Uint8Array(64e6 + honest.length), /\d+ bytes at its end belong to no tensor/],
  ];
  bombs[1][1].set(honest);
  for (const [name, content, message] of bombs) {
    const bomb = gzip(content);
    const before = Deno.memoryUsage().external;
    throws(() => gunzipModel(bomb, { source }), message, name);
    const taken = Deno.memoryUsage().external - before;
    ok(taken < 32e6, `${name}: ${taken} bytes`);
  }
});

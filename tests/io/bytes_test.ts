import { deepEqual, equal, throws } from "../assert.ts";
import { alignUp, ByteReader, bytesOf, ByteWriter, joinBytes, viewAs } from "../../src/io/bytes.ts";
import { duplicateKey, parseJsonObject } from "../../src/io/json.ts";

Deno.test("viewAs() shares aligned bytes and copies the others", () => {
  const bytes = new Uint8Array([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
  const shared = viewAs(bytes.subarray(4), Uint32Array<ArrayBuffer>);
  equal(shared.buffer, bytes.buffer);
  deepEqual([...shared], [1, 2]);
  deepEqual([...viewAs(bytes.subarray(3, 11), Uint32Array<ArrayBuffer>)], [256, 512]);
  deepEqual(bytesOf(shared), bytes.subarray(4));
});

Deno.test("a writer's bytes read back as they were written", () => {
  const writer = new ByteWriter();
  writer.int(-2, 1);
  writer.int(-3, 2);
  writer.int(0xfffffffc, 4);
  writer.int64(-5n);
  writer.float(1.5, 4);
  writer.float(Math.PI, 8);
  writer.bytes(new Uint8Array(3000).fill(7));
  writer.align(64);
  const reader = new ByteReader(writer.finish(), "it");
  deepEqual([reader.int(1, "a"), reader.int(2, "b"), reader.int(4, "c"), reader.int64("d")], [-2, -3, -4, -5n]);
  deepEqual([reader.float(4, "e"), reader.float(8, "f"), reader.take(3000, "g")[2999]], [1.5, Math.PI, 7]);
  deepEqual([...reader.take(reader.remaining, "padding")], new Array(alignUp(3027, 64) - 3027).fill(0));
});

Deno.test("a reader names what is missing and never believes a count", () => {
  const reader = new ByteReader(new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 1, 2]), "x.bin");
  throws(() => reader.count(8, "the tokens"), /Cannot read the tokens of x\.bin: 18446744073709551615 items of at least 8 bytes/);
  throws(() => reader.take(3, "the rest"), /Cannot read the rest of x\.bin: wanted 3 bytes at byte 8, only 2 are left/);
  throws(
    () => new ByteReader(new Uint8Array([255]), "x.bin").text(1, "a name"),
    /Cannot read a name of x\.bin: wanted UTF-8 text/,
  );
});

Deno.test("joinBytes() concatenates", () => {
  deepEqual(joinBytes([new Uint8Array([1]), new Uint8Array(), new Uint8Array([2, 3])]), new Uint8Array([1, 2, 3]));
});

Deno.test("parseJsonObject() refuses what is no object", () => {
  deepEqual(parseJsonObject('{"a":1}', "Cannot read it"), { a: 1 });
  for (const text of ["[1]", "null", "7", "{", ""]) {
    throws(() => parseJsonObject(text, "Cannot read it"), /^SyntaxError: Cannot read it: /);
  }
});

Deno.test("duplicateKey() finds a repeated key of the top level only", () => {
  equal(duplicateKey('{"a": {"b": 1, "b": 2}, "c": ["a", {"a": 1}], "d": "a\\": {"}'), undefined);
  equal(duplicateKey('{"a": 1, "b" : {}, "\\u0061": 2}'), "a");
});

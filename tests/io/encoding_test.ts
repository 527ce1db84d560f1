import { decodeUtf8, Utf8Decoder } from "../../src/io/encoding.ts";
import { equal, rejects, throws } from "../assert.ts";
import { readText } from "../../src/cli/files.ts";

const text = "The café by the sea. ".repeat(7);
const utf8 = new TextEncoder().encode(text);
const bytes = (...parts: (number[] | Uint8Array)[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const latin1 = Uint8Array.from(text, (character) => character.codePointAt(0)!);

/** A text in units of so many bytes. */
function wide(units: number, littleEndian: boolean): Uint8Array {
  const out = new DataView(new ArrayBuffer(text.length * units));
  [...text].forEach((character, at) => {
    const code = character.codePointAt(0)!;
    if (units === 2) out.setUint16(at * 2, code, littleEndian);
    else out.setUint32(at * 4, code, littleEndian);
  });
  return new Uint8Array(out.buffer);
}

const kana = [0x82, 0xb1, 0x82, 0xf1, 0x82, 0xc9, 0x82, 0xbf, 0x82, 0xcd]; // こんにちは in Shift-JIS
const hangul = [0xbe, 0xc8, 0xb3, 0xe7, 0xc7, 0xcf, 0xbc, 0xbc, 0xbf, 0xe4]; // 안녕하세요 in EUC-KR
const damaged = utf8.slice();
damaged[60] = 0xff;

const foreign: [name: string, content: Uint8Array, looksLike: string][] = [
  ["Latin-1", latin1, "Latin-1 (ISO 8859-1)"],
  ["Windows-1252", bytes([0x93], latin1, [0x94]), "Windows-1252"],
  ["UTF-16 with a mark", bytes([0xff, 0xfe], wide(2, true)), "UTF-16 (little-endian)"],
  ["UTF-16, the other way", bytes([0xfe, 0xff], wide(2, false)), "UTF-16 (big-endian)"],
  ["UTF-16 without a mark", wide(2, true), "UTF-16 (little-endian)"],
  ["UTF-16 without a mark, the other way", wide(2, false), "UTF-16 (big-endian)"],
  [
    "UTF-16 of nothing but ASCII, which is UTF-8 with zeros",
    bytes(...[..."not a sea"].map((c) => [c.charCodeAt(0), 0])),
    "UTF-16 (little-endian)",
  ],
  ["UTF-32", bytes([0xff, 0xfe, 0, 0], wide(4, true)), "UTF-32 (little-endian)"],
  ["UTF-32 without a mark", wide(4, false), "UTF-32 (big-endian)"],
  ["Shift-JIS", bytes(kana, kana, kana), "Shift-JIS"],
  ["EUC-KR", bytes(hangul, hangul), "EUC-KR"],
  ["gzip", bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0]), "a gzip file"],
  ["one wrong byte", damaged, "UTF-8 that is damaged at byte 60"],
  ["a cut", utf8.subarray(0, 8), "UTF-8 that ends inside a character"],
];

for (const [name, content, looksLike] of foreign) {
  Deno.test(`a text that is not UTF-8 is refused by what it looks like: ${name}`, () => {
    const message = `Cannot read "notes.txt" as text: it looks like ${looksLike}, wanted UTF-8`;
    throws(() => decodeUtf8(content, { source: '"notes.txt"' }), { name: "EncodingError", message });
  });
}

Deno.test("a byte-order mark is dropped, wherever the pieces end, and no other character is", () => {
  equal(decodeUtf8(bytes([0xef, 0xbb, 0xbf], utf8), { source: "x" }), text);
  for (const cut of [1, 2, 3, 4, 12]) {
    const decoder = new Utf8Decoder("x");
    const whole = bytes([0xef, 0xbb, 0xbf], utf8, [0xef, 0xbb, 0xbf]);
    equal(decoder.push(whole.subarray(0, cut)) + decoder.push(whole.subarray(cut)) + decoder.end(), `${text}\ufeff`);
  }
  equal(decodeUtf8(new Uint8Array(0), { source: "x" }), "");
});

Deno.test("a wrong byte far inside a stream is named by its place in the file", () => {
  const decoder = new Utf8Decoder("x");
  decoder.push(utf8);
  throws(() => decoder.push(damaged), new RegExp(`damaged at byte ${utf8.length + 60}, wanted UTF-8`));
  const late = bytes(new Uint8Array(100_000).fill(0x61), latin1);
  throws(() => decodeUtf8(late, { source: "x" }), /looks like Latin-1/);
});

Deno.test("a command reads texts in UTF-8 only", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeFile(path, bytes([0xef, 0xbb, 0xbf], utf8));
    equal(await readText(path, "corpus"), text);
    await Deno.writeFile(path, latin1);
    const message = `cannot read the corpus ${path}: it looks like Latin-1 (ISO 8859-1), wanted UTF-8`;
    await rejects(readText(path, "corpus"), { name: "UsageError", message });
  } finally {
    await Deno.remove(path);
  }
});

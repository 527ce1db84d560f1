import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer, type TokenizerJson } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok, rejects, strictEqual, throws } from "../assert.ts";

const texts = [
  "",
  "Call me Ishmael. Some years ago—never mind how long precisely—",
  "  two spaces,\ttabs,\r\nlines\n\n and 0123456789 don't we'll",
  "naïve café, Ærøskøbing, ñandú",
  "日本語 한국어 العربية עברית",
  "emoji 🐋🇯🇵👩‍🚀 and \u0000 \u007f \u00a0 \u00ad \ufeff",
];

/** A byte-level tokenizer with one merge: not our layout any more. */
const merged = ((): TokenizerJson => {
  const json = byteTokenizer.toJSON();
  const vocab = { ...json.model?.vocab, wh: 256 };
  return { ...json, model: { ...json.model, vocab, merges: [["w", "h"]] } };
})();

Deno.test("bytes are ids, and text comes back", () => {
  deepEqual([...byteTokenizer.encode("né")], [110, 195, 169]);
  for (const text of texts) equal(byteTokenizer.decode(byteTokenizer.encode(text)), text);
  equal(byteTokenizer.decode([0xff, 0x41]), "\ufffdA");
  for (const id of [256, -1, 0.5, NaN]) {
    throws(() => byteTokenizer.decode([id]), new RegExp(`a whole number from 0 to 255, got ${id}`));
  }
});

Deno.test("tokenizer.json lists GPT-2's symbols by byte", () => {
  const vocabulary = byteTokenizer.toJSON().model?.vocab ?? {};
  deepEqual([vocabulary["A"], vocabulary["Ġ"], vocabulary["Ċ"], vocabulary["Ń"], vocabulary["ÿ"]], [65, 32, 10, 173, 255]);
  deepEqual(Object.values(vocabulary).sort((a, b) => a - b), Array.from({ length: 256 }, (_, byte) => byte));
});

Deno.test("loadTokenizer() knows the byte layout by its content", async () => {
  strictEqual(await loadTokenizer(JSON.parse(JSON.stringify(byteTokenizer.toJSON()))), byteTokenizer);
  ok(await loadTokenizer(merged) !== byteTokenizer);
  const shifted = byteTokenizer.toJSON();
  const vocab = Object.fromEntries(Object.entries(shifted.model?.vocab ?? {}).map(([symbol, id]) => [symbol, (id + 1) % 256]));
  ok(await loadTokenizer({ ...shifted, model: { ...shifted.model, vocab } }) !== byteTokenizer);
  const prefixed = { ...byteTokenizer.toJSON(), pre_tokenizer: { type: "ByteLevel", add_prefix_space: true } };
  deepEqual([...(await loadTokenizer(prefixed)).encode("a")], [32, 97]);
});

Deno.test("any other tokenizer.json is read as it is", async () => {
  const tokenizer = await loadTokenizer(merged);
  equal(tokenizer.vocabularySize, 257);
  deepEqual([...tokenizer.encode("whale")], [256, 97, 108, 101]);
  for (const text of texts) equal(tokenizer.decode(tokenizer.encode(text)), text);
  deepEqual(tokenizer.toJSON(), merged);
});

for (const [name, load] of [["bytes", () => byteTokenizer], ["a tokenizer.json", () => loadTokenizer(merged)]] as const) {
  Deno.test(`streaming ${name} gives whole characters as soon as they are there`, async () => {
    const tokenizer = await load();
    const stream = tokenizer.stream();
    deepEqual([...tokenizer.encode("né🐋")].map((id) => stream.push(id)), ["n", "", "é", "", "", "", "🐋"]);
    equal(stream.end(), "");
    for (const text of texts) {
      const stream = tokenizer.stream();
      equal([...tokenizer.encode(text)].map((id) => stream.push(id)).join("") + stream.end(), text);
    }
    const cut = tokenizer.stream();
    equal(cut.push(0xf0) + cut.end(), "\ufffd");
  });
}

Deno.test("loadTokenizer() refuses what is no tokenizer.json", async () => {
  for (const json of [null, 3, {}, { model: null }, { model: { vocab: 3 } }]) {
    await rejects(loadTokenizer(json), { name: "TypeError", message: /tokenizer\.json/ });
  }
});

import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { tokenizerPool } from "../../src/tokenizer/pool.ts";
import { loadTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";

const json = ((): ReturnType<typeof byteTokenizer.toJSON> => {
  const bytes = byteTokenizer.toJSON();
  const added = { id: 257, content: "<s>", special: true };
  return {
    ...bytes,
    added_tokens: [added],
    model: { ...bytes.model, vocab: { ...bytes.model?.vocab, wh: 256 }, merges: ["w h"] },
  };
})();

/** Texts of every length, so that they are sent in several batches, a long one among them. */
const texts = [...Array.from({ length: 700 }, (_, i) => "what <s>é".repeat(i % 97)), "wh".repeat(300_000), ""];

Deno.test("a pool gives the ids of one tokenizer, in the order of the texts", async () => {
  using pool = tokenizerPool(json, { workers: 3, parseSpecial: true });
  const tokenizer = await loadTokenizer(json);
  let at = 0;
  for await (const ids of pool.encodeAll(texts)) deepEqual(ids, tokenizer.encode(texts[at++], { parseSpecial: true }));
  equal(at, texts.length);
});

Deno.test("two lots of texts share a pool, and texts are taken as results are asked for", async () => {
  using pool = tokenizerPool(byteTokenizer.toJSON(), { workers: 2 });
  let taken = 0;
  async function* endless(): AsyncGenerator<string> {
    for (;; taken++) yield "x".repeat(50_000);
  }
  const lots = [pool.encodeAll(endless()), pool.encodeAll(endless())];
  for (const lot of lots) equal((await lot.next()).value?.length, 50_000);
  ok(taken <= 2 * 3 * 2 * 2, `${taken} texts were taken for two results`); // three make a batch
  for (const lot of lots) await lot.return();
});

Deno.test("what fails in a worker is raised where the ids are awaited", async () => {
  using pool = tokenizerPool({ model: { type: "BPE" } }, { workers: 1 });
  await rejects(async () => await pool.encodeAll(["a"]).next(), { message: /Cannot load a tokenizer: .*model\.vocab/ });
  pool.close();
  await rejects(async () => await pool.encodeAll(["a"]).next(), { message: /Cannot encode: the pool of tokenizers is closed/ });
  throws(() => tokenizerPool(json, { workers: 0 }), { name: "RangeError", message: /Cannot start 0 workers/ });
});

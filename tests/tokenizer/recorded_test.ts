import { createHash } from "node:crypto";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { askPeer } from "../support/peers.ts";
import { variedTexts } from "../support/varied_texts.ts";
import { ggufKinds, recordedKinds } from "../support/tokenizers.ts";
import { digestLength, digestOf, type Recorded } from "./recorded.ts";

const recorded: Recorded = JSON.parse(await Deno.readTextFile(new URL("recorded.json", import.meta.url)));
const texts = variedTexts(1500);

const digestAt = (digests: string, at: number): string => digests.slice(at * digestLength, (at + 1) * digestLength);

for (const [name, make] of Object.entries(recordedKinds)) {
  Deno.test(`${name}: ids and text are those of the implementation in Rust, streamed too`, async () => {
    const json = make();
    const digest = createHash("sha256").update(JSON.stringify(json)).digest("hex").slice(0, 16);
    equal(digest, recorded[name].json, "another tokenizer than the recorded one: record again (record.ts)");
    const tokenizer = await loadTokenizer(json);
    for (const [at, text] of texts.entries()) {
      const ids = tokenizer.encode(text, { parseSpecial: true, addSpecial: true });
      equal(digestOf(ids), digestAt(recorded[name].ids, at), `ids of ${JSON.stringify(text)}: ${ids}`);
      const decoded = tokenizer.decode(ids);
      equal(digestOf(decoded), digestAt(recorded[name].texts, at), `text of ${JSON.stringify(text)}: ${JSON.stringify(decoded)}`);
      const stream = tokenizer.stream();
      equal(Array.from(ids, (id) => stream.push(id)).join("") + stream.end(), decoded);
    }
  });
}

/** Ids by npm `@huggingface/tokenizers`, of every text and kind. */
const second = await (async (): Promise<Record<string, string[]>> => {
  const kinds = Object.fromEntries(
    Object.entries({ bytes: byteTokenizer.toJSON, ...ggufKinds }).map(([name, make]) => [name, make()]),
  );
  const path = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(path, JSON.stringify({ kinds, texts }));
    return JSON.parse(new TextDecoder().decode(await askPeer("ids_by_huggingface", [path])));
  } finally {
    await Deno.remove(path);
  }
})();

/** What that implementation does otherwise: U+0085 is no white space to it, U+FEFF is, and digits are those of ASCII. */
const faults: Readonly<Record<string, RegExp>> = { bytes: /^\b$/, smollm: /[\u0085\ufeff]|(?![0-9])\p{N}/u };
const faultsOfAll = /[\u0085\ufeff]/;

for (const [name, ids] of Object.entries(second)) {
  Deno.test(`${name}: ids are those of a second implementation, but for its known faults`, async () => {
    const tokenizer = name === "bytes" ? byteTokenizer : await loadTokenizer(recordedKinds[name]());
    const differing = texts.filter((text, at) => {
      return ids[at] !== tokenizer.encode(text, { parseSpecial: true, addSpecial: true }).join(" ");
    });
    deepEqual(differing.filter((text) => !(faults[name] ?? faultsOfAll).test(text)), []);
    ok(differing.length < 75, `${differing.length} of ${texts.length} texts differ`);
  });
}

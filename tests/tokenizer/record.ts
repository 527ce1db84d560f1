/**
 * Writes `recorded.json`: what Hugging Face's own tokenizers, the library in Rust that Python uses, makes of the texts that the tests try.
 * It comes from npm for every platform at once, 64 MB, which is why it is no dependency.
 *
 *     deno run -A --no-lock tests/tokenizer/record.ts
 *
 * @module
 */

import { createHash } from "node:crypto";
import { recordedKinds } from "../support/tokenizers.ts";
import { variedTexts } from "../support/varied_texts.ts";
import { digestOf, type Recorded } from "./recorded.ts";

/** What is used of the library. */
interface Library {
  readonly Tokenizer: {
    fromString(json: string): {
      encode(text: string, pair: null, options: { readonly addSpecialTokens: boolean }): Promise<{ getIds(): number[] }>;
      decode(ids: readonly number[], skipSpecial: boolean): Promise<string>;
    };
  };
}

const specifier = "npm:tokenizers@0.23.2"; // not written in the import, so that nobody else fetches it
const { Tokenizer } = await import(specifier) as Library;

const kinds: Recorded = {};
for (const [name, make] of Object.entries(recordedKinds)) {
  const json = JSON.stringify(make());
  const tokenizer = Tokenizer.fromString(json);
  const ids: string[] = [];
  const texts: string[] = [];
  for (const text of variedTexts(1500)) {
    const encoded = (await tokenizer.encode(text, null, { addSpecialTokens: true })).getIds();
    ids.push(digestOf(encoded));
    texts.push(digestOf(await tokenizer.decode(encoded, false)));
  }
  kinds[name] = { json: createHash("sha256").update(json).digest("hex").slice(0, 16), ids: ids.join(""), texts: texts.join("") };
}
await Deno.writeTextFile(new URL("recorded.json", import.meta.url), JSON.stringify(kinds, null, 1) + "\n");

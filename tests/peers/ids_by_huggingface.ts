/**
 * Ids of texts by npm `@huggingface/tokenizers`: of a file `{ kinds: { NAME: tokenizer.json }, texts: [...] }` prints, by name, the ids of
 * each text, joined by spaces.
 */

import { Tokenizer } from "@huggingface/tokenizers";

const { kinds, texts }: { kinds: Record<string, object>; texts: string[] } = JSON.parse(await Deno.readTextFile(Deno.args[0]));
const encoded = Object.entries(kinds).map(([name, json]) => {
  const tokenizer = new Tokenizer(json, {});
  return [name, texts.map((text) => tokenizer.encode(text).ids.join(" "))];
});
const bytes = new TextEncoder().encode(JSON.stringify(Object.fromEntries(encoded)));
for (let written = 0; written < bytes.length;) written += await Deno.stdout.write(bytes.subarray(written));

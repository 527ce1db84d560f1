/**
 * How fast texts become ids, by kind of tokenizer, in megabytes a second of CPU time of one core: English as one text and as paragraphs,
 * code and other scripts, and texts that are one long word. The tokenizers are small (512 tokens), so words have more parts than usual.
 */

import { loadTokenizer } from "../mod.ts";
import { loadCorpus } from "../src/cli/corpus.ts";
import { table } from "../src/cli/table.ts";
import { ggufKinds } from "../tests/support/tokenizers.ts";
import { variedTexts } from "../tests/support/varied_texts.ts";
import { scriptMilliseconds } from "./clock.ts";

const english = await loadCorpus("moby-dick");
const texts: Readonly<Record<string, readonly string[]>> = {
  "English": [english],
  "paragraphs": english.split("\n\n"),
  "mixed": variedTexts(4000, 5),
  "a word of 1 MB": ["whale".repeat(200_000)],
  "1 MB of spaces": [" ".repeat(1_000_000)],
};

/** Best of three, in megabytes a second. */
function rate(encode: (text: string) => unknown, list: readonly string[]): number {
  const bytes = list.reduce((sum, text) => sum + new TextEncoder().encode(text).length, 0);
  const times = Array.from({ length: 3 }, () => {
    const start = scriptMilliseconds();
    for (const text of list) encode(text);
    return scriptMilliseconds() - start;
  });
  return bytes / 1000 / Math.min(...times);
}

let report = ""; // of the last batch: Deno repeats a bench as often as it likes

Deno.bench("tokenizers", { n: 1, warmup: 0 }, async () => {
  const rows: { readonly kind: string; readonly megabytesPerSecond: Record<string, number> }[] = [];
  for (const [kind, make] of Object.entries(ggufKinds)) {
    const tokenizer = await loadTokenizer(make());
    const rates = Object.entries(texts).map(([name, list]) => [name, rate((text) => tokenizer.encode(text), list)]);
    rows.push({ kind, megabytesPerSecond: Object.fromEntries(rates) });
  }
  const names = Object.keys(texts);
  const cells = rows.map(({ kind, megabytesPerSecond }) => [kind, ...names.map((name) => megabytesPerSecond[name].toFixed(1))]);
  report = `\nMB/s\n${table(["kind", ...names], cells)}\n${JSON.stringify({ bench: "tokenizers", rows })}`;
});

globalThis.addEventListener("unload", () => console.log(report));

import { schemaMarkdown } from "../../src/cli/schema.ts";
import { configFields } from "../../src/llama/config_fields.ts";
import { familyNames } from "../../src/llama/families.ts";
import { ggufFields } from "../../src/llama/gguf_fields.ts";
import { equal, ok } from "../assert.ts";

Deno.test("the printed tables have every field that the readers know, and say of each what is understood", () => {
  const text = schemaMarkdown();
  const rows = text.split("\n").filter((line) => line.startsWith("| `"));
  for (const name of [...Object.keys(configFields("llama")), ...Object.keys(ggufFields("llama")), ...familyNames]) {
    ok(rows.some((row) => row.startsWith(`| \`${name}\` |`)), name);
  }
  for (const row of rows) {
    const cells = row.split(/(?<!\\)\|/).slice(1, -1);
    ok(cells.every((cell) => cell.trim() !== ""), row);
  }
  ok(rows.includes("| `model.layers.N.self_attn.q_norm.weight` | `blk.N.attn_q_norm.weight` |"));
  ok(text.includes('| `hidden_act` | function of the gate in the feed-forward layers | "silu" |'));
  equal(text.includes("undefined"), false);
});

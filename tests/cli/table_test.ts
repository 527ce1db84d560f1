import { formatBytes, formatSeconds, table } from "../../src/cli/table.ts";
import { columnsOf } from "../../src/cli/progress_line.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";

Deno.test("table() aligns words to the left and numbers to the right", () => {
  const rows = [["full precision", "1.69", 12], ["packed", "10.75", 3]];
  equal(
    table(["model", "loss", "bytes"], rows),
    [
      "model            loss  bytes",
      "──────────────  ─────  ─────",
      "full precision   1.69     12",
      "packed          10.75      3",
    ].join("\n"),
  );
});

Deno.test("a table that would be too wide has a heading of several lines, then leaves out the middle of long names", () => {
  const heading = ["model", "held-out loss (nats)", "perplexity", "bytes", "bits per weight"];
  equal(
    table(heading, [["rounded without training", "1.8", "6.1", "339.5 KiB", "2.25"]]),
    [
      "                            held-out loss                               bits per",
      "model                              (nats)  perplexity      bytes          weight",
      "────────────────────────  ───────────────  ──────────  ─────────  ──────────────",
      "rounded without training              1.8         6.1  339.5 KiB            2.25",
    ].join("\n"),
  );
  const name = "model.layers.11.self_attn.down_proj.weight";
  const six = ["tensor", "trace", "standard error", "score", "temperature scale", "standard error of it"];
  for (let extra = 0; extra < 40; extra++) {
    const wide = table(six, [[
      "数据".repeat(extra) + name.repeat(2),
      "1.234",
      "12345678.12",
      "0.500",
      "0.778",
      "0.0100",
    ]]);
    const lines = wide.split("\n");
    ok(lines.every((line) => columnsOf(line) <= 80), wide);
    match(lines.at(-1)!, /^\S*…\S*weight +1\.234 +12345678\.12 +0\.500 +0\.778 +0\.0100$/);
  }
});

Deno.test("bytes and seconds read well", () => {
  deepEqual([0, 1023, 1536, 3 * 2 ** 20].map(formatBytes), ["0 B", "1023 B", "1.5 KiB", "3.0 MiB"]);
  deepEqual([0.84, 42.4, 59.6, 185, 7799, NaN].map(formatSeconds), [
    "0.8 s",
    "42 s",
    "1 min 00 s",
    "3 min 05 s",
    "2 h 09 min",
    "–",
  ]);
});

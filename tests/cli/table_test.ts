import { formatBytes, formatSeconds, table } from "../../src/cli/table.ts";
import { deepEqual, equal } from "../assert.ts";

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

import { closing, gapText, shellWord } from "../../src/cli/summary.ts";
import { deepEqual, equal } from "../assert.ts";

Deno.test("what training made of the loss by rounding is said so that it reads well, whichever way it went", () => {
  const loss = (lossNats: number) => ({ lossNats, perplexity: Math.exp(lossNats) });
  const text = (fullPrecision: number, rounded: number, quantized: number) =>
    gapText({ fullPrecision: loss(fullPrecision), rounded: loss(rounded), quantized: loss(quantized) }, "full precision");
  deepEqual([text(2, 2.5, 2.25), text(2, 2.5, 1.75), text(2, 2.5, 2.75), text(2, 2.005, 1.9), text(2, 1.9, 1.9)], [
    "rounding costs 0.5000 nats, and training wins back 50.0 % of it",
    "rounding costs 0.5000 nats; training wins back all of it, and 0.2500 nats more than full precision had: it learned on meanwhile",
    "rounding costs 0.5000 nats, and training adds 0.2500 nats to that",
    "rounding alone costs 0.0050 nats: too little to tell what training wins back of it",
    "rounding alone costs nothing here, so there is nothing to win back",
  ]);
});

Deno.test("a command ends with what it wrote and what may be typed next, as a shell takes it", () => {
  equal(closing({ written: ["a", "b"], next: ["c"] }), "written  a\n         b\nnext     c");
  deepEqual(["runs/a.gguf", "my model", "it's", "a@b"].map(shellWord), ["runs/a.gguf", "'my model'", "'it'\\''s'", "a@b"]);
});

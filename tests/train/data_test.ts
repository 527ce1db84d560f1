import { type Batch, batchAt, batches, splitTokens, windows } from "../../src/train/data.ts";
import { deepEqual, equal, notDeepEqual, ok, throws } from "../assert.ts";

const tokens = Uint32Array.from({ length: 1000 }, (_, index) => index);
const size = { batchSize: 4, sequenceLength: 16 };

/** Token at the start of each row: with tokens that count up, the place it was cut from. */
const starts = ({ inputs, shape: [rows, length] }: Batch): number[] =>
  Array.from({ length: rows }, (_, row) => inputs[row * length]);

Deno.test("targets are the tokens after the inputs, and rows are contiguous", () => {
  const { inputs, targets, shape } = batchAt(tokens, { ...size, seed: 3, step: 5 });
  deepEqual(shape, [4, 16]);
  inputs.forEach((token, at) => equal(targets[at], token + 1));
  inputs.forEach((token, at) => equal(token, inputs[at - at % 16] + at % 16));
});

Deno.test("a batch depends on seed and step alone, so that resuming is exact", () => {
  const fromStart = batches(tokens, { ...size, seed: 1 });
  const first = Array.from({ length: 8 }, () => fromStart.next().value);
  const resumed = batches(tokens, { ...size, seed: 1, start: 5 });
  for (const batch of first.slice(5)) deepEqual(resumed.next().value, batch);
  deepEqual(batchAt(tokens, { ...size, seed: 1, step: 2 }), first[2]);
  notDeepEqual(batchAt(tokens, { ...size, seed: 2, step: 2 }), first[2]);
  notDeepEqual(first[0], first[1]);
});

Deno.test("places are uniform over the text, the last window included", () => {
  const seen = new Float64Array(10);
  const places = new Set<number>();
  const short = tokens.subarray(0, 26);
  for (let step = 0; step < 1000; step++) {
    for (const start of starts(batchAt(short, { ...size, seed: 9, step }))) {
      seen[start]++;
      places.add(start);
    }
  }
  equal(places.size, 10); // starts 0 to 9: 26 tokens, 17 in a window with its last target
  const chiSquared = seen.reduce((sum, count) => sum + (count - 400) ** 2 / 400, 0);
  ok(chiSquared < 27.9, `chi-squared ${chiSquared} of 9 degrees of freedom: 27.9 is exceeded once in a thousand`);
});

Deno.test("windows() goes through the text once, in order", () => {
  const all = [...windows(tokens, size)];
  equal(all.length, 15); // 62 windows of 16 tokens: 15 batches of 4
  deepEqual(all.flatMap(starts), Array.from({ length: 60 }, (_, row) => row * 16));
  equal([...windows(tokens, { ...size, limit: 2 })].length, 2);
  deepEqual([...windows(tokens.subarray(0, 40), size)].map(starts), [[0, 16]]);
  deepEqual([...windows(tokens.subarray(0, 17), size)].map(starts), [[0]]);
});

Deno.test("sizes, seeds and steps are whole numbers", () => {
  const tokens = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
  const good = { batchSize: 1, sequenceLength: 3, seed: 1, step: 0 };
  const wrong = { batchSize: [1.5, NaN], sequenceLength: [2.5, NaN], seed: [-1, 2 ** 32, NaN, 0.5], step: [-1, 1.5, NaN] };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      throws(() => batchAt(tokens, { ...good, [name]: value }), new RegExp(`Cannot cut a batch by the ${name} ${value}: wanted`));
    }
  }
  throws(() => [...windows(tokens, { batchSize: 1.5, sequenceLength: 3 })], /batchSize 1\.5: wanted a whole number/);
});

Deno.test("splitTokens() holds out the end", () => {
  const { training, heldOut } = splitTokens(tokens, 0.1);
  deepEqual([training.length, heldOut.length, heldOut[0]], [900, 100, 900]);
  equal(training.buffer, tokens.buffer);
  throws(() => splitTokens(tokens, 1.5), { message: "Cannot split tokens: heldOutFraction must be from 0 to 1, got 1.5" });
});

Deno.test("a text shorter than one sequence is refused", () => {
  const message = "Cannot cut 4 sequences of 16 tokens: wanted at least one of each and a text of at least 17 tokens, got 16";
  throws(() => batchAt(tokens.subarray(0, 16), { ...size, seed: 0, step: 0 }), { name: "RangeError", message });
  throws(() => [...windows(tokens.subarray(0, 16), size)], { name: "RangeError" });
});

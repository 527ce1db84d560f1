import { mixture, permuted } from "../../src/data/order.ts";
import { deepEqual, equal, ok } from "../assert.ts";

Deno.test("a permutation meets every place once, and is another for each seed and epoch", () => {
  for (const size of [1, 2, 3, 7, 64, 65, 1000, 4097]) {
    const order = (seed: number, epoch: number) =>
      Array.from({ length: size }, (_, place) => permuted(place, size, { seed, epoch }));
    for (const [seed, epoch] of [[0, 0], [1, 0], [0, 1], [2 ** 32 - 1, 7]]) {
      equal(new Set(order(seed, epoch)).size, size);
      ok(order(seed, epoch).every((place) => place >= 0 && place < size));
    }
    if (size < 60) continue;
    ok(String(order(0, 0)) !== String(order(1, 0)) && String(order(0, 0)) !== String(order(0, 1)));
  }
});

Deno.test("a permutation looks random: places and their successors are uniform, also where numbers exceed 32 bits", () => {
  const [size, cells] = [997, 10];
  const seen = new Float64Array(cells * cells);
  for (let seed = 0; seed < 40; seed++) {
    for (let place = 0; place + 1 < size; place++) {
      const [a, b] = [place, place + 1].map((each) => Math.floor(permuted(each, size, { seed, epoch: 3 }) * cells / size));
      seen[a * cells + b]++;
    }
  }
  const expected = 40 * (size - 1) / cells ** 2;
  const chiSquared = seen.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  ok(chiSquared < 149, `chi-squared ${chiSquared} of 99 degrees of freedom: 149 is exceeded once in a thousand`);
  const huge = 2 ** 40 + 12345;
  const drawn = Array.from({ length: 2000 }, (_, place) => permuted(place, huge, { seed: 1, epoch: 0 }));
  equal(new Set(drawn).size, 2000);
  const mean = drawn.reduce((sum, place) => sum + place / huge, 0) / 2000;
  ok(Math.abs(mean - 0.5) < 4 * Math.sqrt(1 / 12 / 2000), `mean ${mean}`);
});

Deno.test("draws are shared out by weight, evenly, and each source counts its own on", () => {
  for (const weights of [[0.7, 0.3], [3, 1, 1, 2.5], [1, 1e-9, 1], [5]]) {
    const draw = mixture(weights);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const taken = weights.map(() => 0);
    const steps = 3 * 65536 + 17;
    for (let step = 0; step < steps; step++) {
      const { source, index } = draw(step);
      equal(index, taken[source]++);
      if (step % 5003 !== 0) continue;
      const off = weights.map((weight, each) => Math.abs(taken[each] - (step + 1) * weight / total));
      ok(Math.max(...off) <= weights.length + 3, `after ${step + 1} draws: ${taken}`);
    }
    deepEqual(draw(steps - 1), mixture(weights)(steps - 1));
  }
});

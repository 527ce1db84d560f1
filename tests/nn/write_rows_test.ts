import { compile, gradients, randomNormal, type Tensor, tensor } from "../../mod.ts";
import { writeRows } from "../../src/nn/write_rows.ts";
import { deepEqual, equal } from "../assert.ts";
import { programOf } from "../support/compiler.ts";

const [batch, heads, length, width] = [2, 3, 5, 6];

/** What a cache holds after rows were written. */
function expected(cache: ArrayLike<number>, fresh: ArrayLike<number>, { tokens, position }: Record<string, number>): number[] {
  return Array.from({ length: cache.length }, (_, i) => {
    const [head, row, column] = [Math.floor(i / width / length), Math.floor(i / width) % length, i % width];
    const token = row - position;
    return token >= 0 && token < tokens ? fresh[(head * tokens + token) * width + column] : cache[i];
  });
}

const rows = (tokens: number, seed: number) => randomNormal([batch, heads, tokens, width], { seed });
const at = (position: number) => tensor(Uint32Array.of(position), { shape: [] });

for (const donate of [["cache"], []] as const) {
  Deno.test(`rows are written over a cache that is ${donate.length > 0 ? "donated" : "kept"}, and those beyond its end are lost`, async () => {
    const write = compile(
      ({ cache, fresh, position }) => writeRows(cache, fresh, position),
      { donate: [...donate] },
    );
    for (const [tokens, position] of [[1, 0], [1, 4], [3, 1], [3, 4], [5, 0], [1, 5]]) {
      const [cache, fresh] = [rows(length, 1), rows(tokens, 2)];
      const [before, news] = [[...await cache.data()], [...await fresh.data()]];
      const result = write({ cache, fresh, position: at(position) }) as Tensor;
      deepEqual([...await result.data()], expected(before, news, { tokens, position }));
      if (donate.length === 0) deepEqual([...await cache.data()], before);
    }
  });
}

Deno.test("rows are written from the layout that they have, and over a cache that something else reads as well", async () => {
  const given = rows(length, 1);
  const wide = randomNormal([batch, 2, heads, 2 * width], { seed: 2 }); // tokens before heads, half of each row
  const step = compile(({ cache, wide, position }) => {
    const fresh = wide.transpose([0, 2, 1, 3]).slice([0, 0, 0, width], [batch, heads, 2, 2 * width]);
    return { written: writeRows(cache, fresh, position), double: cache.mul(2), fresh };
  }, { donate: ["cache"] });
  const before = [...await given.data()];
  const { written, double, fresh } = step({ cache: given, wide, position: at(2) });
  deepEqual([...await double.data()], before.map((value) => 2 * value));
  deepEqual([...await written.data()], expected(before, await fresh.data(), { tokens: 2, position: 2 }));
});

Deno.test("nothing is copied where a cache is donated", () => {
  const [cache, fresh] = [rows(length, 1), rows(1, 2)];
  const labels = (donated: readonly Tensor[]) =>
    programOf([writeRows(cache, fresh, at(1))], donated).dispatches.map(({ label }) => label);
  equal(labels([cache]).at(-1), "write_rows");
  equal(labels([cache]).includes("copy"), false);
  deepEqual(labels([]).slice(-2), ["copy", "write_rows"]);
});

Deno.test("rows written over others have derivatives", async () => {
  const [cache, fresh] = [rows(length, 1), rows(2, 2)];
  const [ofCache, ofFresh] = gradients(writeRows(cache, fresh, at(1)).square().sum(), [cache, fresh]);
  const [c, f] = [await cache.data(), await fresh.data()];
  const kept = expected(c, new Float32Array(f.length), { tokens: 2, position: 1 });
  deepEqual([...await ofCache.data()], kept.map((value) => 2 * value));
  deepEqual([...await ofFresh.data()], Array.from(f, (value) => 2 * value));
});

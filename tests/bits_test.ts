import { tensor, useBackend } from "../mod.ts";
import { packBfloat16, packFloat16, unpackBfloat16, unpackFloat16 } from "../src/bits.ts";
import { bfloat16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../src/io/float16.ts";
import { deepEqual, ok } from "./assert.ts";
import { noise } from "./support/numbers.ts";

/** Ordinary numbers, ties of both kinds, the ends of the range, and what is no number. */
const special = [0, -0, 1, -1.00390625, 1.01171875, 1 / 3, 3.4e38, -3.4028234663852886e38, 1e-38, Infinity, -Infinity, NaN];
const values = (length: number) => Float32Array.from(noise(length, { seed: 3, low: -9, high: 9 }), (x, k) => special[k] ?? x);
const words = (bits: Uint16Array) =>
  new Uint32Array(Uint16Array.from({ length: bits.length + bits.length % 2 }, (_, k) => bits[k]).buffer);

for (const backend of ["webgpu", "reference"] as const) {
  Deno.test(`bfloat16 is packed two to a word, as files hold it, to the bit (${backend})`, async () => {
    await useBackend(backend);
    for (const shape of [[1], [7], [3, 5], [64], [2, 129]]) {
      const x = values(shape.reduce((a, b) => a * b));
      const packed = packBfloat16(tensor(x, { shape }));
      deepEqual([...await packed.data()], [...words(float32ToBfloat16(x))], `[${shape}]`);
      deepEqual([...await unpackBfloat16(packed, shape).data()], [...bfloat16ToFloat32(float32ToBfloat16(x))], `[${shape}]`);
    }
  });

  Deno.test(`float16 is packed two to a word, as files hold it, to the bit (${backend})`, async () => {
    await useBackend(backend);
    const halves = [
      65504,
      65519,
      65520,
      -1e30,
      2 ** -14,
      2 ** -14 - 2 ** -26,
      2 ** -24,
      -3e-8,
      2.9e-8,
      6.1e-5,
      1.0004883,
      0.99975586,
    ];
    for (const shape of [[1], [13], [3, 5], [64], [2, 129]]) {
      const x = values(shape.reduce((a, b) => a * b)).map((value, k) =>
        value === 1e-38 ? 0 : halves[k - special.length] ?? value
      );
      const packed = await packFloat16(tensor(x, { shape })).data();
      deepEqual([...packed], [...words(float32ToFloat16(x))], `[${shape}]`);
    }
  });

  Deno.test(`float16 is unpacked from files (${backend})`, async () => {
    await useBackend(backend);
    const x = Float32Array.from(noise(13, { seed: 5, low: -2, high: 2 }));
    const bits = float32ToFloat16(x);
    const halves = tensor(words(bits));
    deepEqual([...await unpackFloat16(halves, [13]).data()], [...new Float16Array(bits.buffer)]);
  });
}

Deno.test("stochastic rounding is right on average, leaves what is exact, and depends on the seed", async () => {
  await useBackend("webgpu");
  const x = 1 + 0.3 / 128; // between two neighbours in bfloat16, at three tenths
  const rounded = (seed: number) =>
    unpackBfloat16(packBfloat16(tensor(new Float32Array(20_001).fill(x)), { seed }), [20_001]).data();
  const [first, again, other] = [await rounded(1), await rounded(1), await rounded(2)];
  deepEqual([...new Set(first)].sort(), [1, 1 + 1 / 128]);
  const mean = [...first].reduce((sum, value) => sum + value, 0) / first.length;
  ok(Math.abs(mean - x) < 4 * Math.sqrt(0.21 / first.length) / 128, `mean ${mean}, wanted ${x}`);
  deepEqual([...again], [...first]);
  ok(other.some((value, index) => value !== first[index]));
  const exact = Float32Array.of(0, -0, 1, -1.5, Infinity, -Infinity);
  deepEqual([...await unpackBfloat16(packBfloat16(tensor(exact), { seed: 9 }), [6]).data()], [...exact]);
});

import { deepEqual, equal } from "../assert.ts";
import { bfloat16ToFloat32, FLOAT16_MAX, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../src/io/float16.ts";

const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** Value of a pattern with `exponentBits` and `fractionBits`, by the definition of IEEE 754. */
function valueOf(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = bits >> fractionBits & (1 << exponentBits) - 1;
  const fraction = (bits & (1 << fractionBits) - 1) / (1 << fractionBits);
  const bias = (1 << exponentBits - 1) - 1;
  if (exponent === (1 << exponentBits) - 1) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - bias) : fraction * 2 ** (1 - bias));
}

const formats = [
  { name: "F16", exponentBits: 5, fractionBits: 10, decode: float16ToFloat32, encode: float32ToFloat16 },
  { name: "BF16", exponentBits: 8, fractionBits: 7, decode: bfloat16ToFloat32, encode: float32ToBfloat16 },
];

for (const { name, exponentBits, fractionBits, decode, encode } of formats) {
  Deno.test(`${name}: every pattern decodes to its value and back`, () => {
    const values = decode(patterns);
    const back = encode(values);
    for (let bits = 0; bits < 65536; bits++) {
      const wanted = valueOf(bits, exponentBits, fractionBits);
      if (!Object.is(values[bits], wanted)) equal(values[bits], wanted, `pattern ${bits}`);
      if (!Number.isNaN(wanted) && back[bits] !== bits) equal(back[bits], bits);
    }
    equal(decode(encode([NaN])).every(Number.isNaN), true);
  });

  Deno.test(`${name}: rounds to nearest, ties to even`, () => {
    const step = 2 ** -fractionBits;
    const inputs = [1 + 0.5 * step, 1 + 1.5 * step, 1 + 0.51 * step, 1 + 0.49 * step, -1 - 1.5 * step];
    deepEqual([...decode(encode(inputs))], [1, 1 + 2 * step, 1 + step, 1, -1 - 2 * step]);
  });
}

Deno.test("F16 overflows to infinity from 65520, BF16 at the top of float32", () => {
  deepEqual([...float16ToFloat32(float32ToFloat16([FLOAT16_MAX, 65519, 65520, -1e9]))], [65504, 65504, Infinity, -Infinity]);
  deepEqual([...bfloat16ToFloat32(float32ToBfloat16([3.4e38, -Infinity]))], [Infinity, -Infinity]);
});

Deno.test("views at an odd element of a buffer decode as they are", () => {
  deepEqual([...float16ToFloat32(float32ToFloat16([1, 2, 3]).subarray(1))], [2, 3]);
});

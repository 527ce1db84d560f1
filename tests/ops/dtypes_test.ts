import {
  arange,
  full,
  randomBits,
  randomNormal,
  randomSigns,
  randomUniform,
  type Tensor,
  tensor,
  useBackend,
  zeros,
} from "../../mod.ts";
import type { Backend } from "../../src/backend/backend.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { agree, onBoth, read } from "../support/backends.ts";
import { noise } from "../support/numbers.ts";

const int32 = (...numbers: number[]) => tensor(new Int32Array(numbers));
const uint32 = (...numbers: number[]) => tensor(new Uint32Array(numbers));

/** What both backends must give, exactly. */
const exact: Record<string, [f: () => Tensor, wanted: number[]]> = {
  "int32 sums wrap around": [() => int32(2147483647, -2147483648).add(int32(1, -1)), [-2147483648, 2147483647]],
  "int32 products wrap around": [() => int32(65536, 46341, -3).mul(int32(65536, 46341, 5)), [0, -2147479015, -15]],
  "uint32 differences wrap around": [() => uint32(0, 5).sub(uint32(1, 2)), [4294967295, 3]],
  "uint32 products wrap around": [() => uint32(4294967295, 747796405).mul(uint32(4294967295, 3)), [1, 2243389215]],
  "int32 quotients truncate": [() => int32(7, -7, 7).div(int32(2, 2, -2)), [3, -3, -3]],
  "a quotient by zero is the dividend": [() => int32(7, -7).div(int32(0, 0)), [7, -7]],
  "a quotient by a constant zero is the dividend": [() => uint32(7, 9).div(0), [7, 9]],
  "uint32 quotients truncate": [() => uint32(4294967295, 9).div(uint32(2, 10)), [2147483647, 0]],
  "int32 negation wraps around": [() => int32(5, -2147483648).neg(), [-5, -2147483648]],
  "uint32 negation wraps around": [() => uint32(5, 0).neg(), [4294967291, 0]],
  "int32 magnitude and sign": [() => int32(-5, 0, 4).abs().mul(int32(-5, 0, 4).sign()), [-5, 0, 4]],
  "uint32 magnitude and sign": [() => uint32(5, 0).abs().add(uint32(5, 0).sign()), [6, 0]],
  "integers compare": [() => int32(-1, 1).less(int32(1, -1)).add(uint32(4294967295, 1).less(uint32(1, 2))), [1, 1]],
  "integers have extremes": [() => int32(-1, 1).maximum(int32(-2, 2)).minimum(int32(0, 1)), [-1, 1]],
  "sum of int32": [() => int32(2147483647, 1, -5).sum(), [2147483643]],
  "sum of uint32": [() => uint32(4294967295, 2).sum(), [1]],
  "max of negative int32": [() => int32(-7, -3, -2147483648).max(), [-3]],
  "max of uint32": [() => uint32(3, 4294967295).max(), [4294967295]],
  "integers gather": [() => int32(-7, 8, 9).gather(uint32(2, 0, 3)), [9, -7, 0]],
  "integers pad": [() => int32(-7).pad([1], [1]), [0, -7, 0]],
  "floats cast toward zero": [() => tensor([-1.9, 1.9, 0.5]).cast("int32"), [-1, 1, 0]],
  "floats beyond int32 saturate at a float32": [() => tensor([-3e9, 3e9, 1e20]).cast("int32"), [
    -2147483648,
    2147483520,
    2147483520,
  ]],
  "floats beyond uint32 saturate at a float32": [() => tensor([-1.5, 5e9]).cast("uint32"), [0, 4294967040]],
  "integers keep their bits in a cast": [() => int32(-1, 5).cast("uint32"), [4294967295, 5]],
  "uint32 casts to float": [() => uint32(4294967040, 3).cast("float32"), [4294967040, 3]],
  "constants compute": [() => full([2], 7, "uint32").mul(1_000_000_007).add(uint32(1, 2)), [2705032754, 2705032755]],
  "constants shift": [() => full([1], 3, "uint32").shiftLeft(31), [2147483648]],
  "positions compute": [() => arange([2, 3], { axis: 0, dtype: "int32" }).sub(1), [-1, -1, -1, 0, 0, 0]],
};

Deno.test("integers are exact on both backends", async () => {
  const cases = Object.entries(exact);
  const { expected, actual } = await onBoth(() => cases.map(([, [f]]) => f()));
  const report = (results: typeof actual) => Object.fromEntries(cases.map(([says], index) => [says, [...results[index]]]));
  const wanted = Object.fromEntries(cases.map(([says, [, numbers]]) => [says, numbers]));
  deepEqual(report(expected), wanted, "reference");
  deepEqual(report(actual), wanted, "webgpu");
});

Deno.test("constant expressions that overflow are computed, not rejected", async () => {
  const line = (value: number) => full([3], value);
  await agree(() => ({
    infinity: line(1).div(0),
    logarithm: line(0).log(),
    exponential: line(1000).exp(),
    root: line(-1).sqrt(),
    undefined: line(0).div(line(0)),
    "given infinity": line(-Infinity).maximum(tensor([1, -2, 3])),
    "negative zero": tensor([1, -1, 2]).div(line(-0)),
    "empty mean": zeros([0]).mean(),
  }));
});

Deno.test("float16 stores halves and computes in float32", async () => {
  await agree(() => {
    const numbers = tensor(noise(37, { low: -70, high: 70 }));
    const half = numbers.mul(0.37).cast("float16");
    const stored = tensor([0.1, 65504, 6e-8, -2.0009765625], { dtype: "float16" });
    equal(half.mul(1).dtype, "float32");
    equal(half.reshape([37, 1]).dtype, "float16");
    return {
      half,
      stored,
      sum: half.sum(),
      product: half.mul(half),
      "odd slice": half.slice([3], [8]),
      transpose: half.slice([1]).reshape([4, 9]).transpose(),
      rows: half.reshape([37, 1]).gather(uint32(3, 36, 99)),
      "a constant": full([5], 0.1, "float16").cast("float32"),
      "where and compare": half.less(stored.slice([0], [1])).where(half, 0),
    };
  });
});

Deno.test("numbers are rounded to float16 though nobody stores them so", async () => {
  const special = [NaN, Infinity, -Infinity, 65519.99, 65520, -0, 2 ** -25, 3 * 2 ** -25, -(2 ** -14) * (1 - 2 ** -12), 3e38];
  const scrambled = Array.from({ length: 20_000 }, (_, i) => Math.sin(i) * 2 ** (i % 44 - 28));
  const numbers = Float32Array.from([...special, ...scrambled]);
  const wanted = numbers.map((x) => Math.f16round(x));
  deepEqual(await tensor(numbers).cast("float16").cast("float32").data(), wanted);
  deepEqual(await tensor(numbers).reshape([-1, 1]).cast("float16").mul(2).data(), wanted.map((x) => 2 * x));
});

Deno.test("float16 rounds to nearest, ties to even, and takes two bytes where the device has it", async () => {
  const info = await useBackend("webgpu") as Backend;
  const halves = tensor([1 + 2 ** -11, 1 + 3 * 2 ** -11, -(1 + 2 ** -12), 1 / 3]).cast("float16");
  deepEqual([...await halves.data()], [1, 1 + 2 ** -9, -1, Math.f16round(1 / 3)]);
  const before = info.statistics.bytesHeld;
  const [large] = await read([zeros([100_000]).cast("float16")]);
  equal(large.length, 100_000);
  ok(info.statistics.bytesHeld - before < (info.float16 ? 2 : 4) * 100_000 * 3, "storage and staging");
});

Deno.test("random numbers are the same on both backends", async () => {
  for (const seed of [0, 1, 4_294_967_295]) {
    const { expected, actual } = await onBoth(() => [
      randomBits([1000], { seed }),
      randomUniform([10, 100], { seed }),
      randomSigns([1000], { seed }),
      randomUniform([1000], { seed: uint32(seed).reshape([]) }),
      randomUniform([1000], { seed: uint32(seed + 1).reshape([]) }),
    ]);
    deepEqual(actual.map((data) => [...data]), expected.map((data) => [...data]));
    deepEqual(actual[1], actual[3]);
    ok(actual[1].some((value, index) => value !== actual[4][index]));
  }
});

Deno.test("random numbers have the moments of their distributions", async () => {
  await useBackend("webgpu");
  const count = 100_000;
  const options = { seed: 7 };
  const samples = [randomUniform([count], options), randomNormal([count], options), randomSigns([count], options)];
  const moments = await Promise.all(samples.flatMap((x) => [x.mean().item(), x.square().mean().item()]));
  const wanted = [1 / 2, 1 / 3, 0, 1, 0, 1];
  moments.forEach((moment, index) => ok(Math.abs(moment - wanted[index]) < 0.015, `moment ${index} is ${moment}`));
  const [uniform, signs] = await read([samples[0], samples[2]]);
  ok(uniform.every((value) => value >= 0 && value < 1));
  ok(signs.every((value) => Math.abs(value) === 1));
});

Deno.test("dtypes that do not fit are refused with both types in the message", () => {
  throws(
    () => int32(1, 2).add(tensor([1, 2])),
    /Cannot apply add to int32\[2\] and float32\[2\]: dtypes must agree, cast one of them/,
  );
  throws(() => int32(1).exp(), /Cannot apply exp to int32\[1\]: wanted a floating-point tensor/);
  throws(() => tensor([1]).bitAnd(tensor([1])), /Cannot apply bitAnd to float32\[1\]: wanted uint32/);
  throws(() => tensor([1]).where(1, 2), /Cannot choose by float32\[1\]: wanted uint32/);
  throws(() => tensor([1, 2]).gather(tensor([0])), /Cannot gather by float32\[1\]: wanted int32 or uint32 indices/);
  throws(() => int32(1).reshape([1, 1]).matmul(int32(1).reshape([1, 1])), /wanted float32, cast them/);
});

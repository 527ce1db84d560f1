/** What becomes of infinities and of what is no number, as the documentation of `Tensor` says. */

import { gradients, type Tensor, tensor, useBackend } from "../../mod.ts";
import { close } from "../support/numbers.ts";
import { read } from "../support/backends.ts";

const inf = Infinity;

interface Row {
  readonly says: string;
  readonly x: readonly number[];
  readonly f: (x: Tensor) => Tensor;
  readonly wanted: readonly number[];
}

const rows: readonly Row[] = [
  {
    says: "exponentials overflow to infinity and underflow to zero",
    x: [1000, -1000, inf, -inf],
    f: (x) => x.exp(),
    wanted: [inf, 0, inf, 0],
  },
  { says: "the logarithm of zero is minus infinity, of less NaN", x: [0, inf, -1], f: (x) => x.log(), wanted: [-inf, inf, NaN] },
  { says: "the root of less than zero is NaN", x: [-1, 0, inf], f: (x) => x.sqrt(), wanted: [NaN, 0, inf] },
  { says: "division by zero", x: [1, -1, 0], f: (x) => x.div(tensor([0])), wanted: [inf, -inf, NaN] },
  { says: "differences of infinities", x: [inf, -inf, 1], f: (x) => x.sub(tensor([inf])), wanted: [NaN, -inf, -inf] },
  { says: "zero times infinity", x: [inf, -inf, NaN], f: (x) => x.mul(tensor([0])), wanted: [NaN, NaN, NaN] },
  { says: "bounded functions reach their bounds", x: [1e30, -1e30], f: (x) => x.tanh().add(x.sigmoid()), wanted: [2, -1] },
  { says: "arithmetic passes NaN on", x: [NaN, 1], f: (x) => x.add(1).mul(2).neg().div(4), wanted: [NaN, -1] },
  { says: "a sum with a NaN is NaN", x: [1, NaN, 2], f: (x) => x.sum(), wanted: [NaN] },
  { says: "a sum with infinity", x: [1, inf, 2], f: (x) => x.sum(), wanted: [inf] },
  { says: "the mean of nothing", x: [], f: (x) => x.mean(), wanted: [NaN] },
  { says: "the largest of infinities", x: [-inf, 3, inf, -2], f: (x) => x.max(), wanted: [inf] },
  { says: "the largest of minus infinities", x: [-inf, -inf], f: (x) => x.max(), wanted: [-inf] },
  { says: "clamping infinities", x: [inf, -inf, 0.5], f: (x) => x.minimum(1).maximum(-1), wanted: [1, -1, 0.5] },
  {
    says: "products take NaN and infinity along",
    x: [NaN, 1, inf, 1],
    f: (x) => x.reshape([2, 2]).matmul(tensor([[1], [1]])),
    wanted: [NaN, inf],
  },
  { says: "what is not chosen does not matter", x: [NaN, 2], f: (x) => tensor(Uint32Array.of(0, 1)).where(x, 7), wanted: [7, 2] },
  { says: "the softmax of large numbers", x: [1e30, 1e30, -1e30, -inf], f: (x) => x.softmax(), wanted: [0.5, 0.5, 0, 0] },
  { says: "the log-sum-exp of large numbers", x: [1e30, -inf], f: (x) => x.logSumExp(), wanted: [1e30] },
  {
    says: "casts saturate",
    x: [inf, -inf, 3e9, -3e9, 1.9],
    f: (x) => x.cast("int32").cast("float32"),
    wanted: [2 ** 31, -(2 ** 31), 2 ** 31, -(2 ** 31), 1],
  },
  {
    says: "float16 overflows to infinity",
    x: [1e6, -1e6, 65504],
    f: (x) => x.cast("float16").cast("float32"),
    wanted: [inf, -inf, 65504],
  },
  {
    says: "rows outside of a table are zeros",
    x: [5, 6],
    f: (x) => x.gather(tensor(Uint32Array.of(1, 2, 4e9))),
    wanted: [6, 0, 0],
  },
  {
    says: "the gradient of what is not chosen is zero",
    x: [2, 0],
    f: (x) => gradients(tensor(Uint32Array.of(1, 0)).where(x, 7).square().sum(), [x])[0],
    wanted: [4, 0],
  },
  {
    says: "the gradient of a root at zero is infinite",
    x: [0, 4],
    f: (x) => gradients(x.sqrt().sum(), [x])[0],
    wanted: [inf, 0.25],
  },
  { says: "the gradient of |x| at zero is zero", x: [0, -1], f: (x) => gradients(x.abs().sum(), [x])[0], wanted: [0, -1] },
];

for (const name of ["webgpu", "reference"] as const) {
  Deno.test(`infinities and what is no number (${name})`, async () => {
    await useBackend(name);
    const results = await read(rows.map(({ x, f }) => f(tensor([...x]))));
    rows.forEach(({ says, wanted }, k) => close(results[k], wanted, { relative: 1e-6, says }));
  });
}

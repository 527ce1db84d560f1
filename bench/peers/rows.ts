/**
 * The rows of the comparison: a function, the shapes of its inputs, how far ahead to be, and what is right.
 *
 * @module
 */

import type { Work } from "../measure.ts";
import * as oracle from "./oracle.ts";
import { blockSizes, type FunctionName, type HostArray } from "./work.ts";

/** One line of the table. */
export interface Row {
  /** What it is called on the command line. */
  readonly id: string;
  readonly title: string;
  readonly fn: FunctionName;
  /** Normal numbers; the deviation is 1 and the mean 0 where absent. */
  readonly inputs: readonly Input[];
  /** Time of the better correct peer over ours. */
  readonly wanted: number;
  /** Our kernels at most. */
  readonly wantedDispatches?: number;
  /** What one repetition achieves, counted once in all libraries. */
  readonly amount?: Work["amount"];
  /** The host's own work alone, in milliseconds at most. */
  readonly wantedHostMilliseconds?: number;
  readonly check: (inputs: readonly HostArray[]) => oracle.Check;
  /** Largest error that counts as right. */
  readonly tolerance: number;
}

interface Input {
  readonly shape: readonly number[];
  readonly deviation?: number;
  readonly mean?: number;
}

/** The numbers of a row, the same in every run. */
export function hostInputs({ inputs }: Row): HostArray[] {
  return inputs.map(({ shape, deviation = 1, mean = 0 }, index) => {
    const count = shape.reduce((total, size) => total * size, 1);
    return { shape, data: new Float32Array(oracle.normals(count, index + 1).map((value) => mean + deviation * value)) };
  });
}

function product(id: string, sizes: oracle.ProductSizes): Row {
  const { batch, m, k, n, transposed } = sizes;
  const lead = batch ? [batch] : [];
  const cube = m === n && n === k ? `${m}³` : `${m}×${k}×${n}`;
  const form = transposed ? `, ${transposed} transposed` : "";
  return {
    id,
    title: `matmul ${batch ? `${batch} × ` : ""}${cube}${form}`,
    fn: transposed ? transposed === "a" ? "matmulTransposedA" : "matmulTransposedB" : "matmul",
    inputs: [
      { shape: [...lead, ...(transposed === "a" ? [k, m] : [m, k])] },
      { shape: [...lead, ...(transposed === "b" ? [n, k] : [k, n])] },
    ],
    wanted: 3.5,
    amount: { flop: 2 * (batch ?? 1) * m * k * n },
    check: oracle.product(sizes),
    tolerance: 1e-5,
  };
}

const million = 2 ** 20;
const floatBytes = 4;

const kernels: readonly Row[] = [
  {
    id: "softmax",
    title: "softmax [1024,1024]",
    fn: "softmax",
    inputs: [{ shape: [1024, 1024] }],
    wanted: 2.5,
    amount: { bytes: floatBytes * 2 * million },
    check: oracle.elements(([x]) => oracle.rows(x, 1024, oracle.softmaxRow)),
    tolerance: 1e-4,
  },
  {
    id: "rmsnorm",
    title: "RMSNorm [1024,2048]",
    fn: "rmsNorm",
    inputs: [{ shape: [1024, 2048] }, { shape: [2048] }],
    wanted: 3,
    amount: { bytes: floatBytes * 4 * million },
    check: oracle.elements(([x, weight]) => oracle.rmsNorm(x, weight)),
    tolerance: 1e-4,
  },
  {
    id: "elementwise",
    title: "six elementwise operations, 4 M",
    fn: "elementwise",
    inputs: [{ shape: [4 * million] }],
    wanted: 1,
    amount: { bytes: floatBytes * 8 * million },
    check: oracle.elements(([x]) => x.map((value) => 1 - Math.tanh(value / 2 + 1 / 4) ** 2)),
    tolerance: 1e-4,
  },
  {
    id: "sum",
    title: "sum of 4 M",
    fn: "sum",
    inputs: [{ shape: [4 * million], mean: 1 }],
    wanted: 4,
    amount: { bytes: floatBytes * 4 * million },
    check: oracle.elements(([x]) => Float64Array.of(x.reduce((total, value) => total + value, 0))),
    tolerance: 1e-3,
  },
];

const mlpInputs: readonly Input[] = [
  { shape: [256, 512] },
  { shape: [512, 1024], deviation: 512 ** -0.5 },
  { shape: [1024, 512], deviation: 1024 ** -0.5 },
];

const { tokens, width, inner } = blockSizes;
const square = { shape: [width, width], deviation: width ** -0.5 };
const weight = { shape: [width], deviation: 0.1, mean: 1 };
const widening = { shape: [width, inner], deviation: width ** -0.5 };
const blockInputs: readonly Input[] = [
  { shape: [tokens, width] },
  weight,
  ...Array<Input>(4).fill(square),
  weight,
  widening,
  widening,
  { shape: [inner, width], deviation: inner ** -0.5 },
];

/** Inputs, and a direction for each. */
const withDirections = (inputs: readonly Input[]) => [...inputs, ...inputs.map(({ shape }) => ({ shape, deviation: 0.1 }))];
const derivativeTolerance = 2e-3; // the differences are exact to about a tenth of it

const steps: readonly Row[] = [
  {
    id: "mlp",
    title: "MLP 512 → 1024 → 512, gradients",
    fn: "mlp",
    inputs: mlpInputs,
    wanted: 3,
    amount: { flop: 6 * 256 * 512 * 1024 * 2 },
    check: oracle.gradientCheck(oracle.mlpLoss),
    tolerance: derivativeTolerance,
  },
  {
    id: "block",
    title: "Llama block, gradients",
    fn: "block",
    inputs: blockInputs,
    wanted: 2.5,
    wantedDispatches: 30,
    check: oracle.gradientCheck(oracle.blockLoss),
    tolerance: derivativeTolerance,
  },
  {
    id: "mlp-hessian",
    title: "MLP, Hessian-vector product",
    fn: "mlpHessian",
    inputs: withDirections(mlpInputs),
    wanted: 4,
    check: oracle.hessianCheck(oracle.mlpLoss),
    tolerance: derivativeTolerance,
  },
  {
    id: "block-hessian",
    title: "Llama block, Hessian-vector product",
    fn: "blockHessian",
    inputs: withDirections(blockInputs),
    wanted: 4,
    wantedDispatches: 60,
    check: oracle.hessianCheck(oracle.blockLoss),
    tolerance: derivativeTolerance,
  },
  {
    id: "host",
    title: "host's work, 20 tiny operations",
    fn: "tinyOps",
    inputs: [{ shape: [64] }],
    wanted: 0.9,
    wantedHostMilliseconds: 0.1,
    check: oracle.elements(([x]) => {
      let y = x;
      for (let turn = 0; turn < 10; turn++) y = y.map((value) => value * 0.9 + 0.1);
      return y;
    }),
    tolerance: 1e-5,
  },
];

/** All rows, in the order of the table. */
export const allRows: readonly Row[] = [
  product("matmul-512", { m: 512, k: 512, n: 512 }),
  product("matmul-1024", { m: 1024, k: 1024, n: 1024 }),
  product("matmul-odd", { m: 1000, k: 768, n: 1111 }),
  product("matmul-a", { m: 512, k: 512, n: 512, transposed: "a" }),
  product("matmul-b", { m: 512, k: 512, n: 512, transposed: "b" }),
  product("matmul-batch", { batch: 16, m: 256, k: 256, n: 256 }),
  ...kernels,
  ...steps,
];

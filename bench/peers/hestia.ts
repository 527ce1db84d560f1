/**
 * The functions in Hestia.
 *
 * @module
 */

import {
  causalAttention,
  compile,
  gradients,
  hessianVectorProduct,
  realize,
  rmsNorm,
  rotate,
  swiglu,
  type Tensor,
  tensor,
} from "../../mod.ts";
import { deviceDone } from "../measure.ts";
import { blockSizes, epsilon, type FunctionName, type HostArray, type Library, rotation } from "./work.ts";

type Tensors = readonly Tensor[];

const { tokens, width, heads, headDim } = blockSizes;
const { cos, sin } = rotation();
const tableShape = [tokens, headDim / 2];
const table = { cos: tensor(cos, { shape: tableShape }), sin: tensor(sin, { shape: tableShape }) };

function mlpLoss([x, w1, w2]: Tensors): Tensor {
  return x.matmul(w1).tanh().matmul(w2).square().mean();
}

function blockLoss([x, norm1, wq, wk, wv, wo, norm2, gate, up, down]: Tensors): Tensor {
  const normed = rmsNorm(x, norm1, { epsilon });
  const split = (w: Tensor) => normed.matmul(w).reshape([1, tokens, heads, headDim]).transpose([0, 2, 1, 3]);
  const attended = causalAttention(rotate(split(wq), table), rotate(split(wk), table), split(wv));
  const h = x.add(attended.transpose([0, 2, 1, 3]).reshape([tokens, width]).matmul(wo));
  const y = rmsNorm(h, norm2, { epsilon });
  return h.add(swiglu(y.matmul(gate), y.matmul(up)).matmul(down)).square().mean();
}

function withGradients(loss: (xs: Tensors) => Tensor): (xs: Tensors) => Tensor[] {
  return (xs) => {
    const value = loss(xs);
    return [value, ...gradients(value, xs)];
  };
}

/** The second half of the inputs is the direction. */
function hessian(loss: (xs: Tensors) => Tensor): (xs: Tensors) => Tensor[] {
  return (inputs) => {
    const xs = inputs.slice(0, inputs.length / 2);
    return hessianVectorProduct(loss(xs), xs, inputs.slice(xs.length));
  };
}

const functions: Readonly<Record<FunctionName, (xs: Tensors) => Tensor[]>> = {
  matmul: ([a, b]) => [a.matmul(b)],
  matmulTransposedA: ([a, b]) => [a.transpose().matmul(b)],
  matmulTransposedB: ([a, b]) => [a.matmul(b.transpose())],
  softmax: ([x]) => [x.softmax()],
  rmsNorm: ([x, weight]) => [rmsNorm(x, weight, { epsilon })],
  elementwise: ([x]) => [x.mul(0.5).add(0.25).tanh().square().sub(1).neg()],
  sum: ([x]) => [x.sum()],
  mlp: withGradients(mlpLoss),
  mlpHessian: hessian(mlpLoss),
  block: withGradients(blockLoss),
  blockHessian: hessian(blockLoss),
  tinyOps: ([x]) => {
    let y = x;
    for (let turn = 0; turn < 10; turn++) y = y.mul(0.9).add(0.1);
    return [y];
  },
};

/** Functions are compiled: replayed without a graph. */
export function open(): Promise<Library> {
  return Promise.resolve({
    prepare(name: FunctionName, inputs: readonly HostArray[]) {
      const xs = realize(inputs.map(({ data, shape }) => tensor(data, { shape })));
      const fn = compile((list: Tensors) => functions[name](list));
      return {
        run: () => fn(xs).forEach((result) => result.dispose()),
        done: deviceDone,
        async read() {
          const results = fn(xs);
          const arrays = await Promise.all(results.map((result) => result.data()));
          results.forEach((result) => result.dispose());
          return arrays as Float32Array[];
        },
      };
    },
  });
}

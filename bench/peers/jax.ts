/**
 * The functions in jax-js, eagerly or by `jit`. Its functions consume their arguments, unless `.ref` was said.
 *
 * @module
 */

import {
  blockUntilReady,
  defaultDevice,
  getWebGPUDevice,
  grad,
  init,
  jit,
  jvp,
  nn,
  numpy as np,
  tree,
  valueAndGrad,
} from "@jax-js/jax";
import { blockSizes, epsilon, type FunctionName, type HostArray, type Library, rotation } from "./work.ts";

type Arrays = np.Array[];

const { tokens, width, heads, headDim } = blockSizes;

function rmsNorm(x: np.Array, weight: np.Array): np.Array {
  const scale = np.sqrt(np.square(x.ref).mean(-1, { keepdims: true }).add(epsilon));
  return x.div(scale).mul(weight);
}

function mlpLoss([x, w1, w2]: Arrays): np.Array {
  return np.square(np.matmul(np.tanh(np.matmul(x, w1)), w2)).mean();
}

let table: { cos: np.Array; sin: np.Array };

function makeTable(): void {
  const { cos, sin } = rotation();
  const shape = [tokens, 1, headDim / 2];
  table = { cos: np.array(cos).reshape(shape), sin: np.array(sin).reshape(shape) };
}

/** Of `[tokens, heads, headDim]`. */
function rotate(x: np.Array): np.Array {
  const [a, b] = np.split(x, 2, -1);
  const first = a.ref.mul(table.cos.ref).sub(b.ref.mul(table.sin.ref));
  const second = b.mul(table.cos.ref).add(a.mul(table.sin.ref));
  return np.concatenate([first, second], -1);
}

function blockLoss([x, norm1, wq, wk, wv, wo, norm2, gate, up, down]: Arrays): np.Array {
  const normed = rmsNorm(x.ref, norm1);
  const split = (input: np.Array, w: np.Array) => np.matmul(input, w).reshape([tokens, heads, headDim]);
  const q = rotate(split(normed.ref, wq));
  const k = rotate(split(normed.ref, wk));
  const attended = nn.dotProductAttention(q, k, split(normed, wv), { isCausal: true });
  const h = x.add(np.matmul(attended.reshape([tokens, width]), wo));
  const y = rmsNorm(h.ref, norm2);
  const inner = nn.silu(np.matmul(y.ref, gate)).mul(np.matmul(y, up));
  return np.square(h.add(np.matmul(inner, down))).mean();
}

function withGradients(loss: (xs: Arrays) => np.Array): (xs: Arrays) => Arrays {
  return (xs) => {
    const [value, slopes] = valueAndGrad(loss)(xs) as [np.Array, Arrays];
    return [value, ...slopes];
  };
}

/** Forward over reverse, as JAX's documentation advises. */
function hessian(loss: (xs: Arrays) => np.Array): (xs: Arrays) => Arrays {
  return (inputs) => {
    const xs = inputs.slice(0, inputs.length / 2);
    const [slopes, products] = jvp(grad(loss) as (xs: Arrays) => Arrays, [xs], [inputs.slice(xs.length)]) as [Arrays, Arrays];
    tree.dispose(slopes);
    return products;
  };
}

const functions: Readonly<Record<FunctionName, (xs: Arrays) => Arrays>> = {
  matmul: ([a, b]) => [np.matmul(a, b)],
  matmulTransposedA: ([a, b]) => [np.matmul(np.matrixTranspose(a), b)],
  matmulTransposedB: ([a, b]) => [np.matmul(a, np.matrixTranspose(b))],
  softmax: ([x]) => [nn.softmax(x, -1)],
  rmsNorm: ([x, weight]) => [rmsNorm(x, weight)],
  elementwise: ([x]) => [np.square(np.tanh(x.mul(0.5).add(0.25))).sub(1).neg()],
  sum: ([x]) => [np.sum(x)],
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

let opened: Promise<void> | undefined;

async function openDevice(): Promise<void> {
  const devices = await init("webgpu");
  if (!devices.includes("webgpu")) throw new Error("jax-js finds no WebGPU adapter");
  defaultDevice("webgpu");
  makeTable();
}

async function open(wrap: (fn: (xs: Arrays) => Arrays) => (xs: Arrays) => Arrays): Promise<Library> {
  await (opened ??= openDevice());
  return {
    prepare(name: FunctionName, inputs: readonly HostArray[]) {
      const xs = inputs.map(({ data, shape }) => np.array(data, { shape: [...shape] }));
      const fn = wrap(functions[name]);
      return {
        run: () => fn(tree.ref(xs)).forEach((result) => result.gpuBufferSync()), // which consumes the result
        done: () => getWebGPUDevice().queue.onSubmittedWorkDone(),
        async read() {
          const results = await blockUntilReady(fn(tree.ref(xs)));
          return await Promise.all(results.map((result) => result.data())) as Float32Array[];
        },
      };
    },
  };
}

/** One operation after another. */
export const openEager = (): Promise<Library> => open((fn) => fn);

/** Traced and fused. */
export const openJit = (): Promise<Library> => open((fn) => jit(fn));

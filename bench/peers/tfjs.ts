/**
 * The functions in TensorFlow.js with its WebGPU backend.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import "@tensorflow/tfjs-backend-webgpu";
import { blockSizes, epsilon, type FunctionName, type HostArray, type Library, rotation } from "./work.ts";

type Tensors = readonly tf.Tensor[];

const { tokens, width, heads, headDim } = blockSizes;

function rmsNorm(x: tf.Tensor, weight: tf.Tensor): tf.Tensor {
  const scale = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon));
  return tf.mul(tf.mul(x, scale), weight);
}

function mlpLoss([x, w1, w2]: Tensors): tf.Scalar {
  return tf.mean(tf.square(tf.matMul(tf.tanh(tf.matMul(x, w1)), w2)));
}

let constants: { cos: tf.Tensor; sin: tf.Tensor; mask: tf.Tensor };

function makeConstants(): void {
  const { cos, sin } = rotation();
  const mask = Float32Array.from(
    { length: tokens * tokens },
    (_, index) => index % tokens > Math.floor(index / tokens) ? -1e9 : 0,
  );
  const shape = [1, tokens, headDim / 2];
  constants = { cos: tf.tensor(cos, shape), sin: tf.tensor(sin, shape), mask: tf.tensor(mask, [1, tokens, tokens]) };
}

/** Of `[heads, tokens, headDim]`. */
function rotate(x: tf.Tensor): tf.Tensor {
  const { cos, sin } = constants;
  const [a, b] = tf.split(x, 2, -1);
  return tf.concat([tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))], -1);
}

function blockLoss([x, norm1, wq, wk, wv, wo, norm2, gate, up, down]: Tensors): tf.Scalar {
  const normed = rmsNorm(x, norm1);
  const split = (w: tf.Tensor) => tf.transpose(tf.reshape(tf.matMul(normed, w), [tokens, heads, headDim]), [1, 0, 2]);
  const scores = tf.mul(tf.matMul(rotate(split(wq)), rotate(split(wk)), false, true), headDim ** -0.5);
  const attended = tf.matMul(tf.softmax(tf.add(scores, constants.mask)), split(wv));
  const h = tf.add(x, tf.matMul(tf.reshape(tf.transpose(attended, [1, 0, 2]), [tokens, width]), wo));
  const y = rmsNorm(h, norm2);
  const gated = tf.matMul(y, gate);
  const inner = tf.mul(tf.mul(gated, tf.sigmoid(gated)), tf.matMul(y, up));
  return tf.mean(tf.square(tf.add(h, tf.matMul(inner, down))));
}

function withGradients(loss: (xs: Tensors) => tf.Scalar): (xs: Tensors) => tf.Tensor[] {
  return (xs) => {
    const { value, grads } = tf.valueAndGrads((...list: tf.Tensor[]) => loss(list))([...xs]);
    return [value, ...grads];
  };
}

/** Gradients of the directional derivative: there is no forward mode. */
function hessian(loss: (xs: Tensors) => tf.Scalar): (xs: Tensors) => tf.Tensor[] {
  return (inputs) => {
    const xs = inputs.slice(0, inputs.length / 2);
    const slopes = tf.grads((...list: tf.Tensor[]) => loss(list));
    const along = (...list: tf.Tensor[]) =>
      tf.addN(slopes(list).map((slope, index) => tf.sum(tf.mul(slope, inputs[xs.length + index]))));
    return tf.grads(along)(xs);
  };
}

const functions: Readonly<Record<FunctionName, (xs: Tensors) => tf.Tensor[]>> = {
  matmul: ([a, b]) => [tf.matMul(a, b)],
  matmulTransposedA: ([a, b]) => [tf.matMul(a, b, true, false)],
  matmulTransposedB: ([a, b]) => [tf.matMul(a, b, false, true)],
  softmax: ([x]) => [tf.softmax(x)],
  rmsNorm: ([x, weight]) => [rmsNorm(x, weight)],
  elementwise: ([x]) => [tf.neg(tf.sub(tf.square(tf.tanh(tf.add(tf.mul(x, 0.5), 0.25))), 1))],
  sum: ([x]) => [tf.sum(x)],
  mlp: withGradients(mlpLoss),
  mlpHessian: hessian(mlpLoss),
  block: withGradients(blockLoss),
  blockHessian: hessian(blockLoss),
  tinyOps: ([x]) => {
    let y = x;
    for (let turn = 0; turn < 10; turn++) y = tf.add(tf.mul(y, 0.9), 0.1);
    return [y];
  },
};

/** Every operation is queued as it is called; the queue is flushed now and then, and by `done`. */
export async function open(): Promise<Library> {
  if (!await tf.setBackend("webgpu")) throw new Error("TensorFlow.js finds no WebGPU adapter");
  tf.env().set("WEBGPU_CPU_FORWARD", false); // small tensors stay on the device too
  makeConstants();
  return {
    prepare(name: FunctionName, inputs: readonly HostArray[]) {
      const xs = inputs.map(({ data, shape }) => tf.tensor(data, [...shape]));
      const apply = () => tf.tidy(() => functions[name](xs));
      return {
        run: () => tf.dispose(apply()),
        async done() {
          const backend = tf.backend() as WebGPUBackend;
          backend.endComputePassEncoder();
          backend.submitQueue();
          await backend.queue.onSubmittedWorkDone();
        },
        async read() {
          const results = apply();
          const arrays = await Promise.all(results.map((result) => result.data()));
          tf.dispose(results);
          return arrays as Float32Array[];
        },
      };
    },
  };
}

/** Kernels by themselves: matrix products, normalisations, a fused chain, a long sum. */

import { compile, ones, randomNormal, realize, rmsNorm, type Shape, type Tensor } from "../mod.ts";
import { benchAll, runner, type Work } from "./measure.ts";

const floatBytes = 4;

/** A function of random tensors of some shapes. */
function kernel(
  name: string,
  { shapes, amount }: { shapes: readonly Shape[]; amount: Work["amount"] },
  fn: (...inputs: readonly Tensor[]) => Tensor,
): Work {
  return {
    name,
    amount,
    prepare() {
      const inputs = realize(shapes.map((shape, index) => randomNormal(shape, { seed: index + 1 })));
      const run = compile((list: readonly Tensor[]) => fn(...list));
      return Promise.resolve(runner(() => run(inputs).dispose()));
    },
  };
}

function product(size: number, layout: string, fn: (a: Tensor, b: Tensor) => Tensor): Work {
  const shape = [size, size];
  return kernel(`matmul ${size}³ ${layout}`, { shapes: [shape, shape], amount: { flop: 2 * size ** 3 } }, fn);
}

const products = [256, 512].flatMap((size) => [
  product(size, "NN", (a, b) => a.matmul(b)),
  product(size, "NT", (a, b) => a.matmul(b.transpose())),
  product(size, "TN", (a, b) => a.transpose().matmul(b)),
]);

/** Bytes that must move at least: inputs and outputs once. */
const traffic = (...elements: readonly number[]) => ({ bytes: floatBytes * elements.reduce((sum, count) => sum + count) });

benchAll("kernels", [
  ...products,
  kernel("softmax [1024,1024]", { shapes: [[1024, 1024]], amount: traffic(2 ** 20, 2 ** 20) }, (x) => x.softmax()),
  kernel("rmsNorm [1024,2048]", { shapes: [[1024, 2048]], amount: traffic(2 ** 21, 2 ** 21) }, (x) => rmsNorm(x, ones([2048]))),
  kernel(
    "six elementwise operations on 4 M",
    { shapes: [[2 ** 22]], amount: traffic(2 ** 22, 2 ** 22) },
    (x) => x.mul(0.5).add(0.25).tanh().square().sub(1).neg(),
  ),
  kernel("sum of 4 M", { shapes: [[2 ** 22]], amount: traffic(2 ** 22) }, (x) => x.sum()),
]);

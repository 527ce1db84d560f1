import { compile, gradients, hessianVectorProduct, realize, type Tensor, tensor, useBackend } from "../../mod.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { close, noise, slope } from "../support/numbers.ts";

const filled = (shape: number[], seed = 1, range = {}) =>
  tensor(noise(shape.reduce((a, b) => a * b, 1), { seed, ...range }), { shape });
const numbers = async (x: Tensor) => [...await x.data()];

/** Models in miniature: a scalar of some parameters. */
const models: Record<string, { shapes: number[][]; loss: (...parameters: Tensor[]) => Tensor }> = {
  "two layers": {
    shapes: [[4, 6], [6], [6, 3]],
    loss: (a, bias, b) => filled([5, 4], 9).matmul(a).add(bias).tanh().matmul(b).sub(filled([5, 3], 8)).square().mean(),
  },
  "a gated layer": {
    shapes: [[4, 6], [4, 6], [6, 4]],
    loss: (gate, up, down) => {
      const x = filled([3, 4], 9);
      const g = x.matmul(gate);
      return g.mul(g.sigmoid()).mul(x.matmul(up)).matmul(down).square().sum();
    },
  },
  "causal attention over heads": {
    shapes: [[2, 5, 4], [2, 5, 4], [2, 5, 4]],
    loss: (q, k, v) => {
      const mask = tensor(Array.from({ length: 25 }, (_, i) => i % 5 > i / 5 ? -1e9 : 0)).reshape([5, 5]);
      return q.matmul(k.transpose()).mul(0.5).add(mask).softmax().matmul(v).square().sum();
    },
  },
  "a norm": {
    shapes: [[3, 5], [5]],
    loss: (x, gain) => x.div(x.square().mean({ axes: 1, keepDims: true }).add(1e-5).sqrt()).mul(gain).sin().sum(),
  },
  "cross-entropy of embedded tokens": {
    shapes: [[7, 3], [3, 7]],
    loss: (table, head) => {
      const logits = table.gather(tensor(new Uint32Array([1, 4, 1]))).matmul(head);
      const target = tensor([[0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0, 0]]);
      return logits.logSumExp().sum().sub(logits.mul(target).sum());
    },
  },
};

for (const [says, { shapes, loss }] of Object.entries(models)) {
  Deno.test(`${says} has an exact gradient and Hessian-vector product`, async () => {
    await useBackend("reference");
    const starts = shapes.map((shape, k) => filled(shape, k + 1));
    const [vs, us] = [20, 40].map((seed) => shapes.map((shape, k) => filled(shape, seed + k)));
    const at = (t: number) => starts.map((x, k) => x.add(vs[k].mul(t)));
    const inner = (a: Tensor[], b: Tensor[]) => a.reduce((total, x, k) => total.add(x.mul(b[k]).sum()), tensor(0)).item();
    const moved = (t: number) => ((xs) => ({ xs, loss: loss(...xs) }))(at(t));
    const wanted = [
      await slope((t) => moved(t).loss.item()),
      await slope((t) => ((m) => inner(gradients(m.loss, m.xs), us))(moved(t))),
    ];
    const actual = [
      await inner(gradients(loss(...starts), starts), vs),
      await inner(hessianVectorProduct(loss(...starts), starts, vs), us),
    ];
    close(actual, wanted, { relative: 1e-7, absolute: 1e-9 });
    const transposed = await inner(hessianVectorProduct(loss(...starts), starts, us), vs);
    close([transposed], [actual[1]], { relative: 1e-9, absolute: 1e-12, says: "the Hessian is symmetric" });
  });
}

Deno.test("compiled gradients and Hessian-vector products are the same on both backends", async () => {
  await agree(() =>
    Object.assign(
      {},
      ...Object.entries(models).map(([says, { shapes, loss }]) => {
        const step = compile(({ xs, vs }: { xs: Tensor[]; vs: Tensor[] }) => ({
          gradient: gradients(loss(...xs), xs),
          product: hessianVectorProduct(loss(...xs), xs, vs),
        }));
        const { gradient, product } = step({
          xs: shapes.map((shape, k) => filled(shape, k + 1)),
          vs: shapes.map((shape, k) => filled(shape, 20 + k)),
        });
        return Object.fromEntries([...gradient, ...product].map((x, k) => [`${says} ${k}`, x]));
      }),
    )
  );
});

Deno.test("third derivatives are exact", async () => {
  await useBackend("reference");
  const x = tensor([0.3, -1.2, 2]);
  const [first] = gradients(x.tanh().mul(x.exp()).sum(), [x]);
  const [second] = gradients(first.sum(), [x]);
  const [third] = gradients(second.sum(), [x]);
  const at = async (t: number) => {
    const y = tensor([0.3 + t, -1.2 + t, 2 + t]);
    return await gradients(gradients(y.tanh().mul(y.exp()).sum(), [y])[0].sum(), [y])[0].sum().item();
  };
  close([await third.sum().item()], [await slope(at)], { relative: 1e-7 });
});

Deno.test("gradients of every use add up", async () => {
  await useBackend("reference");
  const x = tensor([1, 2]);
  const y = x.mul(x).add(x).add(x.sum());
  deepEqual(await numbers(gradients(y.sum(), [x])[0]), [2 + 1 + 2, 4 + 1 + 2]);
});

Deno.test("a tensor that the loss does not depend on has zeros; one asked for twice has its gradient twice", async () => {
  await useBackend("reference");
  const [x, other] = [tensor([1, 2]), tensor([[3, 4]])];
  const found = gradients(x.square().sum(), [x, other, x]);
  deepEqual(await Promise.all(found.map(numbers)), [[2, 4], [0, 0], [2, 4]]);
  deepEqual(found.map(({ shape }) => shape), [[2], [1, 2], [2]]);
});

Deno.test("gradients reach intermediate results, and the loss itself", async () => {
  await useBackend("reference");
  const x = tensor([1, 2]);
  const y = x.mul(3);
  const loss = y.square().sum();
  deepEqual(await Promise.all(gradients(loss, [y, x, loss]).map(numbers)), [[6, 12], [18, 36], [1]]);
});

Deno.test("a straight-through estimator is one line", async () => {
  await useBackend("reference");
  const x = tensor([0.4, 1.6]);
  const y = x.add(x.round().sub(x).stopGradient());
  deepEqual(await numbers(y.mul(2)), [0, 4]);
  deepEqual(await numbers(gradients(y.mul(2).sum(), [x])[0]), [2, 2]);
});

Deno.test("the gradient of a maximum is shared by what ties, and goes to the first of two", async () => {
  await useBackend("reference");
  const x = tensor([3, 1, 3]);
  deepEqual(await numbers(gradients(x.max(), [x])[0]), [0.5, 0, 0.5]);
  const [a, b] = [tensor([1, 2]), tensor([1, 3])];
  deepEqual(await Promise.all(gradients(a.maximum(b).sum(), [a, b]).map(numbers)), [[1, 0], [0, 1]]);
  deepEqual(await Promise.all(gradients(a.minimum(b).sum(), [a, b]).map(numbers)), [[1, 1], [0, 0]]);
});

Deno.test("gradients pass through float16 and stop at integers", async () => {
  await useBackend("reference");
  const x = tensor([1.5, -2.25]);
  const [g] = gradients(x.cast("float16").square().sum(), [x]);
  deepEqual([g.dtype, ...await numbers(g)], ["float32", 3, -4.5]);
  deepEqual(await numbers(gradients(x.cast("int32").cast("float32").sum(), [x])[0]), [0, 0]);
});

Deno.test("what was computed already still differentiates, to second order", async () => {
  await useBackend("webgpu");
  const x = tensor([1, 2]);
  const y = x.exp();
  const loss = y.square().sum();
  realize([y, loss]);
  const [hv] = hessianVectorProduct(loss, [x], [tensor([1, 1])]);
  close(await hv.data(), [4 * Math.exp(2), 4 * Math.exp(4)], { relative: 1e-5 });
});

Deno.test("a chain of ten thousand operations differentiates", async () => {
  await useBackend("reference");
  const x = tensor([1]);
  let y = x;
  for (let i = 0; i < 10_000; i++) y = y.mul(0.9999).add(1e-4);
  close(await gradients(y.sum(), [x])[0].data(), [0.9999 ** 10_000], { relative: 1e-9 });
});

Deno.test("what is no scalar, and directions that do not fit, are refused", () => {
  const [x, v] = [filled([2, 3]), filled([3])];
  throws(() => gradients(x, [x]), /Cannot differentiate float32\[2,3\]: wanted a scalar, reduce it by mean\(\) or sum\(\)/);
  throws(() => hessianVectorProduct(x.sum(), [x], []), /wanted one direction for each of 1 tensors, got 0/);
  throws(
    () => hessianVectorProduct(x.sum(), [x], [v]),
    /direction 0 is float32\[3\], wanted floats in the shape of float32\[2,3\]/,
  );
  deepEqual(gradients(x.sum(), []), []);
  deepEqual(hessianVectorProduct(x.sum(), [], []), []);
});

Deno.test("a linear loss has a Hessian of zeros", async () => {
  await useBackend("reference");
  const x = filled([2, 3]);
  const [hv] = hessianVectorProduct(x.mul(2).sum(), [x], [x]);
  equal(hv.shape.length, 2);
  ok((await numbers(hv)).every((value) => value === 0));
});

Deno.test("a gradient is known at every node that was written, also where a simpler one is computed", async () => {
  await useBackend("reference");
  const x = filled([2, 3]);
  const turned = x.transpose();
  const c = filled([2, 3], 5);
  deepEqual(await numbers(gradients(turned.transpose().mul(c).sum(), [turned])[0]), await numbers(c.transpose()));
  const product = x.matmul(filled([3, 2]));
  const d = filled([2, 2], 7);
  deepEqual(await numbers(gradients(product.transpose().mul(d).sum(), [product])[0]), await numbers(d.transpose()));
  const [g] = gradients(product.transpose().square().sum(), [product]);
  const [second] = gradients(g.mul(d).sum(), [product]);
  deepEqual(await numbers(second), await numbers(d.mul(2)));
});

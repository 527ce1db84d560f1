import { gradients, hessianVectorProduct, type Tensor, tensor, zeros } from "../../mod.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { programOf, slotsOf, smallTarget } from "../support/compiler.ts";

const filled = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

/** One step of AdamW; `rate` is an input. */
function adamw({ w, m, v, g, rate }: Record<"w" | "m" | "v" | "g" | "rate", Tensor>): Tensor[] {
  const first = m.mul(0.9).add(g.mul(0.1));
  const second = v.mul(0.95).add(g.square().mul(0.05));
  const update = first.div(second.sqrt().add(1e-8)).add(w.mul(0.1));
  return [w.sub(update.mul(rate)), first, second];
}

/** Sentences about the number of kernels. */
const counts: Record<string, [kernels: number, outputs: () => Tensor[]]> = {
  "a chain of elementwise operations": [1, () => [filled(100, 3).mul(2).exp().add(1).tanh().sub(filled(3)).sigmoid()]],
  "views between elementwise operations": [1, () => [filled(10, 6).exp().transpose().reshape([5, 12]).slice([1, 2]).add(1)]],
  "a constant": [1, () => [zeros([5])]],
  "an output that is an input": [1, () => [filled(5)]],
  "one output asked for twice": [2, () => ((y) => [y, y])(filled(5).exp())],
  "a reduction with what comes before and after it": [1, () => [filled(5000, 8).exp().mul(3).sum({ axes: 1 }).log().mul(2)]],
  "a reduction of few results": [1, () => [filled(3, 5001).exp().sum({ axes: 1 }).sqrt()]],
  "a long reduction, in two stages": [2, () => [filled(100_000).square().sum().sqrt()]],
  "two reductions": [2, () => [filled(5000, 8).sum({ axes: 1 }), filled(5000, 8).max({ axes: 1 })]],
  "softmax along the last axis": [1, () => [filled(5000, 8).softmax()]],
  "softmax along another: maximum, sum, quotient": [3, () => [filled(8, 5000).softmax(0)]],
  "a norm: sum and quotient together": [
    1,
    () => ((x) => [x.div(x.square().mean({ axes: 1, keepDims: true }).add(1e-5).sqrt())])(filled(5000, 8)),
  ],
  "a product of views": [
    1,
    () => [filled(7, 5).transpose().matmul(filled(3, 9).slice([0, 1], [3, 8]).transpose().slice([0], [7]).reshape([7, 3]))],
  ],
  "a product with arithmetic before and after": [2, () => [filled(7, 5).exp().matmul(filled(5, 3)).add(1)]],
  "a product, scaled, with a bias and a residual": [
    1,
    () => [filled(7, 5).matmul(filled(5, 4)).mul(0.5).add(filled(4)).add(filled(7, 4)).tanh()],
  ],
  "a product that two results are made from": [
    1,
    () => ((y) => [y.exp(), y.mul(filled(7, 4))])(filled(7, 5).matmul(filled(5, 4))),
  ],
  "a product that is wanted too": [2, () => ((y) => [y, y.exp()])(filled(7, 5).matmul(filled(5, 4)))],
  "a sum of products": [
    1,
    () => [[1, 2, 3].map(() => filled(7, 5).matmul(filled(5, 4))).reduce((a, b) => a.add(b)).add(filled(7, 4))],
  ],
  "a sum of products of different layouts": [
    2,
    () => [filled(7, 5).matmul(filled(5, 4)).add(filled(7, 5).matmul(filled(4, 5).transpose()))],
  ],
  "products that share an operand": [1, () => ((x) => [1, 2, 3].map(() => x.matmul(filled(5, 4)).exp()))(filled(7, 5))],
  "products of different sizes": [2, () => ((x) => [x.matmul(filled(5, 4)), x.matmul(filled(5, 3))])(filled(7, 5))],
  "a product of a product": [2, () => [filled(5, 5).matmul(filled(5, 5)).matmul(filled(5, 5))]],
  "transposes of what a reshape has stored": [
    2,
    () => {
      const y = filled(3, 4, 5).transpose([1, 0, 2]).reshape([4, 15]);
      return [y.transpose().matmul(filled(4, 15))];
    },
  ],
  "rows of a table": [1, () => [filled(9, 4).gather(tensor(new Uint32Array([1, 2]))).mul(2)]],
  "nothing at all": [0, () => [filled(0, 3).exp()]],
};

for (const [says, [kernels, outputs]] of Object.entries(counts)) {
  Deno.test(`${says}: ${kernels} ${kernels === 1 ? "kernel" : "kernels"}`, () => {
    const { dispatches } = programOf(outputs());
    equal(dispatches.length, kernels, dispatches.map(({ label }) => label).join(", "));
  });
}

Deno.test("AdamW is one kernel that updates three tensors in their own memory", () => {
  const state = { w: filled(3, 5), m: filled(3, 5), v: filled(3, 5) };
  const inputs = { ...state, g: filled(3, 5), rate: filled(1).reshape([]) };
  const { dispatches, outputs, scratchBytes, released } = programOf(adamw(inputs), Object.values(state));
  equal(dispatches.length, 1);
  equal(slotsOf(dispatches[0], "write").length, 3);
  deepEqual(outputs.map(({ donor }) => donor).sort(), [0, 1, 2]);
  deepEqual([scratchBytes, released], [[], []]);
});

Deno.test("a training step of two layers is a handful of kernels", () => {
  const [x, y, a, b] = [filled(32, 8), filled(32, 2), filled(8, 16), filled(16, 2)];
  const loss = x.matmul(a).tanh().matmul(b).sub(y).square().mean();
  const [ga, gb] = gradients(loss, [a, b]);
  const { dispatches, outputs } = programOf([loss, a.sub(ga.mul(0.1)), b.sub(gb.mul(0.1))], [a, b]);
  const labels = dispatches.map(({ label }) => label);
  equal(labels.filter((label) => label.startsWith("matmul")).length, 5);
  ok(dispatches.length <= 12, labels.join(", "));
  deepEqual(outputs.map(({ donor }) => donor), [undefined, 0, 1]);
});

Deno.test("the adjoint of a product is a product at every order", () => {
  const [x, w] = [filled(6, 8), filled(8, 4)];
  const [hv] = hessianVectorProduct(x.matmul(w).square().square().sum(), [w], [filled(8, 4)]);
  const { dispatches, scratchBytes } = programOf([hv]);
  ok(dispatches.some(({ label }) => label.startsWith("matmul")));
  ok(Math.max(...scratchBytes) <= 8 * 8 * 4, `an intermediate of ${Math.max(...scratchBytes)} bytes`);
});

Deno.test("a kernel binds no more buffers than the device allows", () => {
  const many = (count: number, ...shape: number[]) => Array.from({ length: count }, () => filled(...shape));
  const sum = (list: Tensor[]) => list.reduce((a, b) => a.add(b));
  const graphs = [
    [sum(many(30, 7))],
    [sum(many(6, 5000, 4)).sum({ axes: 1 }).add(sum(many(6, 5000)))],
    [sum(many(6, 5000, 4)).sum({ axes: 1 }).add(sum(many(5, 5000)))],
    [sum(many(6, 100_000)).sum().add(sum(many(5)).sum())],
    [sum(many(6, 100_000)).sum().add(sum(many(6)).sum())],
    ((shared) => many(12, 9).map((x) => x.mul(shared)))(filled(9)),
    [sum(many(9, 4, 3).map((x) => x.gather(tensor(new Uint32Array([1, 0])))))],
    [filled(4).less(sum(many(7, 4))).where(sum(many(7, 4)), sum(many(7, 4)))],
  ];
  for (const { label, bindings } of graphs.flatMap((outputs) => [...programOf(outputs).dispatches])) {
    ok(bindings.length <= smallTarget.limits.maxStorageBuffers, `${label} binds ${bindings.length}`);
  }
});

Deno.test("a program is plain data with a label for each kernel", () => {
  const { dispatches } = programOf([filled(3).exp(), filled(3, 3).matmul(filled(3, 3))]);
  for (const { label, shader, grid } of dispatches) {
    match(label, /\w/);
    match(shader, /fn main/);
    ok(grid.every((count) => Number.isInteger(count) && count >= 1));
  }
});

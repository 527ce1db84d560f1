import {
  compile,
  gradients,
  hessianVectorProduct,
  jacobianVectorProduct,
  recompute,
  type Tensor,
  tensor,
  useBackend,
} from "../../mod.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { agree, read } from "../support/backends.ts";
import { programOf } from "../support/compiler.ts";
import { close, noise } from "../support/numbers.ts";

const filled = (shape: number[], seed = 1) =>
  tensor(noise(shape.reduce((a, b) => a * b, 1), { seed, low: -0.5, high: 0.5 }), { shape });

/** A residual layer whose inner results are four times as wide as what goes in and out. */
const layer = (x: Tensor, up: Tensor, down: Tensor) => x.add(x.matmul(up).tanh().square().sin().exp().matmul(down));

const depth = 8;
const weights = () =>
  Array.from({ length: depth }, (_, k) => ({ up: filled([16, 64], 2 * k + 1), down: filled([64, 16], 2 * k + 2) }));

type Wrap = (fn: typeof layer) => typeof layer;
const plain: Wrap = (fn) => fn;
const checkpointed: Wrap = (fn) => recompute(fn);
/** The weights are closed over rather than passed. */
const closed: Wrap = (fn) => (x, up, down) => recompute((y: Tensor) => fn(y, up, down))(x);
const nested: Wrap = (fn) => recompute((x: Tensor, up: Tensor, down: Tensor) => recompute(fn)(x, up, down).mul(1).cos());

function chain(wrap: Wrap, x: Tensor, list: ReturnType<typeof weights>): Tensor {
  const apply = wrap(layer);
  return list.reduce((y, { up, down }) => apply(y, up, down), x).square().mean();
}

const scratch = (outputs: readonly Tensor[]) => programOf(outputs).scratchBytes.reduce((sum, bytes) => sum + bytes, 0);

Deno.test("recompute lowers the peak of scratch memory of a deep chain", () => {
  const bytes = [plain, checkpointed, closed].map((wrap) => {
    const [x, list] = [filled([128, 16]), weights()];
    return scratch(gradients(chain(wrap, x, list), list.flatMap(({ up, down }) => [up, down])));
  });
  ok(bytes[1] < 0.5 * bytes[0] && bytes[2] === bytes[1], `${bytes} bytes: plain, recomputed, with weights closed over`);
});

Deno.test("what is computed again reads weights where they lie, and copies none", () => {
  const [x, list] = [filled([128, 16]), weights()];
  const { dispatches } = programOf(gradients(chain(closed, x, list), list.flatMap(({ up, down }) => [up, down])));
  deepEqual(dispatches.filter(({ label }) => /^(after\+?)+$/.test(label)).map(({ label }) => label), []);
});

for (
  const [says, wrap, same] of [
    ["recomputed", checkpointed, plain],
    ["closed over", closed, plain],
    ["nested", nested, (fn: typeof layer) => (x: Tensor, up: Tensor, down: Tensor) => fn(x, up, down).cos()],
  ] as const
) {
  Deno.test(`derivatives of every order are those of the function itself (${says})`, async () => {
    await useBackend("reference");
    const [x, list] = [filled([5, 16]), weights().slice(0, 3)];
    const xs = [x, ...list.flatMap(({ up, down }) => [up, down])];
    const vs = xs.map(({ shape }, k) => filled([...shape], 40 + k));
    const results = await Promise.all([wrap, same].map(async (each) => {
      const loss = chain(each, x, list);
      const products = hessianVectorProduct(loss, xs, vs);
      const third = gradients(products.map((p, k) => p.mul(vs[k]).sum()).reduce((a, b) => a.add(b)), xs);
      return await read([loss, ...gradients(loss, xs), ...products, ...third, jacobianVectorProduct(loss, xs, vs)]);
    }));
    results[0].forEach((values, k) => close(values, results[1][k], { relative: 1e-10, absolute: 1e-12, says: `result ${k}` }));
  });
}

Deno.test("a compiled step that recomputes is the same on both backends", async () => {
  await agree(() => {
    const step = compile(({ x, list }: { x: Tensor; list: ReturnType<typeof weights> }) => {
      const loss = chain(checkpointed, x, list);
      return { loss, gradients: gradients(loss, list.map(({ up }) => up)) };
    });
    const { loss, gradients: slopes } = step({ x: filled([5, 16]), list: weights() });
    return { loss, first: slopes[0], last: slopes[depth - 1] };
  });
});

Deno.test("recompute of one argument, of integers, of nothing", async () => {
  await useBackend("reference");
  const [x, table] = [tensor([1, 2]), tensor([[1, 2], [3, 4], [5, 6]])];
  equal(recompute((y: Tensor) => y)(x), x);
  deepEqual([...await recompute((y: Tensor) => y.mul(3))(x).data()], [3, 6]);
  const look = recompute((rows: Tensor, ids: Tensor) => rows.gather(ids).square());
  const ids = tensor(new Uint32Array([2, 2]));
  deepEqual([...await gradients(look(table, ids).sum(), [table])[0].data()], [0, 0, 0, 0, 20, 24]);
  throws(() => recompute((y: Tensor) => y.matmul(y))(x), /Cannot multiply/);
});

Deno.test("two functions of one argument are told apart", async () => {
  await useBackend("webgpu");
  const x = tensor([1, 2]);
  const [a, b] = [recompute((y: Tensor) => y.mul(3))(x), recompute((y: Tensor) => y.mul(4))(x)];
  deepEqual((await read([a, b])).map((values) => [...values]), [[3, 6], [4, 8]]);
});

Deno.test("the product with a Jacobian is what moving the arguments changes", async () => {
  await useBackend("reference");
  const [x, w] = [filled([3, 4]), filled([4, 2], 2)];
  const [dx, dw] = [filled([3, 4], 3), filled([4, 2], 4)];
  const product = jacobianVectorProduct(x.matmul(w).tanh(), [x, w], [dx, dw]);
  const y = x.matmul(w).tanh();
  const wanted = dx.matmul(w).add(x.matmul(dw)).mul(y.square().neg().add(1));
  close(await product.data(), await wanted.data(), { relative: 1e-12 });
  deepEqual([...await jacobianVectorProduct(x, [w], [dw]).data()], new Array(12).fill(0));
  throws(() => jacobianVectorProduct(y, [x], []), /Cannot multiply by the Jacobian: wanted one direction for each of 1 tensors/);
  throws(
    () => jacobianVectorProduct(y, [x], [dw]),
    /Cannot multiply by the Jacobian: direction 0 is float32\[4,2\], wanted floats in the shape of/,
  );
});

/** Second derivatives through everything that a quantized language model is made of, against finite differences in float64. */

import {
  causalAttention,
  crossEntropy,
  gradients,
  hessianVectorProduct,
  hestia,
  jacobianVectorProduct,
  llama,
  quantizers,
  recompute,
  rmsNorm,
  rotaryTable,
  rotate,
  swiglu,
  type Tensor,
  tensor,
  useBackend,
} from "../../mod.ts";
import { close, noise, slope } from "../support/numbers.ts";
import { tinyModel } from "../support/models.ts";

const filled = (shape: readonly number[], seed = 1) => tensor(noise(shape.reduce((a, b) => a * b, 1), { seed }), { shape });
const ids = tensor(Uint32Array.of(1, 4, 1, 6), { shape: [2, 2] });
const soft = { groupSize: 4, temperature: 0.4, pressure: 0.7, scaleGradient: true };

interface Row {
  readonly shapes: readonly (readonly number[])[];
  readonly f: (...xs: Tensor[]) => Tensor;
}

const heads = [1, 2, 3, 4];
const block = (x: Tensor, gain: Tensor, w: Tensor) => x.add(swiglu(rmsNorm(x, gain).matmul(w), x));

const rows: Readonly<Record<string, Row>> = {
  attention: { shapes: [[1, 4, 3, 4], heads, heads], f: (q, k, v) => causalAttention(q, k, v) },
  "attention after a cache": {
    shapes: [[1, 2, 2, 4], [1, 2, 5, 4], [1, 2, 5, 4]],
    f: (q, k, v) => causalAttention(q, k, v, { offset: 3 }),
  },
  "rotated attention": {
    shapes: [heads, heads],
    f: (q, k) => causalAttention(rotate(q, rotaryTable({ headDim: 4, theta: 100, length: 3 })), k, k),
  },
  "cross-entropy": { shapes: [[2, 2, 7]], f: (logits) => crossEntropy(logits, ids) },
  "cross-entropy with ignored labels": {
    shapes: [[4, 7]],
    f: (logits) => crossEntropy(logits, tensor(Int32Array.of(3, -100, 0, 6))),
  },
  "a norm": { shapes: [[3, 5], [5]], f: (x, gain) => rmsNorm(x, gain) },
  embedding: { shapes: [[7, 5], [5, 7]], f: (table, out) => crossEntropy(table.gather(ids).matmul(out), ids) },
  "a tied embedding": { shapes: [[7, 5]], f: (table) => crossEntropy(table.gather(ids).tanh().matmul(table.transpose()), ids) },
  hestia: { shapes: [[3, 8]], f: (w) => hestia(w, soft) },
  "hestia of a whole tensor": { shapes: [[3, 8]], f: (w) => hestia(w, { ...soft, groupSize: 0 }) },
  "a layer of hestia weights": { shapes: [[5, 8], [3, 8]], f: (x, w) => x.matmul(hestia(w, soft).transpose()).tanh() },
  "complex phases": { shapes: [[4, 8]], f: (w) => quantizers.fairy_v1.quantize(w, { ...soft, groupSize: 0 }) },
  "a block, computed again": {
    shapes: [[3, 4], [4], [4, 4]],
    f: (x, gain, w) => recompute(block)(recompute(block)(x, gain, w), gain, w),
  },
};

/** A scalar that is not linear in any element. */
const probe = (y: Tensor) => y.add(y.square()).mul(filled(y.shape, 9)).sum();
const inner = (as: readonly Tensor[], bs: readonly Tensor[]) =>
  as.map((a, k) => a.mul(bs[k]).sum()).reduce((total, part) => total.add(part));

for (const [says, { shapes, f }] of Object.entries(rows)) {
  Deno.test(`${says}: the Jacobian, the gradient and the Hessian are exact`, async () => {
    await useBackend("reference");
    const starts = shapes.map((shape, k) => filled(shape, k + 1));
    const [vs, us] = [20, 40].map((seed) => shapes.map((shape, k) => filled(shape, seed + k)));
    const moved = (t: number) => starts.map((x, k) => x.add(vs[k].mul(t)));
    const weights = filled(f(...starts).shape, 9);
    const loss = (xs: readonly Tensor[]) => probe(f(...xs));
    const wanted = [
      await slope((t) => f(...moved(t)).mul(weights).sum().item(), 1e-4),
      await slope((t) => loss(moved(t)).item(), 1e-4),
      await slope((t) => ((xs) => inner(gradients(loss(xs), xs), us).item())(moved(t)), 1e-4),
    ];
    const actual = [
      await jacobianVectorProduct(f(...starts), starts, vs).mul(weights).sum().item(),
      await inner(gradients(loss(starts), starts), vs).item(),
      await inner(hessianVectorProduct(loss(starts), starts, vs), us).item(),
    ];
    close(actual, wanted, { relative: 1e-7, absolute: 1e-8, says });
  });
}

Deno.test("a whole model has an exact Hessian-vector product", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1, hiddenSize: 16, headDim: 4, intermediateSize: 16, vocabularySize: 16 });
  const names = Object.keys(model.parameters);
  const vs = names.map((name, k) => filled(model.parameters[name].shape, k + 50));
  const lossAt = (t: number) => {
    const xs = names.map((name, k) => model.parameters[name].add(vs[k].mul(t)));
    const parameters = Object.fromEntries(names.map((name, k) => [name, xs[k]]));
    return { xs, loss: crossEntropy(llama({ ...model, parameters }, ids), ids) };
  };
  const { xs, loss } = lossAt(0);
  const wanted = await slope((t) => ((m) => inner(gradients(m.loss, m.xs), vs).item())(lossAt(t)), 1e-4);
  close([await inner(hessianVectorProduct(loss, xs, vs), vs).item()], [wanted], { relative: 1e-6, absolute: 1e-8 });
});

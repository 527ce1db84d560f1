/**
 * The matrix product, batched. Its derivatives are matrix products at every order.
 *
 * @module
 */

import { wideArray } from "../core/dtype.ts";
import { describe, type KernelPrimitive } from "../core/graph.ts";
import { sameShape, sizeOf } from "../core/shape.ts";
import { matmulBinding } from "../kernels/matmul_binding.ts";
import { composeMatmul } from "./compose.ts";

/** `output[b…, m, n] = Σ_k a[b…, m, k] · b[b…, k, n]`, both of one rank and with equal batch lengths. */
export const matmul: KernelPrimitive = {
  kind: "kernel",
  name: "matmul",
  binding: matmulBinding,
  compose: composeMatmul,
  infer([a, b]) {
    const fail = (why: string) => new TypeError(`Cannot multiply ${describe(a)} by ${describe(b)}: ${why}`);
    if (a.dtype !== "float32" || b.dtype !== "float32") throw fail("wanted float32, cast them");
    if (a.shape.length < 2 || b.shape.length < 2) throw fail("wanted at least two axes each");
    const [k, rows] = [a.shape.at(-1), b.shape.at(-2)];
    if (k !== rows) throw fail(`inner lengths must be equal, got ${k} and ${rows}`);
    if (!sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) throw fail("batch lengths must be equal");
    return { shape: [...a.shape.slice(0, -1), b.shape.at(-1)!], dtype: "float32" };
  },
  reference([a, b], output) {
    const [m, n] = output.shape.slice(-2);
    const k = a.type.shape.at(-1)!;
    const result = wideArray("float32", sizeOf(output.shape));
    for (let row = 0; row < sizeOf(output.shape.slice(0, -1)); row++) {
      const batch = Math.floor(row / m);
      for (let i = 0; i < k; i++) {
        const factor = a.data[row * k + i];
        const from = (batch * k + i) * n;
        for (let column = 0; column < n; column++) result[row * n + column] += factor * b.data[from + column];
      }
    }
    return result;
  },
  vjp: (g, { inputs: [a, b] }) => [g.matmul(b.transpose()), a.transpose().matmul(g)],
};

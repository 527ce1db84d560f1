/** Matrix products that share kernels, against float64: sums, what follows them, several side by side. */

import { arange, compile, type Shape, type Tensor, tensor, useBackend } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { differences, onBoth, read } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";

let seed = 0;
const random = (...shape: number[]): Tensor => {
  seed++;
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1.3 * i * seed + i * i)), {
    shape,
  });
};

type Size = readonly [m: number, k: number, n: number];
const odd: Size = [9, 5, 13]; // for the kernel that takes any strides
const fewRows: Size = [3, 8, 7];
const tiles: Size = [37, 44, 36]; // enough multiplications for textures, where they are read

const products: Record<string, (m: number, k: number, n: number) => Tensor[]> = {
  "bias, residual, activation, scale": (m, k, n) => [
    random(m, k).matmul(random(k, n)).mul(0.5).add(random(n)).add(random(m, n)).tanh(),
  ],
  "two results of other types": (m, k, n) => {
    const y = random(m, k).matmul(random(k, n));
    return [y.equal(0).cast("int32").add(1), y.equal(y).cast("float16"), y.square()];
  },
  "behind a reshape": (m, k, n) => [random(m, k).matmul(random(k, n)).reshape([n, m]).add(arange([n, m]))],
  "a sum of three, one with a transposed operand": (m, k, n) => [
    random(m, k).matmul(random(k, n)).add(random(m, n)).add(random(m, k).matmul(random(k, n))).add(
      random(m, k).matmul(random(n, k).transpose()),
    ),
  ],
  "a sum behind reshapes": (m, k, n) => {
    const [a, b] = [1, 2].map(() => random(m, k).matmul(random(k, n)).reshape([1, m, n]));
    return [a.add(b).exp()];
  },
  "two sums, one of which both use": (m, k, n) => {
    const shared = random(m, k).matmul(random(k, n));
    return [1, 2].map(() => shared.add(random(m, k).matmul(random(k, n))));
  },
  "a product added to itself": (m, k, n) => ((y) => [y.add(y)])(random(m, k).matmul(random(k, n))),
  "three that share an operand, with other things after each": (m, k, n) => {
    const x = random(m, k);
    const [p, q, r] = [1, 2, 3].map(() => x.matmul(random(k, n)));
    return [p.exp(), q, r.mul(random(m, n)).add(1), r.neg()];
  },
  "transposed and batched, side by side": (m, k, n) => {
    const x = random(2, k, m).transpose();
    return [1, 2].map(() => x.matmul(random(2, n, k).transpose()).sin());
  },
  "windows with offsets": (m, k, n) => {
    const [x, y] = [random(3 * m, 2 * k), random(4 * k, n)];
    return [0, 1, 2].map((i) =>
      x.slice([i * m, (i % 2) * k], [(i + 1) * m, (i % 2 + 1) * k]).matmul(y.slice([i * k], [i * k + k]))
    );
  },
  "a chain, whose gradient adds up": (m, k, n) => {
    const x = random(m, k);
    const [u, v] = [x.matmul(random(k, n)), x.matmul(random(k, n))];
    return [u.matmul(random(n, k)).add(v.matmul(random(n, k))), u.mul(v)];
  },
};

/** Sizes besides the odd ones: every mark of every shader is filled in some case, in all of them drivers compile for too long. */
const others: Record<string, readonly Size[]> = {
  "bias, residual, activation, scale": [fewRows],
  "a sum of three, one with a transposed operand": [tiles],
  "three that share an operand, with other things after each": [tiles],
};

for (const [says, build] of Object.entries(products)) {
  Deno.test(`products share kernels: ${says}`, async () => {
    for (const size of [odd, ...others[says] ?? []]) {
      const outputs = () => (seed = 0, build(...size));
      const { expected, actual } = await onBoth(outputs);
      const names = expected.map((_, index) => `output ${index} of ${size}`);
      deepEqual(differences(names, actual, expected), []);
      const texelReads = size === tiles ? [true, false] : [false];
      for (const each of texelReads) {
        deepEqual(differences(names, await runLowered(outputs(), { texelReads: each, sideBySide: true }), expected), []);
      }
    }
  });
}

Deno.test("float16 operands are read as they are stored", async () => {
  for (const [m, k, n] of [odd, fewRows, tiles]) {
    const outputs = () => {
      seed = 0;
      const [x, y, z] = [random(m, k), random(n, k), random(n, k)].map((each) => each.cast("float16"));
      const [p, q] = [y, z].map((weight) => x.cast("float32").matmul(weight.transpose().cast("float32")));
      return [p.exp(), q];
    };
    const { expected } = await onBoth(outputs);
    for (const texelReads of [false, true]) {
      deepEqual(differences(["exp", "plain"], await runLowered(outputs(), { texelReads }), expected), []);
    }
    const kernels = lower(flat(outputs()), { ...smallTarget, float16: true }).dispatches;
    equal(kernels.filter(({ label }) => label.startsWith("matmul")).length, 1);
    equal(kernels.at(-1)!.shader.includes("f16>"), true);
  }
});

Deno.test("an operand may be what a product overwrites", async () => {
  await useBackend("webgpu");
  const step = compile(({ w, x }: { w: Tensor; x: Tensor }) => ({ w: x.matmul(w).add(w), y: x.matmul(x).add(w) }), {
    donate: ["w"],
  });
  const [w, x] = [random(20, 20), random(20, 20)];
  const wanted = await read([x.matmul(w).add(w), x.matmul(x).add(w)]);
  const result = step({ w, x });
  deepEqual(differences(["w", "y"], await read([result.w, result.y]), wanted), []);
});

Deno.test("what a kernel of products binds stays within the limits", () => {
  const shape: Shape = [20, 20];
  const many = (count: number) => Array.from({ length: count }, () => random(...shape).matmul(random(...shape)));
  const graphs = [
    many(20),
    [many(20).reduce((a, b) => a.add(b))],
    many(3).map((y) => many(5).reduce((a, b) => a.add(b), y).exp()),
  ];
  for (const outputs of graphs) {
    for (const texelReads of [false, true]) {
      const { dispatches } = lower(flat(outputs), { ...smallTarget, texelReads }, { sideBySide: true });
      for (const { bindings } of dispatches) equal(bindings.filter(({ texels }) => texels === undefined).length <= 8, true);
    }
  }
});

Deno.test("a sum of two thousand tensors is compiled in a moment, and joins the products in it", () => {
  let sum = random(4, 4);
  for (let term = 0; term < 2000; term++) sum = sum.add(term % 1000 === 7 ? random(4, 4).matmul(random(4, 4)) : random(4, 4));
  const start = performance.now();
  const { dispatches } = lower(flat([sum]), smallTarget);
  ok(performance.now() - start < 10_000, "it took a minute once");
  equal(dispatches.filter(({ label }) => label.includes("matmul")).length, 1);
});

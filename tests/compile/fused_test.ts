import { arange, gradients, hessianVectorProduct, realize, type Tensor, tensor, useBackend } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { applyFused } from "../../src/tensor.ts";
import type { Fused, KernelBinding } from "../../src/core/graph.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";

const source = `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
override LENGTH: u32 = 1;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < LENGTH) {
    result[id.x] = x[id.x] * x[id.x] * x[id.x];
  }
}`;

/** A kernel that cubes up to eight elements. */
function cubeBinding(text: string): KernelBinding<number> {
  const kernel = {
    name: "cube",
    source: text,
    applies: (length: number) => length <= 8,
    overrides: (length: number) => ({ LENGTH: length }),
    params: () => new Uint32Array(0),
    grid: () => [1, 1, 1] as const,
  };
  return { kernels: [kernel], call: (_, output) => sizeOf(output.shape) };
}

const compose = ([x]: readonly Tensor[]) => x.mul(x).mul(x);
const cube: Fused = { kind: "fused", name: "cube", binding: cubeBinding(source), compose };
const withVjp: Fused = { ...cube, name: "cubeWithVjp", vjp: (g, { inputs: [x] }) => [g.mul(3).mul(x.square())] };
const broken: Fused = { ...cube, name: "broken", binding: cubeBinding(source.replace("* x[id.x];", "* nothing;")) };

const labels = (outputs: Tensor[], options = {}) =>
  lower(flat(outputs), smallTarget, options).dispatches.map(({ label }) => label);

Deno.test("a fused operation runs its kernel where one applies, else its composition", () => {
  const [short, long] = [arange(5), arange(9)];
  deepEqual(labels([applyFused(cube, [short])]).filter((label) => label === "cube"), ["cube"]);
  equal(labels([applyFused(cube, [long])]).includes("cube"), false);
  equal(labels([applyFused(cube, [short])], { fused: false }).includes("cube"), false);
});

Deno.test("a fused operation and its derivatives are what its composition says, on both backends", async () => {
  await agree(() => {
    const x = tensor([0.5, -1, 2]);
    const v = tensor([1, 0.5, -2]);
    return Object.fromEntries(
      [(y: Tensor) => compose([y]), (y: Tensor) => applyFused(cube, [y]), (y: Tensor) => applyFused(withVjp, [y])].flatMap(
        (f, k) => {
          const loss = f(f(x).sin()).sum();
          return [[`${k} value`, f(x)], [`${k} gradient`, gradients(loss, [x])[0]], [
            `${k} product`,
            hessianVectorProduct(loss, [x], [v])[0],
          ]];
        },
      ),
    );
  });
});

Deno.test("fused and composed derivatives are the same numbers", async () => {
  await useBackend("webgpu");
  const x = tensor([0.5, -1, 2]);
  const wanted = await gradients(compose([x]).sum(), [x])[0].data();
  for (const op of [cube, withVjp]) deepEqual(await gradients(applyFused(op, [x]).sum(), [x])[0].data(), wanted);
});

Deno.test("a chain of five thousand operations is cut into several kernels", async () => {
  const chain = (x: Tensor) => {
    let y = x;
    for (let i = 0; i < 5000; i++) y = i % 2 ? y.mul(0.999) : y.add(x);
    return y;
  };
  const kernels = labels([chain(tensor([1, 2]))]).length;
  ok(kernels > 1 && kernels < 100, `${kernels} kernels`);
  await agree(() => ({ chain: chain(tensor([1, 2])) }), { relative: 1e-3 });
});

Deno.test("a shader that the device rejects fails what is computed from it, and nothing else", async () => {
  await useBackend("webgpu");
  const [x, kept] = [tensor([1, 2]), tensor([3, 4])];
  realize([kept]);
  const results = () => {
    const [failed] = realize([applyFused(broken, [x])]);
    return [failed.data(), failed.mul(2).data(), applyFused(broken, [x]).add(kept).data(), kept.add(1).data(), x.data()];
  };
  for (let attempt = 0; attempt < 2; attempt++) {
    const settled = await Promise.allSettled(results());
    deepEqual(settled.map(({ status }) => status), ["rejected", "rejected", "rejected", "fulfilled", "fulfilled"]);
    for (const each of settled.slice(0, 3)) match((each as PromiseRejectedResult).reason.message, /The GPU rejected a command/);
  }
  deepEqual([...await x.add(kept).data()], [4, 6]);
});

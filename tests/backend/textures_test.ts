import { compile, type Tensor, tensor, useBackend } from "../../mod.ts";
import { equal, ok } from "../assert.ts";
import { agree, differences, read } from "../support/backends.ts";

const square = (size: number, step: number): Tensor =>
  tensor(Float32Array.from({ length: size * size }, (_, i) => Math.sin(i * step)), { shape: [size, size] });

Deno.test("products read from textures agree with float64: chained, of one tensor with itself, between other work", () =>
  agree(() => {
    const x = square(100, 1);
    const first = x.matmul(square(100, 2)).mul(0.1);
    const second = first.matmul(first.add(1)).add(first);
    return { first, second, gram: second.matmul(second.transpose()) };
  }, { relative: 1e-4 })); // sums that cancel, and drivers that add in other ways

Deno.test("a compiled program fills its textures anew at every run", async () => {
  await useBackend("webgpu");
  const run = compile(({ x, y }: { x: Tensor; y: Tensor }) => x.matmul(y).add(1).matmul(x));
  const inputs = [0.1, 0.2, 0.3].map((step) => ({ x: square(64, step), y: square(64, 3 * step) }));
  const actual = await read([...inputs, inputs[0]].map((input) => run(input)));
  const again = await read(inputs.map(({ x, y }) => x.matmul(y).add(1).matmul(x)));
  equal(differences(["1", "2", "3", "1 again"], actual, [...again, again[0]]).join("\n"), "");
  ok(actual[0].some((element, index) => element !== actual[1][index]));
});

/** Each kernel for matrix products in turn, wherever it applies. */

import { type Shape, type Tensor, tensor, type TensorData, useBackend } from "../../mod.ts";
import { lower, type Target } from "../../src/compile/lower.ts";
import { variantNames } from "../../src/compile/variants.ts";
import { matmulKernels } from "../../src/kernels/matmul.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { differences, read } from "../support/backends.ts";
import { flat, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";
import { noise } from "../support/numbers.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";
const random = (seed: number, ...shape: number[]) => tensor(noise(shape.reduce((x, y) => x * y), { seed }), { shape });

/** Products that go on, one of few rows and one of many, of a batch, and a sum of two. */
function build(): Record<string, Tensor> {
  const x = random(1, 37, 44);
  const w = random(2, 44, 36);
  const many = x.matmul(w).add(random(3, 37, 44).matmul(w)).add(random(4, 36)).tanh();
  const few = random(5, 2, 3, 64).matmul(random(6, 40, 64).transpose()).mul(random(7, 3, 40));
  return { many, few };
}

/** Those that drivers compile within a second: the others are held against these in `matmul_test.ts`. */
const everyday = matmulKernels.map(({ name }) => name).filter((name) => deep || !/(tile|texture)_\d+x32/.test(name));

let expected: TensorData[] | undefined;

async function reference(): Promise<TensorData[]> {
  await useBackend("reference");
  return await read(Object.values(build()));
}

for (const variant of everyday) {
  Deno.test(`products that go on are right by ${variant}`, async () => {
    expected ??= await reference(); // once: another device compiles all kernels anew
    await useBackend("webgpu");
    const built = build();
    const { dispatches } = lower(flat(Object.values(built)), smallTarget, { variant });
    ok(dispatches.some(({ label }) => label.startsWith(variant)), `${variant} is used`);
    deepEqual(differences(Object.keys(built), await runLowered(Object.values(built), { variant }), expected), []);
  });
}

/** A product of matrices of 512 rows and columns, and what the compiler asks of it. */
function contests(
  target: Target,
  shape: Shape = [512, 512],
  fastest: (shapeClass: string) => string | undefined = () => undefined,
) {
  const x = random(1, 4, 4).reshape([1, 16]).expand([shape[0] * shape[1] / 16, 16]).reshape([...shape]);
  const y = x.add(1).matmul(x.transpose().add(2)).tanh();
  return lower(flat([y, x.add(3).matmul(x.transpose().add(2)).add(1)]), target, {
    fastest,
    sideBySide: false,
  });
}

Deno.test("a class of calls is asked for once, the default first, among kernels of one order", () => {
  const { contests: open = [], dispatches } = contests(smallTarget);
  deepEqual(open.map(({ shapeClass, names }) => [shapeClass, names]), [["matmul 512x512x512 N4N4", [
    "matmul_shared_64x64",
    "matmul_shared_32x32",
    "matmul_shared_128x128_of_256",
    "matmul_shared_64x64_of_256",
  ]]]);
  equal(dispatches.filter(({ label }) => label === "matmul_shared_64x64").length, 2);
  for (const { dispatches: [{ label, bindings }], inputBytes, outputs } of open[0].programs) {
    ok(open[0].names.includes(label));
    ok(bindings.every(({ slot: { kind, index } }) => kind === "input" && inputBytes[index] >= 2 ** 20));
    deepEqual(outputs, [{ bytes: 2 ** 20, donor: bindings.findIndex(({ access }) => access === "write") }]);
  }
});

Deno.test("what is known is taken, unless it does not apply", () => {
  const labels = (shape: Shape, name: string, target = smallTarget) =>
    contests(target, shape, () => name).dispatches.map(({ label }) => label).filter((label) => label.startsWith("matmul"));
  deepEqual(new Set(labels([512, 512], "matmul_shared_128x128_of_256")), new Set(["matmul_shared_128x128_of_256"]));
  deepEqual(new Set(labels([512, 512], "matmul_texture_16x16")), new Set(["matmul_shared_64x64"]));
  deepEqual(new Set(labels([512, 512], "of another version")), new Set(["matmul_shared_64x64"]));
  const textures = { ...smallTarget, texelReads: true };
  deepEqual(new Set(labels([512, 512], "matmul_texture_16x16", textures)), new Set(["matmul_texture_16x16"]));
  deepEqual(new Set(labels([512, 512], "matmul_tile_16x16", textures)), new Set(["matmul_texture_16x32"]));
  deepEqual(new Set(labels([512, 512], "matmul_shared_32x32", textures)), new Set(["matmul_texture_16x32"]));
});

Deno.test("sizes that round to one power of two are one class, small products are none", () => {
  const classOf = (...shape: number[]) => contests(smallTarget, shape).contests?.[0].shapeClass;
  equal(classOf(400, 400), "matmul 512x512x512 N4N4");
  equal(classOf(720, 720), classOf(512, 512));
  equal(classOf(256, 64), undefined);
});

/** What computes with a kernel. */
function suitesOf(variant: string): string[] {
  if (variant.startsWith("ternary")) return ["pack/packed_kernels_test.ts", "pipeline/formats_test.ts"];
  if (!variant.startsWith("matmul")) return ["kernels/fused_kernels_test.ts", "quant/hestia_test.ts"];
  return ["conformance_test.ts", "compile/products_test.ts", "kernels/attention_test.ts", "pack/packed_kernels_test.ts"];
}

async function suitesByEachKernel(): Promise<void> {
  for (const variant of variantNames) {
    const paths = suitesOf(variant).map((suite) => new URL(`../${suite}`, import.meta.url).pathname);
    const env = { HESTIA_TUNE: variant, HESTIA_DEEP: "0" };
    const command = new Deno.Command(Deno.execPath(), { args: ["test", "-A", "--no-check", ...paths], env });
    const { code, stdout } = await command.output();
    equal(code, 0, `${variant}: ${new TextDecoder().decode(stdout).slice(-4000)}`);
  }
}

if (deep) Deno.test("the suites are right by each kernel", suitesByEachKernel); // half an hour

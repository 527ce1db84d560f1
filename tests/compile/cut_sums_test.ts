/** Products of few results and long sums, which graphics processors compute in pieces. */

import { gradients, hessianVectorProduct, type Tensor, tensor } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { differences, onBoth } from "../support/backends.ts";
import { flat, programOf, smallTarget } from "../support/compiler.ts";
import { runLowered } from "../support/lowered.ts";

let seed = 0;
const random = (...shape: number[]): Tensor => {
  seed++;
  return tensor(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(1.3 * i * seed + i * i)), {
    shape,
  });
};

const filled = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b)), { shape });

const labels = (outputs: readonly Tensor[]) => programOf(outputs).dispatches.map(({ label }) => label);

/** A gradient of weights: inputs of many tokens, transposed, by what arrives at them. */
const weightGradient = (m: number, k: number, n: number) => random(k, m).transpose().matmul(random(k, n));

const cases: Record<string, () => Tensor[]> = {
  "a gradient of weights": () => [weightGradient(20, 1024, 12)],
  "sums of prime length": () => [random(9, 1031).matmul(random(1031, 7)), random(13, 2053).matmul(random(3, 2053).transpose())],
  "a bias and a residual": () => [weightGradient(9, 1100, 7).add(random(7)).add(random(9, 7)).tanh()],
  "two results of one product": () => ((y) => [y, y.exp().mul(random(9, 7))])(weightGradient(9, 1030, 7)),
  "a sum of products": () => [[1, 2, 3].map(() => weightGradient(10, 1033, 6)).reduce((a, b) => a.add(b)).mul(2)],
  "a batch, transposed": () => [random(2, 3, 9, 1029).matmul(random(2, 3, 1029, 5)).transpose()],
  "batch axes that nothing merges": () => {
    const x = random(3, 9, 2, 1024).transpose([2, 0, 1, 3]);
    return [x.matmul(random(1, 3, 1024, 5).expand([2, 3, 1024, 5]))];
  },
  "operands of half precision": () => {
    const [x, y] = [random(1100, 9), random(1100, 7)].map((each) => each.cast("float16").cast("float32"));
    return [x.transpose().matmul(y)];
  },
  "a part of k": () => [random(9, 2500).slice([0, 701], [9, 1801]).matmul(random(1100, 7))],
  "a gradient of a product in pieces": () => {
    const [x, y] = [random(9, 1030), random(1030, 10)];
    return gradients(x.matmul(y).square().sum(), [x, y]);
  },
  "a second derivative": () => {
    const [x, w, v] = [random(1030, 9), random(9, 10), random(9, 10)];
    return hessianVectorProduct(x.matmul(w).tanh().square().sum(), [w], [v]);
  },
};

for (const [says, build] of Object.entries(cases)) {
  Deno.test(`sums in pieces: ${says}`, async () => {
    const outputs = () => (seed = 0, build());
    ok(labels(outputs()).length > outputs().length, "nothing is cut");
    const { expected } = await onBoth(outputs);
    const names = expected.map((_, index) => `output ${index}`);
    deepEqual(differences(names, await runLowered(outputs(), { texelReads: false }), expected), []);
  });
}

Deno.test("sums longer than any kernel's are cut on every device", async () => {
  const { expected, actual } = await onBoth(() => (seed = 0, [random(1, 260_009).matmul(random(260_009, 1))]));
  deepEqual(differences(["dot"], actual, expected), []);
});

Deno.test("the more tiles there are, the fewer pieces: as many as fill a device, none where it is full or sums are short", () => {
  const pieces = (m: number, k: number, n: number, texelReads = false) => {
    const gradient = filled(k, m).transpose().matmul(filled(k, n));
    const { dispatches, scratchBytes } = lower(flat([gradient]), { ...smallTarget, texelReads });
    equal(dispatches.length, 1 + scratchBytes.length);
    return (scratchBytes[0] ?? 4 * m * n) / (4 * m * n);
  };
  deepEqual([pieces(64, 4096, 64), pieces(64, 16_384, 64)], [16, 64]);
  deepEqual([pieces(128, 4096, 384), pieces(512, 4096, 512), pieces(512, 4096, 516)], [16, 4, 1]);
  deepEqual([pieces(64, 1024, 64), pieces(64, 1020, 64)], [4, 1]);
  deepEqual([pieces(8, 8192, 64), pieces(64, 8192, 64, true)], [32, 1]);
  equal(labels([filled(8, 8192).matmul(filled(8192, 64))]).length, 1, "invocations share k");
  equal(
    labels([filled(2, 9, 3, 2, 1024).transpose([0, 2, 3, 1, 4]).matmul(filled(2, 3, 2, 1024, 5))]).length,
    1,
    "three batch axes",
  );
});

Deno.test("partial products are part of the planned memory, and free before what follows", () => {
  const bytes = 4 * 20 * 12;
  deepEqual(programOf([weightGradient(20, 1024, 12)]).scratchBytes, [4 * bytes]);
  const two = weightGradient(20, 1024, 12).mul(weightGradient(12, 1028, 12).sum());
  equal(Math.max(...programOf([two]).scratchBytes), 4 * bytes);
});

Deno.test("what follows a product in pieces is computed where these are added up", () => {
  deepEqual(labels([weightGradient(20, 1024, 12).mul(0.5).add(random(12)).tanh()]), ["matmul_shared_32x32", "tanh"]);
});

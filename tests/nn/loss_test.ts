import { compile, crossEntropy, gradients, headLoss, type Tensor, tensor, useBackend } from "../../mod.ts";
import { close, noise } from "../support/numbers.ts";
import { ok, throws } from "../assert.ts";

/** Logits, and a head by which hidden states are logits. */
const operands = () => [[0, 3, 0, 5], [1, 0, 0, 1]].map((numbers) => tensor(numbers, { shape: [2, 2] }));

/** Cross-entropy of one row, by the definition. */
const lossOf = (row: readonly number[], label: number) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[label];

for (const dtype of ["int32", "uint32"] as const) {
  Deno.test(`labels of ${dtype} that are ignored count neither in the sum nor in the mean`, async () => {
    const [logits, identity] = operands();
    const labels = tensor([1, 0], { dtype });
    const both = (lossOf([0, 3], 1) + lossOf([0, 5], 0)) / 2;
    const cases: [number | undefined, number][] = [[undefined, both], [0, lossOf([0, 3], 1)], [1, lossOf([0, 5], 0)], [7, both]];
    for (const [ignoreIndex, wanted] of cases) {
      for (const loss of [crossEntropy(logits, labels, { ignoreIndex }), headLoss(logits, identity, labels, { ignoreIndex })]) {
        ok(Math.abs(await loss.item() - wanted) < 1e-5, `${ignoreIndex}: ${await loss.item()} instead of ${wanted}`);
      }
    }
    ok(Number.isNaN(await crossEntropy(logits, tensor([0, 0], { dtype }), { ignoreIndex: 0 }).item()));
  });
}

for (const backend of ["reference", "webgpu"] as const) {
  Deno.test(`masked targets stand in uint32 as their bits, and are left out of the mean (${backend})`, async () => {
    await useBackend(backend);
    const rows = tensor(noise(5 * 7, { low: -3, high: 3 }), { shape: [5, 7] });
    const eye = tensor(Float32Array.from({ length: 49 }, (_, i) => i % 8 === 0 ? 1 : 0), { shape: [7, 7] });
    const alone = [[1, 6], [3, 0]].map(([row, label]) =>
      crossEntropy(rows.slice([row], [row + 1]), tensor(Int32Array.of(label)))
    );
    const wanted = await alone[0].add(alone[1]).div(2).item();
    const masked = [-100, 6, -100, 0, -100];
    for (const labels of [Uint32Array.from(masked), Int32Array.from(masked)]) {
      const ids = tensor(labels);
      const compiled = compile(({ ids }) => crossEntropy(rows, ids));
      const losses = [crossEntropy(rows, ids), headLoss(rows, eye, ids, { chunk: 3 }), compiled({ ids })];
      const found = await Promise.all((losses as Tensor[]).map((loss) => loss.item()));
      close(found, [wanted, wanted, wanted], { relative: 1e-5 });
      const [slope] = gradients(crossEntropy(rows, ids), [rows]);
      close((await slope.data()).slice(0, 7), new Array(7).fill(0));
    }
  });
}

Deno.test("an ignored row may hold anything", async () => {
  const rows = tensor([0, 3, NaN, Infinity], { shape: [2, 2] });
  const loss = await crossEntropy(rows, tensor([1, -100], { dtype: "int32" })).item();
  ok(Math.abs(loss - lossOf([0, 3], 1)) < 1e-5, `${loss}`);
});

Deno.test("a label that is no class is refused on the host, and counts as a logit of zero on the device", async () => {
  const [logits, identity] = operands();
  const labels = tensor([1, 9], { dtype: "uint32" });
  throws(
    () => crossEntropy(logits, labels),
    /the label 9 at 1 is no class, wanted 0 to 1, or 4294967196 for one that does not count/,
  );
  throws(
    () => headLoss(logits, identity, tensor([1, -1], { dtype: "int32" })),
    /the label -1 at 1 is no class, wanted 0 to 1, or -100/,
  );
  const loss = await crossEntropy(logits, labels.add(0)).item();
  ok(Math.abs(loss - (lossOf([0, 3], 1) + Math.log(1 + Math.exp(5))) / 2) < 1e-5, `${loss}`);
});

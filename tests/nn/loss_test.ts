import { crossEntropy, headLoss, tensor } from "../../mod.ts";
import { ok } from "../assert.ts";

const logits = tensor([0, 3, 0, 5], { shape: [2, 2] });
const identity = tensor([1, 0, 0, 1], { shape: [2, 2] });

/** Cross-entropy of one row, by the definition. */
const lossOf = (row: readonly number[], label: number) => Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[label];

for (const dtype of ["int32", "uint32"] as const) {
  Deno.test(`labels of ${dtype} that are ignored count neither in the sum nor in the mean`, async () => {
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

Deno.test("an ignored row may hold anything", async () => {
  const rows = tensor([0, 3, NaN, Infinity], { shape: [2, 2] });
  const loss = await crossEntropy(rows, tensor([1, -100], { dtype: "int32" })).item();
  ok(Math.abs(loss - lossOf([0, 3], 1)) < 1e-5, `${loss}`);
});

Deno.test("a label that is no class counts as a logit of zero", async () => {
  const loss = await crossEntropy(logits, tensor([1, 9], { dtype: "uint32" })).item();
  ok(Math.abs(loss - (lossOf([0, 3], 1) + Math.log(1 + Math.exp(5))) / 2) < 1e-5, `${loss}`);
});

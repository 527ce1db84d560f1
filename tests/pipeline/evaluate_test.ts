import { tensor } from "../../mod.ts";
import { llama } from "../../src/llama/model.ts";
import { heldOutLoss, rowsAtOnce } from "../../src/pipeline/evaluate.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";

const model = tinyModel({ layers: 1 });
const text = sampleText(150);

/** Sum of -log p of the tokens after the first of a window, one window at a time. */
async function windowLoss(tokens: Uint8Array): Promise<number> {
  const count = tokens.length - 1;
  const logits = await llama(model, tensor(Uint32Array.from(tokens.subarray(0, count)), { shape: [1, count] })).data();
  let sum = 0;
  for (let at = 0; at < count; at++) {
    const row = Array.from(logits.slice(at * 256, (at + 1) * 256));
    sum += Math.log(row.reduce((total, value) => total + Math.exp(value), 0)) - row[tokens[at + 1]];
  }
  return sum;
}

Deno.test("every token but the first is predicted once, also where the text fills neither a batch nor a window", async () => {
  const { lossNats, perplexity, tokens } = await heldOutLoss(model, text, { batchSize: 3, sequenceLength: 32 });
  let wanted = 0;
  for (let start = 0; start < 149; start += 32) wanted += await windowLoss(text.subarray(start, start + 33));
  equal(tokens, 149);
  ok(Math.abs(lossNats - wanted / 149) < 1e-5, `${lossNats}, wanted ${wanted / 149}`);
  equal(perplexity, Math.exp(lossNats));
});

Deno.test("the batch size changes nothing", async () => {
  const [a, b] = await Promise.all([1, 5].map((batchSize) => heldOutLoss(model, text, { batchSize, sequenceLength: 32 })));
  ok(Math.abs(a.lossNats - b.lossNats) < 1e-5);
});

Deno.test("large logits are computed for a part of a batch at a time", () => {
  const cases = [[8, 2 ** 20, 8], [8, 2 ** 24, 4], [6, 2 ** 24, 3], [7, 2 ** 24, 1], [8, 2 ** 30, 1], [1, 2 ** 30, 1]];
  for (const [batchSize, bytes, rows] of cases) {
    equal(rowsAtOnce(batchSize, bytes), rows, `${batchSize} windows of ${bytes} bytes`);
  }
});

Deno.test("an evaluation may end early, and tells how far it is", async () => {
  const told: number[][] = [];
  const onProgress = (...progress: number[]) => void told.push(progress);
  const { tokens } = await heldOutLoss(model, text, { batchSize: 2, sequenceLength: 16, maxBatches: 2, onProgress });
  equal(tokens, 64);
  deepEqual(told, [[64, 64]]);
  await rejects(heldOutLoss(model, text, { signal: AbortSignal.abort() }), { name: "AbortError" });
});

Deno.test("the seam for other projections is kept", async () => {
  const project = (name: string, x: ReturnType<typeof tensor>) => x.matmul(model.parameters[name].mul(0).transpose());
  const [own, other] = await Promise.all([heldOutLoss(model, text), heldOutLoss(model, text, { project })]);
  ok(Math.abs(own.lossNats - other.lossNats) > 1e-3);
});

Deno.test("a text of one token has nothing to predict", async () => {
  await rejects(heldOutLoss(model, text.subarray(0, 1)), /Cannot evaluate 1 tokens in batches of 8 × 128/);
  await rejects(heldOutLoss(model, text, { sequenceLength: 0 }), /Cannot evaluate 150 tokens in batches of 8 × 0/);
});

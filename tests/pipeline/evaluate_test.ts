import { crossEntropy, distillationLoss, gradients, initialModel, tensor, useBackend } from "../../mod.ts";
import { llama } from "../../src/llama/model.ts";
import { teacherConstants, trainingLoss } from "../../src/pipeline/distillation.ts";
import { evaluationBytes, heldOutLoss, rowsAtOnce } from "../../src/pipeline/evaluate.ts";
import { type Batch, ignoredTarget, windows } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";

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

Deno.test("batches are measured by their targets that count, each document by itself where it is named", async () => {
  const tokens = Uint32Array.from(text.subarray(0, 4 * 32 + 1));
  const plain = [...windows(tokens, { batchSize: 2, sequenceLength: 32 })];
  const [whole, inBatches] = [await heldOutLoss(model, tokens, { sequenceLength: 32 }), await heldOutLoss(model, plain)];
  deepEqual([inBatches.tokens, Math.abs(inBatches.lossNats - whole.lossNats) < 1e-6], [128, true]);
  const row = tokens.subarray(0, 32);
  const documents = Uint32Array.from(row, (_, at) => at < 11 ? 0 : 1);
  const silent: Batch = { inputs: row, targets: new Uint32Array(32).fill(ignoredTarget), shape: [1, 32] };
  const targets = tokens.slice(1, 33).map((id, at) => at === 10 || at === 31 ? ignoredTarget : id);
  async function* batches() {
    yield await Promise.resolve(silent); // nothing counts: it is passed over
    yield { ...silent, targets, documents };
  }
  const measured = await heldOutLoss(model, batches());
  const wanted = await windowLoss(text.subarray(0, 11)) + await windowLoss(text.subarray(11, 32));
  equal(measured.tokens, 30);
  ok(Math.abs(measured.lossNats - wanted / 30) < 1e-4, `${measured.lossNats}, wanted ${wanted / 30}`);
  equal((await heldOutLoss(model, plain, { maxBatches: 1 })).tokens, 64);
  await rejects(heldOutLoss(model, [silent]), /Cannot evaluate: no target of the text counts/);
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

/** A model whose logits of 70 tokens take more than 64 MiB, and are computed in pieces. */
const wide = () =>
  initialModel({ ...{ vocabularySize: 250_007, hiddenSize: 4, layers: 1, heads: 1, keyValueHeads: 1 }, intermediateSize: 4 }, {
    seed: 1,
    deviation: 0.5,
  });

Deno.test("logits of one window never exist as a whole where they are large, and the loss is the same", async () => {
  await useBackend("webgpu");
  const model = wide();
  const tokens = Uint32Array.from({ length: 71 }, (_, at) => at * 3511 % 250_007);
  const { lossNats } = await heldOutLoss(model, tokens, { batchSize: 1, sequenceLength: 70 });
  const [inputs, targets] = [tokens.slice(0, 70), tokens.slice(1)].map((ids) => tensor(ids, { shape: [1, 70] }));
  const wanted = await crossEntropy(llama(model, inputs), targets).item();
  ok(Math.abs(lossNats - wanted) < 1e-5 * wanted, `${lossNats}, wanted ${wanted}`);
  const { scratch } = (await evaluationBytes(model, { batchSize: 1, sequenceLength: 70 }))!;
  ok(scratch < 1.1 * 2 ** 26, `${scratch} bytes`);
});

Deno.test("distillation in pieces has the loss and the gradients of the whole", async () => {
  await useBackend("webgpu");
  const [student, teacher] = [wide(), wide()];
  const norm = "model.norm.weight";
  const sharper = { ...teacher, parameters: { ...teacher.parameters, [norm]: teacher.parameters[norm].mul(1.3) } };
  const ids = Uint32Array.from({ length: 70 }, (_, at) => at * 3511 % 250_007);
  const batch = { inputs: tensor(ids, { shape: [1, 70] }), targets: tensor(ids.toReversed(), { shape: [1, 70] }) };
  const distillation = { teacher: sharper, weight: 0.3 };
  const { config, parameters } = student;
  const loss = trainingLoss(config, parameters, { batch, constants: teacherConstants(distillation), distillation });
  const logits = llama(student, batch.inputs);
  const whole = crossEntropy(logits, batch.targets).mul(0.7).add(distillationLoss(logits, llama(sharper, batch.inputs)).mul(0.3));
  const [pieces, wanted] = await Promise.all(
    [loss, whole].map(async (each) => [await each.item(), ...await gradients(each, [parameters[norm]])[0].data()]),
  );
  close(pieces, wanted, { relative: 1e-3, absolute: 1e-5 });
});

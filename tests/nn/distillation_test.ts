import { gradients } from "../../src/autodiff/gradients.ts";
import { tensor } from "../../src/create.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { distillationLoss } from "../../src/nn/distillation.ts";
import { train, type TrainOptions } from "../../src/pipeline/train.ts";
import { useBackend } from "../../src/runtime.ts";
import { batches } from "../../src/train/data.ts";
import { ok, rejects, throws } from "../assert.ts";
import { sampleText } from "../support/models.ts";

const softmax = (x: readonly number[]) => {
  const powers = x.map(Math.exp);
  const sum = powers.reduce((total, power) => total + power);
  return powers.map((power) => power / sum);
};

/** The definition, row by row. */
function divergence(student: number[][], teacher: number[][], { temperature = 1, topK = Infinity } = {}): number {
  const rows = student.map((row, at) => {
    const kept = new Set([...teacher[at].keys()].sort((a, b) => teacher[at][b] - teacher[at][a]).slice(0, topK));
    const p = softmax(teacher[at].map((logit, index) => kept.has(index) ? logit / temperature : -Infinity));
    const q = softmax(row.map((logit) => logit / temperature));
    return p.reduce((sum, share, index) => kept.has(index) ? sum + share * Math.log(share / q[index]) : sum, 0);
  });
  return temperature ** 2 * rows.reduce((sum, row) => sum + row) / rows.length;
}

const student = [[0.3, -1, 2, 0.1, -0.4], [1, 1.5, -2, 0, 0.2], [-1, 0, 3, 0.5, 0.25]];
const teacher = [[1, 0.5, 1.9, -3, -0.1], [-0.5, 2, 0, 0.7, 1], [40, 0, -40, 1, 2]];

Deno.test("distillation is the mean divergence of the rows", async () => {
  for (const backend of ["webgpu", "reference"] as const) {
    await useBackend(backend);
    for (const options of [{}, { temperature: 2.5 }, { topK: 1 }, { topK: 2, temperature: 0.5 }, { topK: 5 }, { topK: 99 }]) {
      const loss = await distillationLoss(tensor(student), tensor(teacher), options).item();
      const wanted = divergence(student, teacher, options);
      ok(Math.abs(loss - wanted) < 1e-4 * (1 + wanted), `${backend} ${JSON.stringify(options)}: ${loss}, wanted ${wanted}`);
    }
  }
});

Deno.test("distillation moves the student towards the teacher, and not the teacher", async () => {
  await useBackend("webgpu");
  const [x, y] = [tensor(student), tensor(teacher)];
  const temperature = 2;
  const [ofStudent, ofTeacher] = gradients(distillationLoss(x, y, { temperature }), [x, y]);
  const got = await ofStudent.data();
  const wanted = student.flatMap((row, at) => {
    const [q, p] = [row, teacher[at]].map((logits) => softmax(logits.map((logit) => logit / temperature)));
    return q.map((share, index) => temperature * (share - p[index]) / student.length);
  });
  wanted.forEach((value, index) => ok(Math.abs(value - got[index]) < 1e-5, `${got[index]}, wanted ${value}`));
  ok([...await ofTeacher.data()].every((value) => value === 0));
  const same = await distillationLoss(x, tensor(student)).item();
  ok(Math.abs(same) < 1e-6);
});

Deno.test("distillation says what is wrong", () => {
  const x = tensor(student);
  throws(() => distillationLoss(x, tensor([1])), /Cannot distil float32\[1\] into float32\[3,5\]: wanted logits of one shape/);
  throws(() => distillationLoss(x, x, { temperature: 0 }), /temperature must be above 0, got 0/);
  throws(() => distillationLoss(x, x, { topK: 0.5 }), /topK must be an integer of at least 1, got 0.5/);
});

const sizes = { vocabularySize: 256, hiddenSize: 32, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 };

async function lossesOf(options: Partial<TrainOptions>): Promise<number[]> {
  const data = batches(sampleText(600), { batchSize: 2, sequenceLength: 12, seed: 1 });
  const losses: number[] = [];
  const run = train(initialModel(sizes, { seed: 3, deviation: 0.1 }), data, {
    steps: 3,
    learningRate: 1e-2,
    groupSize: 16,
    ...options,
  });
  for await (const event of run) if (event.type === "step") losses.push(event.lossNats);
  return losses;
}

Deno.test("train() learns from a teacher: itself at first, so that the loss begins as that share of the cross-entropy", async () => {
  await useBackend("webgpu");
  const teacher = initialModel(sizes, { seed: 3, deviation: 0.1 });
  const [plain] = await lossesOf({ steps: 1 });
  const [mixed] = await lossesOf({ steps: 1, distillation: { teacher, weight: 0.75, temperature: 2 } });
  ok(Math.abs(mixed - 0.25 * plain) < 1e-5, `${mixed} is not a quarter of ${plain}`);
  const rounded = await lossesOf({ steps: 20, quantizer: "ternary", distillation: { teacher, weight: 1, topK: 8 } });
  ok(rounded.at(-1)! < rounded[0] - 0.1, `${rounded[0]} to ${rounded.at(-1)}`);
  await rejects(() => lossesOf({ distillation: { teacher, weight: 1.5 } }), /Cannot distil with a weight of 1.5: wanted 0 to 1/);
});

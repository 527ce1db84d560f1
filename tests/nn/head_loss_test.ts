import { crossEntropy, gradients, headLoss, hessianVectorProduct, type Shape, type Tensor, tensor } from "../../mod.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { languageModelLoss } from "../../src/pipeline/data.ts";
import { ok, throws } from "../assert.ts";
import { agree } from "../support/backends.ts";
import { programOf } from "../support/compiler.ts";
import { tinyModel } from "../support/models.ts";
import { noise } from "../support/numbers.ts";

const random = (shape: Shape, seed: number) => tensor(noise(sizeOf(shape), { seed })).reshape(shape);
const labelsBelow = (tokens: number, classes: number) => Int32Array.from({ length: tokens }, (_, i) => (7 * i + 3) % classes);

/** Value and derivatives, of a loss in chunks minus the loss of whole logits, and of the loss in chunks itself. */
function compared([tokens, width, classes, chunk]: readonly number[]): Record<string, Tensor> {
  const [hidden, head] = [random([tokens, width], 1).mul(2), random([classes, width], 2)];
  const list = labelsBelow(tokens, classes);
  if (tokens > 2) list[1] = -100;
  const labels = tensor(list);
  const directions = [random(hidden.shape, 3), random(head.shape, 4)];
  const derived = (loss: Tensor) => [
    loss,
    ...gradients(loss, [hidden, head]),
    ...hessianVectorProduct(loss, [hidden, head], directions),
  ];
  const whole = derived(crossEntropy(hidden.matmul(head.transpose()), labels));
  const entries = derived(headLoss(hidden, head, labels, { chunk })).flatMap((x, k) => [
    [`result ${k} of ${[tokens, width, classes, chunk]}`, x],
    [`difference ${k} of ${[tokens, width, classes, chunk]}`, x.sub(whole[k])],
  ]);
  return Object.fromEntries(entries);
}

Deno.test("the loss in chunks, its gradients and their derivatives are those of whole logits", async () => {
  for (const sizes of [[1, 4, 1, 1], [5, 3, 7, 3], [6, 8, 33, 16], [9, 5, 40, 64]]) {
    await agree(() => compared(sizes), { relative: 1e-4 });
  }
});

Deno.test("logits exist for one chunk at a time, in the backward pass too", () => {
  const [tokens, width, classes, chunk] = [512, 8, 1000, 128];
  const inputs = [random([tokens, width], 1), random([classes, width], 2)];
  const labels = tensor(Uint32Array.from(labelsBelow(tokens, classes)));
  const bytes = (loss: Tensor) => programOf([loss, ...gradients(loss, inputs)]).scratchBytes.reduce((sum, part) => sum + part, 0);
  const whole = bytes(crossEntropy(inputs[0].matmul(inputs[1].transpose()), labels));
  const chunked = bytes(headLoss(inputs[0], inputs[1], labels, { chunk }));
  ok(whole > 4 * tokens * classes, `${whole}`);
  const rest = 4 * (8 * tokens * width + 3 * classes * width + 8 * tokens); // sums over chunks, parts of the gradients
  ok(chunked <= 2 * 4 * tokens * chunk + rest, `${chunked} against ${whole} bytes`);
});

Deno.test("models take the loss in chunks where logits would be more than 64 MiB", () => {
  const { config, parameters } = tinyModel({ vocabularySize: 128_256, layers: 0, hiddenSize: 4 });
  const batch = (tokens: number) => {
    const ids = tensor(new Uint32Array(tokens), { shape: [1, tokens] });
    return { inputs: ids, targets: ids };
  };
  const largest = (tokens: number) => Math.max(...programOf([languageModelLoss(config, parameters, batch(tokens))]).scratchBytes);
  ok(largest(100) === 100 * 128_256 * 4, `${largest(100)}`);
  ok(largest(200) <= 2 ** 26, `${largest(200)}`);
});

Deno.test("a loss in chunks refuses operands that do not fit", () => {
  const labels = tensor(new Uint32Array([1, 2]));
  throws(() => headLoss(random([2, 4], 1), random([8, 3], 2), labels), /wanted a head of \[classes, width\]/);
  throws(() => headLoss(random([2, 4], 1), random([8, 4], 2), labels, { chunk: 0 }), /chunks of 0 classes/);
});

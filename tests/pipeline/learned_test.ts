/** Quantizers that learn parameters, and one that adds a bias, from training to the packed file. */

import {
  batches,
  heldOutLoss,
  type LlamaModel,
  loadCheckpoint,
  openPacked,
  pack,
  registerQuantizer,
  roundedModel,
  saveCheckpoint,
  type Tensor,
  tensor,
  train,
  type TrainEvent,
  useBackend,
} from "../../mod.ts";
import { quantizedNames } from "../../src/llama/parameters.ts";
import { languageModelLoss } from "../../src/pipeline/data.ts";
import { quantizedProject } from "../../src/quant/project.ts";
import { quantizers } from "../../src/quant/registry.ts";
import { deepEqual, equal, notDeepEqual, ok, rejects, throws } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { close } from "../support/numbers.ts";

const name = "model.layers.0.mlp.up_proj.weight";
const size = { batchSize: 2, sequenceLength: 8, seed: 1 };
const read = async (x: Tensor) => Array.from(await x.data());

async function trained(model: LlamaModel, quantizer: string, steps = 3) {
  const options = { quantizer, groupSize: 64, steps, learningRate: 1e-3, schedule: { warmupSteps: 0 } } as const;
  let last: Extract<TrainEvent, { type: "end" }> | undefined;
  for await (const event of train(model, batches(sampleText(200), size), options)) if (event.type === "end") last = event;
  return last!;
}

for (const [quantizer, parts] of [["lsq", ["step"]], ["seq", ["range"]], ["dlt", ["scale", "shift"]]] as const) {
  Deno.test(`train() learns what ${quantizer} learns, and gives it back`, async () => {
    await useBackend("reference");
    const model = tinyModel({ layers: 1 });
    const { model: after, quantization } = await trained(model, quantizer);
    deepEqual(Object.keys(after.parameters).sort(), Object.keys(model.parameters).sort());
    const names = quantizedNames(model.config).flatMap((weight) => parts.map((part) => `${weight}#${part}`));
    deepEqual(Object.keys(quantization!.parameters!).sort(), names.sort());
    for (const part of parts) {
      const initial = quantizers[quantizer].parameters!(model.parameters[name], { groupSize: 64 })[part];
      const learned = await read(quantization!.parameters![`${name}#${part}`]);
      equal(learned.length, 128);
      notDeepEqual(learned, await read(initial));
      close(learned, await read(initial), { absolute: 0.01 }); // three steps of 0.001 at most
    }
  });
}

Deno.test("learned parameters do not decay", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  const options = { quantizer: "lsq", groupSize: 0, steps: 1, learningRate: 1e-3, optimizer: { weightDecay: 1000 } } as const;
  for await (const event of train(model, batches(sampleText(200), size), options)) {
    if (event.type !== "end") continue;
    const [step] = await read(event.quantization!.parameters![`${name}#step`]);
    const [initial] = await read(quantizers.lsq.parameters!(model.parameters[name], { groupSize: 0 }).step);
    ok(Math.abs(step - initial) < 2e-3, `${initial} became ${step}`);
  }
});

Deno.test("rounding, packing and checkpoints use what was learned", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  const { model: latent, quantization } = await trained(model, "lsq");
  const whole = { ...model, ...latent, quantization };
  const rounded = roundedModel(whole);
  const steps = await read(quantization!.parameters![`${name}#step`]);
  const values = await read(rounded.parameters[name]);
  deepEqual(values, values.map((value, at) => Math.sign(value) * steps[at >> 6] + 0));
  const folder = await Deno.makeTempDir();
  try {
    await saveCheckpoint(folder, whole, whole);
    const loaded = await loadCheckpoint(folder);
    const plain = ({ quantizer, groupSize }: { quantizer: string; groupSize: number }) => ({ quantizer, groupSize });
    deepEqual(plain(loaded.quantization!), plain(quantization!));
    deepEqual(Object.keys(loaded.quantization!.parameters!).sort(), Object.keys(quantization!.parameters!).sort());
    close(await read(loaded.quantization!.parameters![`${name}#step`]), steps, { relative: 1e-7 });
    deepEqual(Object.keys(loaded.parameters), Object.keys(model.parameters));
    const packed = await openPacked(await pack(loaded));
    close(await read(packed.parameters[name]), values, { relative: 1e-3 }); // scales are stored in half precision
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a model is rounded without training by initial parameters", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  const { parameters } = roundedModel({ ...model, quantization: { quantizer: "lsq", groupSize: 0 } });
  const [step] = await read(quantizers.lsq.parameters!(model.parameters[name], { groupSize: 0 }).step);
  close([...new Set(await read(parameters[name]))].sort((a, b) => a - b), [-step, 0, step], { absolute: 1e-15 });
});

Deno.test("the biases of tequila are in training and in the rounded model alike, and are refused by pack()", async () => {
  await useBackend("reference");
  const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "tequila", groupSize: 64 } };
  const batch = { inputs: tensor([[1, 2, 3]], { dtype: "uint32" }), targets: tensor([[2, 3, 4]], { dtype: "uint32" }) };
  const project = quantizedProject(model.parameters, quantizers.tequila, () => ({ groupSize: 64 }));
  const rounded = roundedModel(model);
  const losses = [project, undefined].map((own, at) =>
    languageModelLoss(model.config, [model, rounded][at].parameters, batch, { project: own })
  );
  const without = { ...rounded, quantization: undefined, parameters: { ...rounded.parameters } };
  for (const key of Object.keys(without.parameters)) if (key.endsWith("bias")) delete without.parameters[key];
  const [training, after] = await Promise.all(losses.map((loss) => loss.item()));
  close([training], [after], { relative: 1e-13 });
  ok(Math.abs(training - await languageModelLoss(model.config, without.parameters, batch).item()) > 1e-9);
  ok(Number.isFinite((await heldOutLoss(rounded, sampleText(40), { batchSize: 1, sequenceLength: 8 })).lossNats));
  await rejects(pack(model), /quantized by "tequila": the file has no place for its biases/);
});

Deno.test("a quantizer of one's own is trained with, rounded and packed by its name", async () => {
  await useBackend("reference");
  const model = tinyModel({ layers: 1 });
  registerQuantizer({ ...quantizers.ternary, name: "mine", summary: "Ternary under another name" });
  const [mine, theirs] = [await trained(model, "mine"), await trained(model, "ternary")];
  deepEqual(await read(mine.model.parameters[name]), await read(theirs.model.parameters[name]));
  equal(mine.quantization!.quantizer, "mine");
  const rounded = roundedModel({ ...mine.model, quantization: mine.quantization });
  deepEqual(new Set((await read(rounded.parameters[name])).map(Math.sign)), new Set([-1, 0, 1]));
  throws(() => registerQuantizer({ ...quantizers.lsq, name: "mine" }), /Cannot register the quantizer "mine": there is another/);
  await rejects(trained(model, "yours"), /Cannot quantize by "yours": wanted one of none, ternary, .*mine/);
});

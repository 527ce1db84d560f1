/** What must hold for any graph: hundreds of random ones here, thousands where HESTIA_DEEP is set. */

import fc from "fast-check";
import { compile, gradients, type Tensor, tensor, useBackend } from "../../mod.ts";
import { deepEqual, ok } from "../assert.ts";
import { differences, onBoth, read } from "../support/backends.ts";
import { runLowered, type Variation } from "../support/lowered.ts";
import { close, noise } from "../support/numbers.ts";
import { graphOf, leavesOf, type Plan, randomPlan } from "../support/random_graph.ts";

const deep = Deno.env.get("HESTIA_DEEP") === "1";
const batchSize = 20;

/** Plans in batches, which share a program: as many batches as asked for, or twelve times as many. */
function batches(numRuns: number, seed: number): Plan[][] {
  const plans = fc.sample(randomPlan, { numRuns: deep ? 12 * numRuns : numRuns, seed });
  return Array.from({ length: Math.ceil(plans.length / batchSize) }, (_, k) => plans.slice(k * batchSize, (k + 1) * batchSize));
}

const namesOf = (plans: readonly Plan[], outputs: readonly (readonly Tensor[])[]) =>
  plans.flatMap((plan, k) => outputs[k].map((_, index) => `output ${index} of ${JSON.stringify(plan)}`));

async function agreeOn(plans: readonly Plan[], outputsOf: (plan: Plan) => Tensor[]): Promise<void> {
  let names: string[] = [];
  const { expected, actual } = await onBoth(() => {
    const outputs = plans.map(outputsOf);
    names = namesOf(plans, outputs);
    return outputs.flat();
  });
  deepEqual(differences(names, actual, expected, { relative: 2e-4 }), []);
}

Deno.test("random graphs are the same on both backends", async () => {
  for (const plans of batches(160, 1)) await agreeOn(plans, (plan) => graphOf(plan, leavesOf(plan)));
});

Deno.test("random graphs with donated arguments are the same on both backends", async () => {
  for (const plans of batches(40, 2)) {
    await agreeOn(plans, (plan) => {
      const step = compile(({ leaves }: { leaves: Tensor[] }) => ({ outputs: graphOf(plan, leaves) }), { donate: ["leaves"] });
      return step({ leaves: leavesOf(plan) }).outputs;
    });
  }
});

Deno.test("gradients of random graphs are the same on both backends", async () => {
  for (const plans of batches(40, 3)) {
    await agreeOn(plans, (plan) => {
      const leaves = leavesOf(plan);
      return gradients(graphOf(plan, leaves).at(-1)!.mean(), leaves);
    });
  }
});

const variations: Readonly<Record<string, Variation>> = {
  "without fused kernels": { fused: false },
  "without textures": { texelReads: false },
  "with five buffers a kernel": { limits: { maxStorageBuffers: 5 } },
  "with a kilobyte a binding": { limits: { maxBindingBytes: 1024 }, texelReads: false },
};

for (const [says, variation] of Object.entries(variations)) {
  Deno.test(`random graphs compiled ${says} are the same`, async () => {
    for (const plans of batches(40, 4)) {
      const outputs = plans.map((plan) => graphOf(plan, leavesOf(plan)));
      const expected = await runLowered(outputs.flat());
      const actual = await runLowered(outputs.flat(), variation);
      deepEqual(differences(namesOf(plans, outputs), actual, expected, { relative: 2e-4 }), []);
    }
  });
}

/** A loss of a plan's leaves moved by `t`, and the leaves. */
function moved(plan: Plan, t: number): { loss: Tensor; leaves: Tensor[] } {
  const leaves = leavesOf(plan).map((leaf, k) =>
    leaf.add(tensor(noise(leaf.size, { seed: 70 + k }), { shape: leaf.shape }).mul(t))
  );
  const output = graphOf(plan, leaves, { smooth: true }).at(-1)!;
  return { loss: output.mul(tensor(noise(output.size, { seed: 9, low: 0.5 }), { shape: output.shape })).mean(), leaves };
}

Deno.test("gradients of random graphs are what finite differences say, in float64", async () => {
  await useBackend("reference");
  const step = 1e-6;
  let [smooth, kinked] = [0, 0];
  for (const plan of batches(100, 5).flat()) {
    const { loss, leaves } = moved(plan, 0);
    const directions = leaves.map((leaf, k) => tensor(noise(leaf.size, { seed: 70 + k }), { shape: leaf.shape }));
    const along = gradients(loss, leaves).map((g, k) => g.mul(directions[k]).sum()).reduce((a, b) => a.add(b));
    const [[before], [here], [after], [actual]] = await read([moved(plan, -step).loss, loss, moved(plan, step).loss, along]);
    const [left, right] = [(here - before) / step, (after - here) / step];
    if (Math.abs(left - right) > 1e-4 * (1 + Math.abs(right))) {
      kinked++; // a maximum, a comparison, a rounding or an index changes here
      continue;
    }
    smooth++;
    close([actual], [(left + right) / 2], { relative: 1e-5, absolute: 1e-7, says: JSON.stringify(plan) });
  }
  ok(kinked < 0.1 * smooth, `${kinked} kinks, ${smooth} smooth`);
});

import fc from "fast-check";
import { compile, gradients, type Tensor } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual, ok } from "../assert.ts";
import { differences, onBoth } from "../support/backends.ts";
import { flat, programOf, slotsOf, smallTarget } from "../support/compiler.ts";
import { graphOf, leavesOf, type Plan, randomPlan } from "../support/random_graph.ts";

async function agreeOn(plans: readonly Plan[], outputsOf: (plan: Plan) => Tensor[]): Promise<void> {
  const names: string[] = [];
  const { expected, actual } = await onBoth(() => {
    names.length = 0;
    return plans.flatMap((plan) => {
      const outputs = outputsOf(plan);
      names.push(...outputs.map((_, index) => `output ${index} of ${JSON.stringify(plan)}`));
      return outputs;
    });
  });
  deepEqual(differences(names, actual, expected, { relative: 1e-4 }), []);
}

Deno.test("random graphs are the same on both backends", async () => {
  await agreeOn(fc.sample(randomPlan, { numRuns: 40, seed: 2026 }), (plan) => graphOf(plan, leavesOf(plan)));
});

Deno.test("gradients of random graphs are the same on both backends", async () => {
  await agreeOn(fc.sample(randomPlan, { numRuns: 15, seed: 5 }), (plan) => {
    const leaves = leavesOf(plan);
    return gradients(graphOf(plan, leaves).at(-1)!.mean(), leaves);
  });
});

Deno.test("random graphs that overwrite their inputs are the same on both backends", async () => {
  await agreeOn(fc.sample(randomPlan, { numRuns: 15, seed: 3 }), (plan) => {
    const step = compile(({ leaves }: { leaves: Tensor[] }) => ({ outputs: graphOf(plan, leaves) }), { donate: ["leaves"] });
    return step({ leaves: leavesOf(plan) }).outputs;
  });
});

Deno.test("random graphs lower within the limits of a small device", () => {
  for (const plan of fc.sample(randomPlan, { numRuns: 100, seed: 7 })) {
    for (const dispatch of programOf(graphOf(plan, leavesOf(plan))).dispatches) {
      const [read, written] = [slotsOf(dispatch, "read"), slotsOf(dispatch, "write")];
      const says = `${dispatch.label} of ${JSON.stringify(plan)}`;
      ok(dispatch.bindings.length <= smallTarget.limits.maxStorageBuffers, `${says} binds too many`);
      ok(
        new Set(written).size === written.length && !written.some((slot) => read.includes(slot)),
        `${says} writes what it reads`,
      );
    }
  }
});

Deno.test("random graphs and gradients lower to what the smallest buffers hold, few of them in a kernel", () => {
  const limits = { ...smallTarget.limits, maxBindingBytes: 100, maxStorageBuffers: 4 };
  for (const plan of fc.sample(randomPlan, { numRuns: 40, seed: 15 })) {
    const leaves = leavesOf(plan);
    const outputs = graphOf(plan, leaves);
    const graph = flat([...outputs, ...gradients(outputs.at(-1)!.mean(), leaves)]);
    const { dispatches, inputBytes, outputs: results, scratchBytes } = lower(graph, { ...smallTarget, limits });
    for (const { label, bindings } of dispatches) {
      ok(bindings.length <= 4, `${label} binds ${bindings.length} for ${JSON.stringify(plan)}`);
    }
    const longest = Math.max(...inputBytes, ...results.map(({ bytes }) => bytes), ...scratchBytes);
    ok(longest <= 100, `${longest} bytes in a buffer for ${JSON.stringify(plan)}`);
  }
});

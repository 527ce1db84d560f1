import fc from "fast-check";
import { type Tensor, tensor } from "../../mod.ts";
import { fuse } from "../../src/compile/fuse.ts";
import type { Fusion } from "../../src/compile/groups.ts";
import { readsOf } from "../../src/compile/groups.ts";
import { planMemory } from "../../src/compile/memory.ts";
import { sizeOf } from "../../src/core/shape.ts";
import { deepEqual, equal, ok } from "../assert.ts";
import { flat, programOf } from "../support/compiler.ts";
import { graphOf, leavesOf, randomPlan } from "../support/random_graph.ts";

const filled = (...shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), { shape });

/** `count` products, one after another, each stored. */
function productsOf(x: Tensor, count: number): Tensor {
  const weight = filled(8, 8);
  for (let i = 0; i < count; i++) x = x.matmul(weight);
  return x;
}

Deno.test("a chain of stored results needs two buffers, however long", () => {
  deepEqual(programOf([productsOf(filled(8, 8), 20)]).scratchBytes, [256, 256]);
});

Deno.test("a freed buffer grows rather than leaving a hole", () => {
  const { scratchBytes } = programOf([
    productsOf(filled(4, 8).matmul(filled(8, 8)).matmul(filled(8, 100)).matmul(filled(100, 8)), 4),
  ]);
  equal(scratchBytes.length, 2);
});

Deno.test("a donated input gives its memory to an output of its size", () => {
  const [w, other] = [filled(5), filled(7)];
  const { outputs, released } = programOf([w.sub(1), other.sum()], [w, other]);
  deepEqual(outputs, [{ bytes: 20, donor: 0 }, { bytes: 4 }]);
  deepEqual(released, [1]);
});

Deno.test("a donated input that is read elsewhere afterwards keeps its memory until then", () => {
  const w = filled(8, 8);
  equal(programOf([w.transpose().add(w)], [w]).outputs[0].donor, undefined, "read at other elements");
  equal(programOf([w, w.add(1)], [w]).outputs[1].donor, undefined, "an output itself");
  equal(programOf([w.matmul(w)], [w]).outputs[0].donor, undefined, "read by a kernel");
  equal(programOf([w.flip(0)], [w]).outputs[0].donor, undefined, "reversed");
});

Deno.test("an output takes over an input of another dtype only once it was read", () => {
  const w = filled(5);
  const { outputs, released } = programOf([w.less(0)], [w]);
  deepEqual([outputs[0].donor, released], [undefined, [0]]);
});

/** Runs the plan on buffers that remember which node they hold: every reader must find the node that it wants. */
function simulate(fusion: Fusion): void {
  const { graph, groups, stored } = fusion;
  const bytesOf = (node: number) => sizeOf(graph.nodes[node].shape) * 4;
  const memory = planMemory(fusion, bytesOf);
  const holds = new Map(graph.leaves.map((node, index) => [`input${index}`, node]));
  const expectHeld = (node: number, says: string) => equal(holds.get(memory.slotText(node)), node, `${says} of node ${node}`);
  groups.forEach(({ roots, reduction, products = [] }, index) => {
    const reads = new Map(roots.flatMap((root) => [...readsOf(graph, stored, root)]).filter(([node]) => !roots.includes(node)));
    for (const node of reads.keys()) expectHeld(node, `read by kernel ${index}`);
    const partial = memory.partials.get(index);
    if (partial) holds.set(`${partial.kind}${partial.index}`, -1);
    for (const node of reads.keys()) if (partial) expectHeld(node, `read by the second stage of kernel ${index}`);
    for (const root of roots) {
      const held = holds.get(memory.slotText(root));
      const inPlace = held !== undefined && reads.has(held);
      if (inPlace) {
        ok(
          reads.get(held) && reduction === undefined && products.length < 2,
          `kernel ${index} overwrites node ${held}, which it reads elsewhere`,
        );
      }
      if (memory.slotOf.get(root)!.kind === "scratch") ok(memory.scratchBytes[memory.slotOf.get(root)!.index] >= bytesOf(root));
      holds.set(memory.slotText(root), root);
    }
    for (const root of roots) expectHeld(root, `stored by kernel ${index}`);
  });
  for (const { node } of memory.copies) expectHeld(node, "copied");
  for (const output of graph.outputs) expectHeld(output, "an output");
}

Deno.test("no two living nodes share memory, in random graphs, with and without donation", () => {
  fc.assert(
    fc.property(randomPlan, fc.boolean(), fc.constantFrom(6, 8, 32), (plan, donates, maxBuffers) => {
      const leaves = leavesOf(plan);
      simulate(fuse(flat(graphOf(plan, leaves), donates ? leaves : []), { maxBuffers, sideBySide: true, texelReads: false }));
    }),
    { numRuns: 300, seed: 11 },
  );
});

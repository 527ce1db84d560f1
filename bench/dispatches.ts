/**
 * Lists the kernels of a Llama block, for whoever wants fewer: `deno run -A bench/dispatches.ts [work] [--buffers]`. Each line names a
 * kernel, the buffers it reads (i: input, s: scratch, o: output; a plus joins those that share a texture) and those it writes.
 */

import { lower, type Target } from "../src/compile/lower.ts";
import { flattenGraph } from "../src/compile/flatten.ts";
import type { Dispatch, Slot } from "../src/core/program.ts";
import { blockInputs, blockWorks } from "./block.ts";

const limits = { maxBindingBytes: 2 ** 27, maxStorageBuffers: 16, maxTextures: 4, maxWorkgroups: 65_535 };
const target: Target = { limits, float16: false, texelReads: !Deno.args.includes("--buffers"), packedDots: true };

const slotName = ({ kind, index }: Slot): string => `${kind[0]}${index}`;

function line({ label, bindings }: Dispatch): string {
  const names = (access: "read" | "write") =>
    bindings.filter((binding) => binding.access === access)
      .map(({ slot, parts = [{ slot }] }) => parts.map((each) => slotName(each.slot)).join("+")).join(" ");
  return `  ${label}: ${names("read")} → ${names("write")}`;
}

const inputs = blockInputs();
for (const [name, work] of Object.entries(blockWorks)) {
  const { graph } = flattenGraph(work(inputs).map(({ node }) => node), [], new Set());
  const { dispatches } = lower(graph, target);
  console.log(`${name}: ${dispatches.length} dispatches`);
  if (Deno.args.includes(name)) { for (const each of dispatches) console.log(line(each)); }
}

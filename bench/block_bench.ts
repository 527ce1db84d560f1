/** A Llama block of 128 tokens, 256 wide, 8 heads, 768 in the middle: forward, with its gradients, and a Hessian-vector product. */

import { backendInfo, compile, realize } from "../mod.ts";
import type { Backend } from "../src/backend/backend.ts";
import { flattenGraph } from "../src/compile/flatten.ts";
import { lower } from "../src/compile/lower.ts";
import { type BlockInputs, blockInputs, blockWorks } from "./block.ts";
import { benchAll, runner } from "./measure.ts";

const device = await backendInfo() as Backend;
const inputs = blockInputs();
realize([inputs.h, ...inputs.directions, ...Object.values(inputs.parameters), inputs.rotary.cos, inputs.rotary.sin]);

const works = Object.entries(blockWorks).map(([name, work]) => {
  const { graph } = flattenGraph(work(inputs).map(({ node }) => node), [], new Set());
  return {
    name: `block: ${name}, ${lower(graph, device).dispatches.length} dispatches`,
    prepare() {
      const run = compile((inputs: BlockInputs) => work(inputs));
      return Promise.resolve(runner(() => run(inputs).forEach((result) => result.dispose())));
    },
  };
});

benchAll("block", works);

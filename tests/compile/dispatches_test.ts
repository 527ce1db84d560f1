import { type BlockInputs, blockInputs, blockWorks } from "../../bench/block.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";

/** Most dispatches of each piece of work. They may fall, not rise. */
const most: Readonly<Record<string, number>> = {
  "forward": 21,
  "forward and backward": 63,
  "Hessian-vector product": 166,
};

Deno.test("a Llama block, its gradients and its Hessian-vector products take no more dispatches than they did", () => {
  const inputs: BlockInputs = blockInputs();
  const limits = { ...smallTarget.limits, maxStorageBuffers: 16 };
  const count = (name: string, texelReads: boolean) =>
    lower(flat(blockWorks[name](inputs)), { ...smallTarget, limits, texelReads }).dispatches.length;
  const tooMany = Object.entries(most).flatMap(([name, bound]) =>
    [true, false].map((texelReads) => ({ name, texelReads, dispatches: count(name, texelReads) })).filter(({ dispatches }) =>
      dispatches > bound
    )
  );
  deepEqual(tooMany, []);
});

import { blockInputs, blockWorks } from "../../bench/block.ts";
import { lower } from "../../src/compile/lower.ts";
import { deepEqual } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";

/** Most dispatches of each piece of work, where textures are read and where tiles are kept in workgroup memory. They may fall, not rise. */
const most = [
  { work: "forward", texelReads: true, dispatches: 12 },
  { work: "forward", texelReads: false, dispatches: 10 },
  { work: "forward and backward", texelReads: true, dispatches: 32 },
  { work: "forward and backward", texelReads: false, dispatches: 25 },
  { work: "Hessian-vector product", texelReads: true, dispatches: 63 },
  { work: "Hessian-vector product", texelReads: false, dispatches: 51 },
];

Deno.test("a Llama block, its gradients and its Hessian-vector products take no more dispatches than they did", () => {
  const inputs = blockInputs();
  const limits = { ...smallTarget.limits, maxStorageBuffers: 16 };
  const counted = most.map(({ work, texelReads }) => {
    const { dispatches } = lower(flat(blockWorks[work](inputs)), { ...smallTarget, limits, texelReads });
    return { work, texelReads, dispatches: dispatches.length };
  });
  deepEqual(counted.filter(({ dispatches }, index) => dispatches > most[index].dispatches), []);
});

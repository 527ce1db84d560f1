/** What a graph of eight times the size costs the compiler. */

import { scriptMilliseconds } from "../../bench/clock.ts";
import { gradients, type Tensor, tensor } from "../../mod.ts";
import { fuse } from "../../src/compile/fuse.ts";
import { GroupJoiner } from "../../src/compile/joining.ts";
import { lower } from "../../src/compile/lower.ts";
import { ok } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";

const matrix = () => tensor(new Float32Array(64), { shape: [8, 8] });

/** Graphs of about so many products. */
const graphs: Record<string, (count: number) => Tensor[]> = {
  "a chain of products": (count) => [Array.from({ length: count }, matrix).reduce((x, w) => x.matmul(w), matrix())],
  "products that do not wait for each other": (count) => Array.from({ length: count }, () => matrix().matmul(matrix()).exp()),
  "layers that all read one tensor": (count) => {
    const shared = matrix();
    return [Array.from({ length: count }, matrix).reduce((x, w) => x.matmul(w).mul(shared).tanh(), matrix())];
  },
  "gradients of deep layers": (count) => {
    const weights = Array.from({ length: count / 3 }, matrix);
    return gradients(weights.reduce((x, w) => x.matmul(w).tanh().add(x), matrix()).square().sum(), weights);
  },
};

for (const [says, build] of Object.entries(graphs)) {
  Deno.test(`${says}: eight times as many are compiled in far less than 64 times the time`, () => {
    for (const texelReads of [false, true]) {
      const cost = (count: number, times: number) => {
        const runs = Array.from({ length: times }, () => {
          const graph = flat(build(count));
          const start = scriptMilliseconds();
          lower(graph, { ...smallTarget, texelReads });
          return scriptMilliseconds() - start;
        });
        return Math.min(...runs);
      };
      const [small, large] = [cost(240, 4), cost(1920, 1)];
      ok(large < 32 * small, `${small} ms became ${large} ms`);
    }
  });
}

Deno.test("a kernel is tried with a bounded number of others", () => {
  for (const build of Object.values(graphs)) {
    const fusion = fuse(flat(build(600)), { maxBuffers: 8, sideBySide: false, texelReads: false });
    let tries = 0;
    new GroupJoiner(fusion).run(() => void tries++);
    ok(tries > 0 && tries <= 64 * fusion.groups.length, `${tries} for ${fusion.groups.length}`);
  }
});

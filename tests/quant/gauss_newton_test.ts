/** Traces of the Gauss-Newton matrix against Jacobians, and against the Hessian where both are the same. */

import {
  crossEntropy,
  gaussNewtonTraces,
  hessianTraces,
  jacobianVectorProduct,
  type LogitPiecesFunction,
  type LogitsFunction,
  tensor,
  type TensorTrace,
  useBackend,
} from "../../mod.ts";
import type { TraceInputs, TraceProgress } from "../../mod.ts";
import { equal, ok } from "../assert.ts";
import { close, noise } from "../support/numbers.ts";

const [rows, features, hidden, classes] = [3, 2, 3, 5];
const matrix = (height: number, width: number, seed: number) =>
  tensor(noise(height * width, { seed }), { shape: [height, width] });
const inputs = (): TraceInputs => ({
  parameters: { first: matrix(features, hidden, 1), second: matrix(hidden, classes, 2) },
  batches: [{ x: matrix(rows, features, 3) }, { x: matrix(rows, features, 4) }],
});
const curved: LogitsFunction = ({ first, second }, { x }) => x.matmul(first).sin().mul(3).matmul(second);
const names = ["first", "second"];

async function last(progress: AsyncGenerator<TraceProgress>): Promise<readonly TensorTrace[]> {
  let traces: readonly TensorTrace[] = [];
  for await (const found of progress) traces = found.traces;
  return traces;
}

/** Sum over the entries of a tensor of Jᵀ S J, mean over rows and batches, from one column of the Jacobian after the other. */
async function exactTrace(name: string): Promise<number> {
  const { parameters, batches } = inputs();
  let trace = 0;
  for (const batch of batches) {
    const logits = curved(parameters, batch);
    const p = await logits.softmax().data();
    for (let entry = 0; entry < parameters[name].size; entry++) {
      const unit = Float64Array.from({ length: parameters[name].size }, (_, at) => at === entry ? 1 : 0);
      const direction = tensor(unit, { shape: parameters[name].shape });
      const column = await jacobianVectorProduct(logits, [parameters[name]], [direction]).data();
      for (let row = 0; row < rows; row++) {
        const weighed = (power: number) =>
          Array.from({ length: classes }, (_, at) => p[row * classes + at] * column[row * classes + at] ** power)
            .reduce((sum, term) => sum + term);
        trace += (weighed(2) - weighed(1) ** 2) / rows / batches.length;
      }
    }
  }
  return trace;
}

Deno.test("squared gradients along random slopes estimate the traces of Jᵀ S J", async () => {
  await useBackend("reference");
  const exactTraces = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await exactTrace(name)])));
  for (const backend of ["reference", "webgpu"] as const) {
    await useBackend(backend);
    const pieces: LogitPiecesFunction = (parameters, { x }) =>
      [[0, 1], [1, rows]].map(([start, stop]) => curved(parameters, { x: x.slice([start, 0], [stop, features]) }));
    const options = { names, probes: 200, seed: 2 };
    const traces = await Promise.all([curved, pieces].map((each) => last(gaussNewtonTraces(each, inputs(), options))));
    for (const { name, trace, standardError } of traces.flat()) {
      const exact = exactTraces[name];
      ok(standardError > 0 && standardError < 0.1 * exact, `${name}: standard error ${standardError} of ${exact}`);
      ok(Math.abs(trace - exact) < 3.5 * standardError, `${name} on ${backend}: ${trace} ± ${standardError}, exact ${exact}`);
    }
  }
});

Deno.test("the Gauss-Newton matrix of a model without curvature of its own is its Hessian", async () => {
  await useBackend("reference");
  const linear: LogitsFunction = ({ second }, { x }) => x.matmul(second);
  const own = { parameters: { second: matrix(features, classes, 2) }, batches: inputs().batches };
  const targets = tensor([4, 0, 2], { dtype: "uint32" });
  const options = { names: ["second"], probes: 200, seed: 3 };
  const [gaussNewton] = await last(gaussNewtonTraces(linear, own, options));
  const [hessian] = await last(
    hessianTraces((parameters, batch) => crossEntropy(linear(parameters, batch), targets), own, options),
  );
  const error = Math.hypot(gaussNewton.standardError, hessian.standardError);
  ok(error < 0.1 * hessian.trace);
  ok(Math.abs(gaussNewton.trace - hessian.trace) < 3.5 * error, `${gaussNewton.trace}, ${hessian.trace} ± ${error}`);
});

Deno.test("one certain class leaves no curvature, and seeds repeat", async () => {
  await useBackend("reference");
  const certain: LogitsFunction = (parameters, batch) => curved(parameters, batch).add(tensor([0, 1000, 0, 0, 0]));
  const traces = await last(gaussNewtonTraces(certain, inputs(), { names, probes: 2 }));
  close(traces.map(({ trace }) => trace), [0, 0], { absolute: 1e-12 });
  const find = async (seed: number) => (await last(gaussNewtonTraces(curved, inputs(), { names, probes: 2, seed })))[0].trace;
  equal(await find(1), await find(1));
  ok(await find(1) !== await find(2));
});

/**
 * Hessian traces tensor by tensor, as both releases measure them: Hutch++ with probes that only depend on a seed and a name.
 *
 * @module
 */

import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { atCaller } from "../core/errors.ts";
import { tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { columnwise, hutchPlusPlus } from "./hutch.ts";
import { seededProbes } from "./mersenne.ts";
import type { TensorTrace } from "./trace_state.ts";
import { finiteValues, type LossFunction, type TraceInputs } from "./traces.ts";

/** Settings of `hutchTraces`. */
export interface HutchTraceOptions {
  /** Tensors whose own diagonal blocks are measured. */
  readonly names: readonly string[];
  /** Columns of the sketch, at most the elements of a tensor; 10 by default. */
  readonly sketch?: number;
  /** Probes of what the sketch leaves; 20 by default. */
  readonly queries?: number;
  /** Of the probes: an integer from 0; 0 by default. */
  readonly seed?: number;
  /** Ends before the next tensor, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * Estimates the trace of each tensor's own Hessian block by Hutch++, one tensor after another: `2 sketch + queries` Hessian-vector products
 * for each tensor and batch. Each batch counts the same, whatever its size, and one of another shape is compiled anew. The signs are those of
 * the release of 2026, see `seededProbes`, seeded by the name without `.weight`.
 *
 * @yields the estimate of each tensor, in the order of `names`
 * @throws Error where an estimate is not finite, RangeError where there is no batch
 *
 * @example
 * ```ts
 * import { hutchTraces, tensor } from "@hestia/hestia";
 * const inputs = { parameters: { w: tensor([1, 2, 3]) }, batches: [{ x: tensor([1, 1, 2]) }] };
 * for await (const { trace } of hutchTraces(({ w }, { x }) => w.square().mul(x).sum(), inputs, { names: ["w"] })) {
 *   console.log(trace); // 8: exact, since the sketch has as many columns as there are elements
 * }
 * ```
 */
export async function* hutchTraces(
  loss: LossFunction,
  { parameters, batches }: TraceInputs,
  { names, sketch = 10, queries = 20, seed = 0, signal }: HutchTraceOptions,
): AsyncGenerator<TensorTrace> {
  if (batches.length === 0) throw atCaller(new RangeError("Cannot measure Hessian traces: wanted at least one batch"));
  for (const name of names) {
    signal?.throwIfAborted();
    const { shape, size } = parameters[name];
    const product = compile((inputs: { direction: Tensor; parameters: typeof parameters; batch: typeof batches[number] }) =>
      hessianVectorProduct(loss(inputs.parameters, inputs.batch), [inputs.parameters[name]], [inputs.direction])[0]
    );
    const mean = (direction: Tensor) => {
      const products = batches.map((batch) => product({ direction, parameters, batch }));
      return products.reduce((sum, each) => sum.add(each)).div(batches.length);
    };
    const operator = columnwise((vector) => mean(vector.reshape(shape)).reshape([size]));
    const probes = seededProbes(name.replace(/\.weight$/, ""), { seed, length: size, sketch, queries });
    const columns = Math.min(sketch, size);
    const estimate = hutchPlusPlus(operator, {
      sketch: tensor(probes.sketch, { shape: [size, columns] }),
      queries: queries === 0 ? 0 : tensor(probes.queries, { shape: [size, queries] }),
    });
    const standardError = await estimate.standardError.item();
    const [trace] = await finiteValues([name], [estimate.trace]);
    yield { name, trace, standardError };
  }
}

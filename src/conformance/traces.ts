/**
 * Exact Hessian traces of a recorded model, many entries of the diagonal in one program.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { arange, tensor, zeros } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { llama, type Project } from "../llama/model.ts";
import type { Tensor } from "../tensor.ts";
import { compile, realize } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { shiftedLoss } from "./llama.ts";

/** A recorded model with the weights that are measured. */
export interface MeasuredModel {
  readonly config: LlamaConfig;
  readonly parameters: Readonly<Record<string, Tensor>>;
  readonly ids: Tensor;
  readonly names: readonly string[];
}

/** Entries of the diagonal that one program computes: so many copies of the batch, each with one weight moved. */
const copies = 64;

/** Where the entries of a chunk lie: int32 `[copies]` each. */
interface Entries {
  readonly weight: Tensor;
  readonly row: Tensor;
  readonly column: Tensor;
}

/**
 * Entries of the Hessian's diagonal, as many at once as there are copies of the batch: copy p sees entry p of the chunk moved by epsilon_p,
 * so the second derivative of the sum of all losses along each epsilon is one entry.
 */
function diagonalOf({ config, parameters, ids, names }: MeasuredModel) {
  const [batch, length] = ids.shape;
  const one = (count: number, place: Tensor) =>
    arange([1, 1, count], { dtype: "int32" }).equal(place.reshape([copies, 1, 1])).where(1, 0);
  return compile(({ weight, row, column, epsilon }: Entries & { readonly epsilon: Tensor }) => {
    const project: Project = (name, x) => {
      const y = x.matmul(parameters[name].transpose());
      const index = names.indexOf(name);
      if (index < 0) return y;
      const [rows, columns] = parameters[name].shape;
      const input = x.reshape([copies, batch * length, columns]).mul(one(columns, column)).sum({ axes: 2, keepDims: true });
      const moved = weight.equal(index).where(epsilon, 0).reshape([copies, 1, 1]);
      return y.add(input.mul(one(rows, row)).mul(moved).reshape(y.shape));
    };
    const tiled = ids.reshape([1, batch, length]).expand([copies, batch, length]).reshape([copies * batch, length]);
    const losses = shiftedLoss(llama({ config, parameters }, tiled, { project }), tiled).mul(copies);
    const [slopes] = gradients(losses, [epsilon]);
    return gradients(slopes.sum(), [epsilon])[0];
  });
}

/** Exact traces of some of the weights, from a second derivative for each of their entries. */
async function exactTraces(model: MeasuredModel, measured: readonly string[]): Promise<number[]> {
  const diagonal = diagonalOf(model);
  const indices = (at: (entry: number) => number) => tensor(Int32Array.from({ length: copies }, (_, entry) => at(entry)));
  using epsilon = realize([zeros([copies])])[0];
  const traces: number[] = [];
  for (const name of measured) {
    const { size, shape: [, columns] } = model.parameters[name];
    let trace = 0;
    for (let first = 0; first < size; first += copies) {
      using weight = indices((entry) => first + entry < size ? model.names.indexOf(name) : -1);
      using row = indices((entry) => Math.floor((first + entry) / columns));
      using column = indices((entry) => (first + entry) % columns);
      using entries = diagonal({ weight, row, column, epsilon });
      trace += Array.from(await entries.data()).reduce((sum, entry) => sum + entry, 0);
    }
    traces.push(trace);
  }
  return traces;
}

/** The recorded exact traces of the measured weights. */
export async function exactTracesOf(recorded: Case, model: MeasuredModel, measured: readonly string[]): Promise<Computed> {
  const exact = recorded.expected("exact_traces").values;
  return {
    role: "exact_traces",
    value: await exactTraces(model, measured),
    expected: measured.map((name) => exact[model.names.indexOf(name)]),
    tolerance: "float32Trace",
    partial: `${measured.length} of ${model.names.length}`,
  };
}

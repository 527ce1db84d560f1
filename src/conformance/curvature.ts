/**
 * Cases of Hessians and their traces.
 *
 * @module
 */

import { hessianVectorProduct } from "../autodiff/hessian.ts";
import { sizeOf } from "../core/shape.ts";
import { tensor } from "../create.ts";
import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { llama } from "../llama/model.ts";
import { crossEntropy } from "../nn/loss.ts";
import { hutchPlusPlus } from "../quant/hutch.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { estimateStatistics } from "./estimates.ts";
import { shiftedLoss } from "./llama.ts";
import type { Effort } from "./operations.ts";
import { guidanceOf } from "./schedules.ts";
import { exactOf, tailIsArbitrary } from "./sketches.ts";
import { exactTracesOf } from "./traces.ts";

/**
 * `hutchpp_matrix`: the sketched estimate of a matrix's trace. Where a part of the basis was arbitrary, what was recorded of the two parts is
 * determined up to the rounding of the matrix, and the rest is compared on top of the trace.
 */
export function hutchCase(recorded: Case): Computed[] {
  const [sketch, queries] = [recorded.input("S"), recorded.input("Omega")];
  const matrix = recorded.input("H");
  const { lowRank, residual, trace } = hutchPlusPlus((x) => matrix.matmul(x), { sketch, queries });
  const exact = exactOf(matrix);
  const tolerance = tailIsArbitrary(recorded) ? "float32Arithmetic" : undefined;
  const [whole] = Array.from(recorded.expected("exact_trace").values);
  const [rest] = Array.from(recorded.expected("trace_res").values);
  return [
    { role: "trace_low", value: lowRank, tolerance },
    { role: "trace_res", value: residual.add(exact), expected: [rest + whole], tolerance },
    { role: "final_trace", value: trace, tolerance },
    { role: "exact_trace", value: exact },
  ];
}

/** `mlp_traces`: the whole Hessian of a small network, row by row, and the traces of its blocks. */
export function mlpTracesCase(recorded: Case): Computed[] {
  const weights = Object.values(recorded.inputsUnder("w"));
  const hidden = weights.reduce((x, weight, index) => {
    const y = x.matmul(weight.transpose());
    return index + 1 < weights.length ? y.tanh() : y;
  }, recorded.input("x"));
  const loss = crossEntropy(hidden, recorded.input("labels"));
  const starts = weights.map((_, index) => weights.slice(0, index).reduce((sum, { size }) => sum + size, 0));
  const total = starts.at(-1)! + weights.at(-1)!.size;
  const row = compile(({ direction }: { direction: Tensor }) => {
    const parts = weights.map(({ size, shape }, index) =>
      direction.slice([starts[index]], [starts[index] + size]).reshape(shape)
    );
    return hessianVectorProduct(loss, weights, parts);
  });
  const rows = Array.from({ length: total }, (_, at) => row({ direction: tensor(unitVector(total, at)) }));
  const traces = weights.map(({ size }, index) => {
    const diagonal = Array.from(
      { length: size },
      (_, at) => rows[starts[index] + at][index].reshape([size]).slice([at], [at + 1]),
    );
    return diagonal.reduce((sum, element) => sum.add(element));
  });
  return [{ role: "loss", value: loss }, { role: "H", value: rows.flat() }, { role: "traces", value: traces }];
}

function unitVector(length: number, at: number): Float64Array {
  const vector = new Float64Array(length);
  vector[at] = 1;
  return vector;
}

/**
 * `hessian_traces`: joint and block Hessian-vector products of a trained model, the scales that its exact traces give, and, by effort, the
 * exact traces themselves, a second derivative for each entry of a weight, and statistics of random estimates. On the reference backend
 * these would take hours.
 */
export async function hessianTracesCase(
  recorded: Case,
  { float32, effort }: { readonly float32: boolean; readonly effort: Effort },
): Promise<Computed[]> {
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const parameters = recorded.inputsUnder("w.");
  const ids = recorded.input("input_ids");
  const names = recorded.texts("tensors");
  const weights = names.map((name) => parameters[name]);
  const loss = shiftedLoss(llama({ config, parameters }, ids), ids);
  const product = compile(({ directions }: { directions: Tensor[] }) => hessianVectorProduct(loss, weights, directions));
  const directions = names.map((name) => recorded.input(`v.${name}`).reshape(parameters[name].shape));
  const joint = product({ directions });
  const computed: Computed[] = [{ role: "loss", value: loss }];
  names.forEach((name, index) => {
    const alone = directions.map((direction, other) =>
      other === index ? direction : tensor(new Float64Array(sizeOf(direction.shape)), { shape: direction.shape })
    );
    const block = product({ directions: alone })[index];
    computed.push({ role: `joint_hvp.${name}`, value: joint[index] }, { role: `block_hvp.${name}`, value: block });
  });
  computed.push(...guidanceOf(recorded, recorded.expected("exact_traces").values));
  if (!float32 || effort === "little") return computed;
  const model = { config, parameters, ids, names };
  const measured = effort === "all" ? names : names.filter((name) => /[kv]_proj/.test(name));
  const statistics = await estimateStatistics(recorded, model, { product, measured });
  return [...computed, await exactTracesOf(recorded, model, measured), ...statistics];
}

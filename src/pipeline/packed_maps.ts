/**
 * A model that computes with packed weights: its linear maps, and its parameters as what those mean.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import { tensor } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { biasName, type LinearMaps, type LlamaModel } from "../llama/model.ts";
import { type layerLinears, parameterShapes } from "../llama/parameters.ts";
import { type TernaryMatrix, ternaryWeights } from "../pack/format.ts";
import { fitsTable, halfTable, halfTableMatmul, halfTableRows, halfTableValues } from "../pack/half_table.ts";
import {
  fitsKernels,
  packedMatmul,
  type PackedMatmulOptions,
  packedNormMatmul,
  packedValues,
  type PackedWeight,
  type PackWeightOptions,
  packWeights,
} from "../pack/packed_weight.ts";
import { float16ToFloat32 } from "../io/float16.ts";
import { type RmsNorm, rmsNorm } from "../nn/normalization.ts";
import type { Tensor } from "../tensor.ts";

/** A parameter as a file holds it: a ternary matrix, half-precision bit patterns, or floats. */
export type StoredParameter = TernaryMatrix | Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** How packed weights lie and are computed with. */
export type PackedMapsOptions = PackedMatmulOptions & PackWeightOptions;

/** A parameter on the device. */
interface Placed {
  /** Its float32 values, computed where somebody asks for them. */
  readonly value: Tensor;
  /** `x`, normalised if there is a norm, times its transpose. */
  product(x: Tensor, norm?: RmsNorm): Tensor;
  /** Rows by index. */
  rows(indices: Tensor): Tensor;
}

/** Linear maps that are given the same input: one product serves all of them. */
const together: readonly (readonly (typeof layerLinears)[number][])[] = [
  ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
  ["self_attn.o_proj"],
  ["mlp.gate_proj", "mlp.up_proj"],
  ["mlp.down_proj"],
];

/**
 * Puts the parameters of a packed model on the device: two bits a ternary weight or five weights a byte, halves for embeddings. What the
 * packed kernels do not take becomes float32.
 *
 * @param read gives a parameter by name, rows in the model's order; each is asked for once
 * @returns the model without its tokenizer: its `maps` read what is packed, its `parameters` are computed from it when asked for
 */
export async function packedMaps(
  config: LlamaConfig,
  read: (name: string, shape: Shape) => Promise<StoredParameter>,
  options: PackedMapsOptions = {},
): Promise<LlamaModel & { readonly maps: LinearMaps }> {
  const shapes = parameterShapes(config);
  const placed: Record<string, Placed> = {};
  for (const names of groupsOf(config)) {
    const stored: StoredParameter[] = [];
    for (const name of names) stored.push(await read(name, shapes[name]));
    const group = ternaryGroup(stored, options) ?? stored.map((values, index) => single(values, shapes[names[index]], options));
    names.forEach((name, index) => placed[name] = group[index]);
  }
  const product = (name: string, x: Tensor, norm?: RmsNorm): Tensor => {
    const y = placed[name].product(x, norm);
    const bias = biasName(name);
    return Object.hasOwn(placed, bias) ? y.add(placed[bias].value) : y;
  };
  return {
    config,
    parameters: Object.fromEntries(Object.keys(shapes).map((name) => [name, placed[name].value])),
    maps: {
      project: (name, x) => product(name, x),
      projectNormed: product,
      embed: (ids) => placed["model.embed_tokens.weight"].rows(ids),
    },
  };
}

/** Names of all parameters, those together that are multiplied by the same input. */
function groupsOf(config: LlamaConfig): string[][] {
  const groups = Array.from(
    { length: config.layers },
    (_, layer) => together.map((linears) => linears.map((linear) => `model.layers.${layer}.${linear}.weight`)),
  ).flat();
  const grouped = new Set(groups.flat());
  return [...Object.keys(parameterShapes(config)).filter((name) => !grouped.has(name)).map((name) => [name]), ...groups];
}

/** Ternary matrices as one weight; undefined where they are not all ternary, or do not fit together. */
function ternaryGroup(stored: readonly StoredParameter[], options: PackedMapsOptions): Placed[] | undefined {
  const matrices = stored.filter((values): values is TernaryMatrix => !ArrayBuffer.isView(values));
  if (matrices.length < stored.length || !fitsKernels(matrices)) return undefined;
  const weight = packWeights(matrices, options);
  let from = 0;
  return matrices.map(({ rows }) => rowsOf(weight, { from, to: from += rows }, options));
}

function rowsOf(weight: PackedWeight, { from, to }: { from: number; to: number }, options: PackedMatmulOptions): Placed {
  const value = packedValues(weight).slice([from], [to]);
  return {
    value,
    rows: (indices) => value.gather(indices),
    product(x, norm) {
      const leading = x.shape.slice(0, -1);
      const y = norm ? packedNormMatmul(x, weight, { ...options, norm }) : packedMatmul(x, weight, options);
      return y.slice([...leading.map(() => 0), from], [...leading, to]);
    },
  };
}

function single(stored: StoredParameter, shape: Shape, options: PackedMapsOptions): Placed {
  if (!ArrayBuffer.isView(stored)) return ternaryGroup([stored], options)?.[0] ?? float(ternaryWeights(stored), shape);
  if (stored instanceof Float32Array) return float(stored, shape);
  const [rows, columns] = shape;
  if (!fitsTable(columns)) return float(float16ToFloat32(stored), shape);
  const table = halfTable(stored, { rows, columns });
  return {
    value: halfTableValues(table),
    product: (x, norm) => halfTableMatmul(normalised(x, norm), table),
    rows: (indices) => halfTableRows(table, indices),
  };
}

const normalised = (x: Tensor, norm?: RmsNorm): Tensor => norm ? rmsNorm(x, norm.weight, norm) : x;

function float(values: Float32Array<ArrayBuffer>, shape: Shape): Placed {
  const value = tensor(values, { shape });
  return { value, product: (x, norm) => normalised(x, norm).matmul(value.transpose()), rows: (indices) => value.gather(indices) };
}

/**
 * Tensor names of Llama in Hugging Face checkpoints and in GGUF files, and the order of rows that GGUF wants.
 *
 * @module
 */

import type { LlamaConfig } from "./config.ts";
import { familyOf } from "./families.ts";
import type { LayerLinear } from "./parameters.ts";

const globalNames = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": "output.weight",
} as const;

const layerNames = {
  "input_layernorm.weight": "attn_norm.weight",
  "self_attn.q_norm.weight": "attn_q_norm.weight",
  "self_attn.k_norm.weight": "attn_k_norm.weight",
  "post_attention_layernorm.weight": "ffn_norm.weight",
} as const;

const linearNames = {
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
} as const satisfies Record<LayerLinear, string>;

/** GGUF's name of the tensor that holds one rope factor per pair of dimensions; Hugging Face keeps them in `config.json`. */
export const ropeFactorsName = "rope_freqs.weight";

const fromHuggingFace = {
  global: new Map<string, string>(Object.entries(globalNames)),
  layer: new Map<string, string>([
    ...Object.entries(layerNames),
    ...Object.entries(linearNames).flatMap(([name, gguf]) =>
      ["weight", "bias"].map((part): [string, string] => [`${name}.${part}`, `${gguf}.${part}`])
    ),
  ]),
};
const fromGguf = { global: inverse(fromHuggingFace.global), layer: inverse(fromHuggingFace.layer) };

function inverse(names: Map<string, string>): Map<string, string> {
  return new Map([...names].map(([key, value]) => [value, key]));
}

/**
 * GGUF name of a Hugging Face tensor: `model.layers.3.mlp.up_proj.weight` → `blk.3.ffn_up.weight`. Throws a `RangeError` for
 * others.
 */
export function ggufName(huggingFaceName: string): string {
  const [, index, rest] = /^model\.layers\.(\d+)\.(.+)$/.exec(huggingFaceName) ?? [];
  const name = index === undefined ? fromHuggingFace.global.get(huggingFaceName) : fromHuggingFace.layer.get(rest);
  if (name === undefined) throw new RangeError(`Cannot name "${huggingFaceName}" in GGUF: it is no tensor of a Llama model`);
  return index === undefined ? name : `blk.${index}.${name}`;
}

/**
 * Hugging Face name of a GGUF tensor; the inverse of {@link ggufName}. Throws a `RangeError` for others, `rope_freqs.weight`
 * too.
 */
export function huggingFaceName(ggufName: string): string {
  const [, index, rest] = /^blk\.(\d+)\.(.+)$/.exec(ggufName) ?? [];
  const name = index === undefined ? fromGguf.global.get(ggufName) : fromGguf.layer.get(rest);
  if (name === undefined) {
    throw new RangeError(`Cannot name "${ggufName}" as Hugging Face does: it is no tensor of a Llama model`);
  }
  return index === undefined ? name : `model.layers.${index}.${name}`;
}

/**
 * Order of the rows of a query or key projection in GGUF: row r there is row `order[r]` here. Hugging Face rotates dimension i
 * of a head together with i + d/2, llama.cpp rotates neighbours, so each head's rows go from [2, d/2] to [d/2, 2]. `heads` is
 * the number of query heads for `q_proj`, of key-value heads for `k_proj`.
 */
export function ropeRowOrder(rows: number, heads: number): Uint32Array<ArrayBuffer> {
  const width = rows / heads;
  if (!Number.isInteger(width / 2)) {
    throw new RangeError(`Cannot order ${rows} rows of ${heads} heads: wanted an even number of rows a head`);
  }
  return Uint32Array.from({ length: rows }, (_, row) => {
    const inHead = row % width;
    return row - inHead + (inHead % 2) * (width / 2) + (inHead >> 1);
  });
}

/** Order in GGUF of the rows of a parameter (a weight or a bias) where it is not that of the model. */
export function ggufRowOrder(name: string, config: LlamaConfig): Uint32Array<ArrayBuffer> | undefined {
  const { heads, keyValueHeads, headDim } = config;
  const [, which] = /self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(name) ?? [];
  if (which === undefined || !familyOf(config).ggufReordersRows) return undefined;
  const count = which === "q" ? heads : keyValueHeads;
  return ropeRowOrder(count * headDim, count);
}

/** The order that undoes `order`. */
export function inverseOrder(order: Uint32Array): Uint32Array<ArrayBuffer> {
  const inverse = new Uint32Array(order.length);
  order.forEach((source, row) => inverse[source] = row);
  return inverse;
}

/** Arrays whose rows {@link reorderRows} moves: weights, codes, or the scales of groups that lie within one row. */
export type RowData =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>;

/**
 * A copy in which row r is row `order[r]` of `data`. Works for weights and codes, for one or more scales per row, and for packed
 * rows; a single scale of a whole tensor has no rows to move. Throws a `RangeError` when `data` is no whole number of values per
 * row.
 */
export function reorderRows<T extends RowData>(data: T, order: Uint32Array): T {
  const width = data.length / order.length;
  if (!Number.isInteger(width)) {
    throw new RangeError(`Cannot reorder ${order.length} rows of ${data.length} values: wanted a multiple`);
  }
  const result = data.slice() as T;
  order.forEach((source, row) => result.set(data.subarray(source * width, (source + 1) * width), row * width));
  return result;
}

/**
 * Cases of one decoder layer.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { arange } from "../create.ts";
import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { llamaBlock, plainProject, type Project } from "../llama/model.ts";
import { causalAttention } from "../nn/attention.ts";
import { rotaryTable, rotate } from "../nn/rotary.ts";
import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

const prefix = "model.layers.0.";

/** Attention weights, seen through `causalAttention` itself: applied to unit vectors as values, `headDim` of them at a time. */
function attentionProbabilities(q: Tensor, k: Tensor): Tensor[] {
  const [batch, keyValueHeads, keys, headDim] = k.shape;
  const columns: Tensor[] = [];
  for (let start = 0; start < keys; start += headDim) {
    const row = arange([keys, headDim], { axis: 0 });
    const unit = row.equal(arange([keys, headDim]).add(start)).cast("float32");
    columns.push(causalAttention(q, k, unit.expand([batch, keyValueHeads, keys, headDim])));
  }
  return columns;
}

/** Joins `[…, headDim]` blocks along the last axis and drops what reaches beyond `length`. */
function joinColumns(blocks: readonly Tensor[], length: number): Tensor {
  const width = blocks[0].shape.at(-1)!;
  const rank = blocks[0].shape.length;
  const zeros = (last: number) => [...new Array(rank - 1).fill(0), last];
  const padded = blocks.map((block, index) => block.pad(zeros(index * width), zeros((blocks.length - 1 - index) * width)));
  return padded.reduce((sum, block) => sum.add(block)).slice([], [...blocks[0].shape.slice(0, -1), length]);
}

/** `llama_block`: output, what the layer computes on the way, and gradients. */
export function llamaBlockCase(recorded: Case): Computed[] {
  const config = llamaConfig(recorded.object<HuggingFaceConfig>("config"));
  const weights = recorded.inputsUnder("w.");
  const parameters = Object.fromEntries(Object.entries(weights).map(([name, weight]) => [prefix + name, weight]));
  const h = recorded.input("h");
  const [batch, length] = h.shape;
  const rotary = rotaryTable({ headDim: config.headDim, theta: config.ropeTheta, scaling: config.ropeScaling, length });
  const seen: Record<string, { x: Tensor; y: Tensor }> = {};
  const plain = plainProject(parameters);
  const project: Project = (name, x) => (seen[name.slice(prefix.length)] = { x, y: plain(name, x) }).y;
  const { output, keys, values } = llamaBlock(h, 0, { config, parameters, project, rotary });
  const heads = seen["self_attn.q_proj.weight"].y.reshape([batch, length, config.heads, config.headDim]).transpose([0, 2, 1, 3]);
  const q = rotate(heads, rotary);
  const names = Object.keys(weights);
  const [dh, ...slopes] = gradients(output.mul(recorded.input("g")).sum(), [h, ...Object.values(weights)]);
  const results: Record<string, Tensor> = {
    y: output,
    dh,
    q_rot: q,
    k_rot: keys,
    v: values,
    attn_probs: joinColumns(attentionProbabilities(q, keys), length),
    attn_concat: seen["self_attn.o_proj.weight"].x,
    mlp_gate: seen["mlp.gate_proj.weight"].y,
    mlp_up: seen["mlp.up_proj.weight"].y,
    mlp_act: seen["mlp.down_proj.weight"].x,
    ...Object.fromEntries(names.map((name, index) => [`dw.${name}`, slopes[index]])),
  };
  return Object.entries(results).filter(([role]) => recorded.hasOutput(role)).map(([role, value]) => ({ role, value }));
}

/**
 * The Llama-3.2 model, and the families like it: pure functions of a record of tensors.
 *
 * It asks the outside for one thing: `project(name, x)`, the linear map called `name`. Plain models multiply by the weight, quantized
 * training by the quantized weight, packed models run a packed kernel.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { recompute } from "../autodiff/recompute.ts";
import { arange } from "../create.ts";
import { swiglu } from "../nn/activation.ts";
import { causalAttention } from "../nn/attention.ts";
import { type RmsNorm, rmsNorm } from "../nn/normalization.ts";
import { rotaryTable, rotate } from "../nn/rotary.ts";
import { writeRows } from "../nn/write_rows.ts";
import type { Tensor } from "../tensor.ts";
import type { KeyValueCache } from "./cache.ts";
import type { LlamaConfig } from "./config.ts";
import type { Parameters } from "./parameters.ts";

/** A model: its architecture and its parameters by Hugging Face name. */
export interface LlamaModel {
  /** Architecture. */
  readonly config: LlamaConfig;
  /** float32, by Hugging Face name. */
  readonly parameters: Parameters;
  /** What it computes with in place of the embedding and the weights of linear maps, which are then no parameters. */
  readonly maps?: LinearMaps;
}

/** Applies the linear map of a parameter to the last axis of `x`. */
export type Project = (name: string, x: Tensor) => Tensor;

/** Applies the linear map of a parameter to the last axis of `x`, which is normalised first. */
export type ProjectNormed = (name: string, x: Tensor, norm: RmsNorm) => Tensor;

/** Every matrix of a model, as functions: how packed models run. */
export interface LinearMaps {
  /** The linear maps of the layers, and the output head by the name of its parameter. */
  readonly project: Project;
  /** The same for `rmsNorm(x)`, where maps normalise what they read. */
  readonly projectNormed?: ProjectNormed;
  /** Embeddings of token ids: `[…]` to `[…, hidden]`, zeros for ids outside of the vocabulary. */
  readonly embed: (ids: Tensor) => Tensor;
}

/** What a layer needs besides its input. */
export interface BlockContext {
  readonly config: LlamaConfig;
  readonly parameters: Parameters;
  readonly project: Project;
  /** The same for `rmsNorm(x)`; computed one after the other where absent. */
  readonly projectNormed?: ProjectNormed;
  /** Cosines and sines for the positions of the input, `[positions, headDim / 2]`. */
  readonly rotary: { readonly cos: Tensor; readonly sin: Tensor };
  /** The document that each token belongs to, `[batch, tokens]`; without it all are one. */
  readonly documents?: Tensor;
  /** Keys and values of earlier tokens; without it the input is the whole context. */
  readonly cache?: { readonly layers: KeyValueCache["layers"]; readonly position: Tensor };
}

/** Name of the bias that goes with a weight. */
export function biasName(weight: string): string {
  return weight.replace(/weight$/, "bias");
}

/** Multiplies by the transposed weight, as Hugging Face stores it, and adds the bias where there is one. */
export function plainProject(parameters: Parameters): Project {
  return (name, x) => {
    const product = x.matmul(parameters[name].cast("float32").transpose()); // float16 is read as it is stored
    const bias = biasName(name);
    return Object.hasOwn(parameters, bias) ? product.add(parameters[bias]) : product;
  };
}

/** One decoder layer: `[batch, tokens, hidden]` to the same; `layer` is its number. Also returns the keys and values to cache. */
export function llamaBlock(h: Tensor, layer: number, context: BlockContext): { output: Tensor; keys: Tensor; values: Tensor } {
  const { config, parameters, project, projectNormed, rotary, documents, cache } = context;
  const prefix = `model.layers.${layer}`;
  const [batch, tokens] = h.shape;
  const normed = (name: string, x: Tensor): (map: string) => Tensor => {
    const norm = { weight: parameters[`${prefix}.${name}.weight`], epsilon: config.normEpsilon };
    if (projectNormed) return (map) => projectNormed(`${prefix}.${map}.weight`, x, norm);
    const y = rmsNorm(x, norm.weight, norm); // once: a vertex each would be one more to go back through
    return (map) => project(`${prefix}.${map}.weight`, y);
  };
  const projected = normed("input_layernorm", h);
  const heads = (name: string, count: number) => projected(`self_attn.${name}`).reshape([batch, tokens, count, config.headDim]);
  const turned = (name: "q" | "k", count: number) => {
    const x = heads(`${name}_proj`, count);
    const gain = `${prefix}.self_attn.${name}_norm.weight`;
    return rotate(config.queryKeyNorms ? rmsNorm(x, parameters[gain], { epsilon: config.normEpsilon }) : x, rotary, { axis: -3 });
  };
  const swapped = (x: Tensor) => x.transpose([0, 2, 1, 3]); // tokens and heads

  const q = swapped(turned("q", config.heads)); // [batch, heads, tokens, headDim]
  const newKeys = swapped(turned("k", config.keyValueHeads)); // keyValueHeads of them
  const newValues = swapped(heads("v_proj", config.keyValueHeads));
  const keys = cache ? writeRows(cache.layers[layer].keys, newKeys, cache.position) : newKeys;
  const values = cache ? writeRows(cache.layers[layer].values, newValues, cache.position) : newValues;
  const attended = swapped(causalAttention(q, keys, values, { offset: cache?.position ?? 0, documents }));
  const attention = project(
    `${prefix}.self_attn.o_proj.weight`,
    attended.reshape([batch, tokens, config.heads * config.headDim]),
  );
  const residual = h.add(attention);

  const expanded = normed("post_attention_layernorm", residual);
  const [gate, up] = [expanded("mlp.gate_proj"), expanded("mlp.up_proj")]; // [batch, tokens, intermediate]
  const output = residual.add(project(`${prefix}.mlp.down_proj.weight`, swiglu(gate, up)));
  return { output, keys, values };
}

/** Settings of a forward pass. */
export interface LlamaOptions {
  /** Linear maps other than by the weights of the model. */
  readonly project?: Project;
  /**
   * Saves memory in training: the inner results of every so-manieth layer, from the first on, are computed again in the backward pass
   * rather than kept. 1 for all layers, 0 (the default) for none.
   */
  readonly recomputeEvery?: number;
  /**
   * uint32 `[batch, tokens]`: the document that each token belongs to. Tokens then attend within their document only. Positions go on
   * over a sequence, which says the same: rotary embeddings see distances, and those within a document stay as they are.
   */
  readonly documents?: Tensor;
}

/**
 * Next-token logits for every position.
 *
 * @param ids uint32 or int32 `[batch, tokens]`; ids outside of the vocabulary read as a zero embedding
 * @returns float32 `[batch, tokens, vocabulary]`
 *
 * @example
 * ```ts
 * import { initialModel, llama, tensor } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const ids = tensor(new Uint32Array([72, 105]), { shape: [1, 2] });
 * console.log(`${llama(model, ids)}`); // float32[1,2,256]
 * ```
 */
export function llama(model: LlamaModel, ids: Tensor, options: LlamaOptions = {}): Tensor {
  return head(model, llamaHidden(model, ids, options));
}

/** What {@linkcode llama} applies the {@linkcode head} to: `[batch, tokens, hidden]`. */
export function llamaHidden(model: LlamaModel, ids: Tensor, options: LlamaOptions = {}): Tensor {
  const { config } = model;
  checkIds(model, ids);
  const rotary = rotaryTable({
    headDim: config.headDim,
    theta: config.ropeTheta,
    scaling: config.ropeScaling,
    length: ids.shape[1],
  });
  const context: BlockContext = { ...model, ...projectionsOf(model, options), rotary, documents: options.documents };
  const every = options.recomputeEvery ?? 0;
  let h = embed(model, ids);
  for (let layer = 0; layer < config.layers; layer++) {
    const block = (x: Tensor) => llamaBlock(x, layer, context).output;
    h = (every > 0 && layer % every === 0 ? recompute(block) : block)(h);
  }
  return h;
}

/** Settings of a forward pass that goes on from a cache. */
export interface CachedOptions extends LlamaOptions {
  /** Keys and values of the tokens before. */
  readonly cache: KeyValueCache;
  /** Number of tokens before: a uint32 scalar. */
  readonly position: Tensor;
  /** Rows for every position that the cache has room for. */
  readonly rotary: BlockContext["rotary"];
}

/**
 * Forward pass of the tokens that follow those in a cache. Only the last norm and the head are missing, so that a caller may apply
 * {@linkcode head} to the rows it needs.
 *
 * @param ids uint32 or int32 `[batch, tokens]`; positions beyond the room of the cache are lost
 * @returns float32 `[batch, tokens, hidden]`, and the cache with the new keys and values
 */
export function llamaCached(model: LlamaModel, ids: Tensor, options: CachedOptions): { hidden: Tensor; cache: KeyValueCache } {
  const { config, parameters } = model;
  checkIds(model, ids);
  const { cache, position } = options;
  const rows = arange(ids.shape[1], { dtype: "uint32" }).add(position);
  const rotary = { cos: options.rotary.cos.gather(rows), sin: options.rotary.sin.gather(rows) };
  const context: BlockContext = {
    config,
    parameters,
    ...projectionsOf(model, options),
    rotary,
    cache: { layers: cache.layers, position },
  };
  const layers: { keys: Tensor; values: Tensor }[] = [];
  let hidden = embed(model, ids);
  for (let layer = 0; layer < config.layers; layer++) {
    const { output, keys, values } = llamaBlock(hidden, layer, context);
    layers.push({ keys, values });
    hidden = output;
  }
  return { hidden, cache: { layers } };
}

/** Final normalisation and output head, which is never quantized: `[…, hidden]` to `[…, vocabulary]`. */
export function head(model: LlamaModel, h: Tensor): Tensor {
  const { normed, name } = headOperands(model, h);
  return projectOf(model)(name, normed);
}

/** What {@linkcode head} works on: `[…, hidden]`, normalised, and the name of its weight `[vocabulary, hidden]`. */
export function headOperands({ config, parameters }: LlamaModel, h: Tensor): { normed: Tensor; name: string } {
  return {
    normed: rmsNorm(h, parameters["model.norm.weight"], { epsilon: config.normEpsilon }),
    name: config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight",
  };
}

function projectOf({ parameters, maps }: LlamaModel): Project {
  return maps?.project ?? plainProject(parameters);
}

/** The linear maps that a caller asks for, or else those of the model. */
function projectionsOf(model: LlamaModel, { project }: LlamaOptions): Pick<BlockContext, "project" | "projectNormed"> {
  return project ? { project } : { project: projectOf(model), projectNormed: model.maps?.projectNormed };
}

function embed({ parameters, maps }: LlamaModel, ids: Tensor): Tensor {
  return maps ? maps.embed(ids) : parameters["model.embed_tokens.weight"].gather(ids).cast("float32");
}

function checkIds({ config }: LlamaModel, ids: Tensor): void {
  if (ids.shape.length !== 2) throw atCaller(new TypeError(`Cannot run the model on ${ids}: wanted token ids [batch, tokens]`));
  if (ids.shape[1] > config.maxPositions) {
    throw atCaller(new RangeError(`Cannot run the model on ${ids.shape[1]} tokens: its context ends at ${config.maxPositions}`));
  }
  const numbers = ids.node.value?.host; // where they are not on the device yet
  const foreign = numbers?.findIndex((id: number) => !(id >= 0 && id < config.vocabularySize)) ?? -1;
  if (foreign < 0) return;
  throw atCaller(
    new RangeError(
      `Cannot run the model on ${ids}: the token id ${numbers![foreign]} at ${foreign}, wanted 0 to ${config.vocabularySize - 1}`,
    ),
  );
}

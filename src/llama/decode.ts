/**
 * Decoding: a model, its cache, and one compiled step for each number of tokens that go in at once.
 *
 * @module
 */

import { tensor } from "../create.ts";
import { rotaryTable } from "../nn/rotary.ts";
import type { Tensor } from "../tensor.ts";
import { type Arguments, compile } from "../trace.ts";
import { emptyCache, grownCache, type KeyValueCache } from "./cache.ts";
import { head, llamaCached, type LlamaModel, type Project } from "./model.ts";
import { likeliest, sample } from "./sample.ts";

/** Settings of a {@linkcode Decoder}. */
export interface DecoderOptions {
  /** Tokens that the cache must have room for in the end. Its room grows with the tokens in it, so that no step reads much more. */
  readonly length: number;
  /** uint32. */
  readonly seed: number;
  /** How tokens are drawn; the likeliest ones where absent. */
  readonly sampling?: { readonly temperature: number; readonly topK?: number; readonly topP?: number };
  /** Linear maps other than by the weights of the model. */
  readonly project?: Project;
}

/** Tokens of a prompt that go in together at most; rooms of caches are multiples of it, so that few programs are compiled. */
const chunkLength = 64;
/** Room of the first cache. Each later one has twice the room, and a program of its own. */
const firstRoom = 2 * chunkLength;

/** Arguments of a step. */
interface StepInputs {
  readonly cache: KeyValueCache;
  /** uint32 `[1, tokens]`. */
  readonly ids: Tensor;
  /** Tokens in the cache. */
  readonly position: Tensor;
  /** Row whose logits the next token is drawn from. */
  readonly row: Tensor;
  /** uint32 scalar. */
  readonly seed: Tensor;
  /** Counts the draws: each has its own noise. */
  readonly draw: Tensor;
  readonly sampling: { readonly temperature?: Tensor; readonly topK?: Tensor; readonly topP?: Tensor };
}

type Step = (inputs: Arguments<StepInputs>) => { next: Tensor; cache: KeyValueCache };

/** Draws tokens one after another. Ids stay on the device: nothing is waited for until somebody reads them. */
export class Decoder {
  readonly #model: LlamaModel;
  readonly #length: number;
  readonly #step: Step;
  readonly #settings: Pick<Arguments<StepInputs>, "seed" | "sampling">;
  /** Tokens of a prompt that go in together. */
  readonly #chunk: number;
  #cache?: KeyValueCache;
  /** Tokens that the cache has room for. */
  #room = 0;
  #position = 0;

  /** Compiles nothing yet: that happens with the first tokens. */
  constructor(model: LlamaModel, { length, seed, sampling, project }: DecoderOptions) {
    this.#model = model;
    this.#chunk = Math.min(chunkLength, model.config.maxPositions);
    this.#length = Math.ceil(length / chunkLength) * chunkLength;
    this.#step = compileStep(model, { length: this.#length, project });
    const given = Object.entries(sampling ?? {}).filter(([, value]) => value !== undefined);
    this.#settings = { seed: tensor(Uint32Array.of(seed), { shape: [] }), sampling: Object.fromEntries(given) };
  }

  /** Empties the cache, reads a prompt of at least one token, and draws what follows: uint32 `[1, 1]`. */
  start(prompt: readonly number[], { draw }: { readonly draw: number }): Tensor {
    this.dispose();
    this.#position = 0;
    this.#room = this.#roomFor(prompt.length);
    this.#cache = emptyCache(this.#model.config, { length: this.#room });
    let next: Tensor | undefined;
    for (let from = 0; from < prompt.length; from += this.#chunk) {
      const chunk = prompt.slice(from, from + this.#chunk);
      const ids = new Uint32Array(this.#chunk); // what follows the prompt is overwritten before anything looks at it
      ids.set(chunk);
      next = this.#advance(tensor(ids, { shape: [1, this.#chunk] }), { tokens: chunk.length, draw });
    }
    return next!;
  }

  /** Reads the token that was drawn last, and draws the next: uint32 `[1, 1]`. */
  next(id: Tensor, { draw }: { readonly draw: number }): Tensor {
    return this.#advance(id, { tokens: 1, draw });
  }

  /** Frees the cache. */
  dispose(): void {
    for (const { keys, values } of this.#cache?.layers ?? []) [keys, values].forEach((buffer) => buffer.dispose());
    this.#cache = undefined;
  }

  /** The least room that a cache of so many tokens may have. */
  #roomFor(tokens: number): number {
    return Math.min(this.#length, firstRoom * 2 ** Math.max(0, Math.ceil(Math.log2(tokens / firstRoom))));
  }

  #advance(ids: Tensor, { tokens, draw }: { tokens: number; draw: number }): Tensor {
    const wanted = this.#roomFor(this.#position + tokens);
    if (wanted > this.#room) this.#cache = grownCache(this.#cache!, { length: this.#room = wanted });
    const place = { position: this.#position, row: tokens - 1, draw };
    const { next, cache } = this.#step({ cache: this.#cache!, ids, ...place, ...this.#settings });
    this.#cache = cache;
    this.#position += tokens;
    return next;
  }
}

function compileStep(model: LlamaModel, { length, project }: { length: number; project?: Project }): Step {
  const { headDim, ropeTheta: theta, ropeScaling: scaling, hiddenSize } = model.config;
  const rotary = rotaryTable({ headDim, theta, scaling, length });
  return compile(({ cache, ids, position, row, seed, draw, sampling }: StepInputs) => {
    const after = llamaCached(model, ids, { cache, position: position.cast("uint32"), rotary, project });
    const last = after.hidden.reshape([ids.shape[1], hiddenSize]).gather(row.cast("uint32").reshape([1])); // [1, hidden]
    const logits = head(model, last); // [1, vocabulary]
    const { temperature, topK, topP } = sampling;
    const drawSeed = seed.add(draw.cast("uint32").mul(0x9e3779b9));
    const id = temperature ? sample(logits, { temperature, topK, topP, seed: drawSeed }) : likeliest(logits);
    return { next: id.reshape([1, 1]), cache: after.cache };
  }, { donate: ["cache"] });
}

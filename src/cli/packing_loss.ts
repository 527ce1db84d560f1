/**
 * What a packed file has lost that could not hold its model.
 *
 * @module
 */

import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import type { LlamaModel } from "../llama/model.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { type Evaluation, heldOutLoss } from "../pipeline/evaluate.ts";
import { openPacked } from "../pipeline/open_packed.ts";
import { pack } from "../pipeline/pack.ts";
import { openPackedModel } from "./models.ts";
import { openRunData } from "./run_data.ts";

/** The measured cost of merged scales. */
export interface PackingLoss {
  /** Root of the mean square of the changes, over that of the weights. */
  readonly weightError: number;
  /** On the end of a text, with every scale in its place. */
  readonly exact: Evaluation;
  /** The same of the file. */
  readonly packed: Evaluation;
}

/** Windows that the losses are measured on. */
const windows = { batchSize: 4, sequenceLength: 128, maxBatches: 4 };
const heldOutShare = 0.1;

/** Measures the file at `path` against the same model in a format that holds all its scales. */
export async function lossOf(
  model: LanguageModel,
  { path, quantization, data, cache, signal }: {
    readonly path: string;
    readonly quantization: Quantization;
    /** As `openRunData` takes it. */
    readonly data: string;
    readonly cache?: string;
    readonly signal?: AbortSignal;
  },
): Promise<PackingLoss> {
  const exact = await openPacked(await pack(model, { format: "dense", quantization }));
  const packed = (await openPackedModel(path))!;
  const text = await openRunData(data, model, { heldOutFraction: heldOutShare, cache, signal });
  const lossOn = async (each: LlamaModel) => await heldOutLoss(each, (await text.heldOut(windows)).text, { ...windows, signal });
  let [squaredError, square] = [0, 0];
  for (const name of quantizedNames(model.config)) {
    const [wanted, got] = await Promise.all([exact, packed].map(({ parameters }) => parameters[name].data()));
    for (let i = 0; i < wanted.length; i++) {
      squaredError += (got[i] - wanted[i]) ** 2;
      square += wanted[i] ** 2;
    }
  }
  return {
    weightError: Math.sqrt(squaredError / square),
    exact: await lossOn(exact),
    packed: await lossOn(packed),
  };
}

/**
 * Perplexity of whole documents, as the release of 2026 measures it. It is not the usual one of text cut into windows: see `heldOutLoss`.
 *
 * @module
 */

import { tensor } from "../create.ts";
import type { LlamaModel } from "../llama/model.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import { requireIds } from "../train/data.ts";
import { packWholeDocuments, type TokenDocument, type WholePackingOptions } from "../train/documents.ts";
import { languageModelLoss } from "./data.ts";

/** Settings of `documentPerplexity`. */
export interface DocumentPerplexityOptions extends WholePackingOptions {
  /** Sequences that are measured at most; all by default. */
  readonly limit?: number;
}

/** What was measured. */
export interface DocumentPerplexity {
  /** exp of all nats over all predicted tokens; 1 where there are none. */
  readonly perplexity: number;
  /** Sum of cross-entropies of each sequence. */
  readonly nats: readonly number[];
  /** Predicted tokens of each sequence. */
  readonly tokens: readonly number[];
}

/** Targets that do not count. */
const ignored = -100;

/**
 * What each position of a sequence predicts: the next token, but nothing after an end token, since the next document tells nothing of the one
 * before.
 */
export function documentTargets(sequence: readonly number[], endToken: number): number[] {
  return sequence.slice(1).map((token, at) => sequence[at] === endToken ? ignored : token);
}

/**
 * Perplexity over whole documents. Documents are packed by `packWholeDocuments`; the end token is predicted, the token after it is not.
 *
 * @param model computed with as it is: round one with a quantization first, by `roundedModel`
 * @param documents token ids; null for an empty text
 *
 * @example
 * ```ts
 * import { documentPerplexity, initialModel } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const { perplexity, tokens } = await documentPerplexity(model, [[5, 6, 7], [8]], { sequenceLength: 9, endToken: 1 });
 * console.log(tokens, perplexity); // [4] and about 256, since the model has learned nothing
 * ```
 */
export async function documentPerplexity(
  { config, parameters }: LlamaModel,
  documents: Iterable<TokenDocument>,
  { limit = Infinity, ...packing }: DocumentPerplexityOptions,
): Promise<DocumentPerplexity> {
  const sequences = packWholeDocuments(documents, packing).slice(0, limit);
  for (const sequence of sequences) requireIds(sequence, { vocabularySize: config.vocabularySize }, "Cannot evaluate documents");
  const length = sequences.reduce((longest, sequence) => Math.max(longest, sequence.length - 1), 0);
  const lossOf = compile(
    (inputs: { parameters: LlamaModel["parameters"]; batch: Record<string, Tensor> }) =>
      languageModelLoss(config, inputs.parameters, inputs.batch),
    { donate: ["batch"] },
  );
  const measured: { readonly nats: number; readonly tokens: number }[] = [];
  for (const sequence of sequences) {
    const targets = documentTargets(sequence, packing.endToken);
    const tokens = targets.filter((target) => target !== ignored).length;
    // nothing before a position sees what pads the sequences to one length
    const padded = (values: readonly number[], by: number) =>
      tensor(Int32Array.from({ length }, (_, at) => values[at] ?? by), { shape: [1, length] });
    const loss = tokens === 0
      ? undefined
      : lossOf({ parameters, batch: { inputs: padded(sequence.slice(0, -1), 0), targets: padded(targets, ignored) } });
    measured.push({ tokens, nats: loss ? await loss.item() * tokens : 0 });
    loss?.dispose();
  }
  const [nats, tokens] = [measured.map(({ nats }) => nats), measured.map(({ tokens }) => tokens)];
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const total = sum(tokens);
  return { perplexity: total === 0 ? 1 : Math.exp(sum(nats) / total), nats, tokens };
}

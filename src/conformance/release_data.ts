/**
 * Cases of the release of 2026: how documents become sequences, and perplexity.
 *
 * @module
 */

import { type HuggingFaceConfig, llamaConfig } from "../llama/config.ts";
import { documentPerplexity, documentTargets } from "../pipeline/document_perplexity.ts";
import { countLabels } from "../pipeline/objective.ts";
import { roundedModel } from "../pipeline/rounded.ts";
import { batchOf, packDocuments, packWholeDocuments, type TokenDocument } from "../train/documents.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";
import { layerOf, recipe, type RecordedLayer } from "./release_quantizers.ts";
import { sameJson } from "./release_schedules.ts";

const documentsOf = (recorded: Case) => recorded.parameter("documents") as TokenDocument[];

/** `hestia2_packing`: sequences for training, or for perplexity. */
export function packingCase(recorded: Case): Computed[] {
  const kind = recorded.parameter("kind");
  if (kind === "train") return trainingSequences(recorded);
  if (kind !== "eval") throw new TypeError(`${recorded.name}: kind ${JSON.stringify(kind)} is not known`);
  const endToken = recorded.number("eos");
  const sequences = packWholeDocuments(documentsOf(recorded), {
    sequenceLength: recorded.number("seq_len"),
    endToken,
    beginToken: beginTokenOf(recorded),
  });
  return [
    sameJson("sequences", sequences, recorded.parameter("sequences")),
    sameJson(
      "shifted_labels",
      sequences.map((sequence) => documentTargets(sequence, endToken)),
      recorded.parameter("shifted_labels"),
    ),
  ];
}

function beginTokenOf(recorded: Case): number | undefined {
  return recorded.parameter("bos") === null ? undefined : recorded.number("bos");
}

function trainingSequences(recorded: Case): Computed[] {
  const endToken = recorded.number("eos");
  const most = recorded.number("max_sequences");
  const sequences = packDocuments(documentsOf(recorded), {
    sequenceLength: recorded.number("seq_len"),
    ...(recorded.parameter("append_eos") === false ? {} : { endToken }),
    ...(most > 0 ? { maxSequences: most } : {}),
  });
  const count = sameJson("sequences", sequences.length, recorded.number("sequences"));
  if (sequences.length === 0) return [count];
  const { predicted, labels } = countLabels(batchOf(sequences), new Set([endToken]));
  const tokens = sequences.flat();
  const masked = tokens.map((token) => token === endToken ? -100 : token); // what the trainer ignores, before the shift
  return [
    count,
    { role: "input_ids", value: tokens },
    { role: "labels", value: tokens },
    { role: "collated_labels_pad_is_eos", value: masked },
    { role: "num_items", value: [labels], expected: [recorded.number("num_items_pad_is_eos")] },
    { role: "predicted", value: [predicted], expected: [recorded.number("predicted_pad_is_eos")] },
  ];
}

/** `hestia2_perplexity`: nats and tokens of each sequence, and the perplexity. */
export async function perplexityCase(recorded: Case): Promise<Computed[]> {
  const plain = { config: llamaConfig(recorded.object<HuggingFaceConfig>("config")), parameters: recorded.inputsUnder("w.") };
  const quant = recorded.parameter("quant") ? recorded.object<RecordedLayer & { frozen: boolean }>("quant") : undefined;
  const { quantizer, state: { groupSize } } = layerOf(quant ?? {});
  const model = quant ? roundedModel({ ...plain, quantization: { quantizer: quantizer.name, recipe, groupSize } }) : plain;
  const { perplexity, nats, tokens } = await documentPerplexity(model, documentsOf(recorded), {
    sequenceLength: recorded.number("seq_len"),
    endToken: recorded.number("eos"),
    beginToken: beginTokenOf(recorded),
    ...(recorded.parameter("limit") === null ? {} : { limit: recorded.number("limit") }),
  });
  const own = { float32Error: recorded.number("float32_torch_rel_error"), onDevice: true };
  return [
    { role: "nll", value: nats, ...own },
    { role: "tokens", value: tokens },
    { role: "ppl_value", value: [perplexity], ...own },
    { role: "tokens_total", value: [tokens.reduce((sum, each) => sum + each, 0)], expected: [recorded.number("tokens_total")] },
    { role: "ppl", value: [perplexity], expected: [recorded.number("ppl")], ...own },
  ];
}

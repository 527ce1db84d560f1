/**
 * `deno task evaluate`: how well a model predicts text it was not trained on.
 *
 * @module
 */

import { heldOutLoss } from "../pipeline/evaluate.ts";
import { splitTokens } from "../train/data.ts";
import type { Command } from "./args.ts";
import { loadCorpus, PACKAGED_CORPUS } from "./corpus.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import { modelOption, openModel, refusing, required } from "./models.ts";
import { formatBytes, table } from "./table.ts";

const command = {
  name: "evaluate",
  summary: "Measures the loss of a trained or packed model on the end of a text, which training leaves out.",
  options: {
    model: modelOption,
    data: { type: "string", value: "FILE", default: PACKAGED_CORPUS, description: 'Text file, or "moby-dick"' },
    heldOut: {
      type: "number",
      minimum: 0.001,
      maximum: 1,
      default: 0.1,
      description: "Share of the text, its end, to evaluate on",
    },
    batchSize: { type: "integer", minimum: 1, default: 8, description: "Windows at a time" },
    sequenceLength: {
      type: "integer",
      minimum: 1,
      description: "Tokens of a window, the longest context (default: 128, or all that the model takes)",
    },
    maxBatches: { type: "integer", minimum: 1, description: "Evaluate this many batches only" },
  },
} as const satisfies Command;

if (import.meta.main) {
  await main(command, async ({ model: path, data, heldOut: share, sequenceLength, ...options }, { signal, print }) => {
    const { model, bytes, bitsPerWeight, description } = await openModel(required(path, "--model", command.name));
    const { heldOut } = splitTokens(model.tokenizer.encode(await loadCorpus(data)), share);
    if (heldOut.length < 2) {
      throw new UsageError(`the text ${data} is too short: ${heldOut.length} tokens are held out, wanted 2 or more`);
    }
    const window = sequenceLength ?? Math.min(128, model.config.maxPositions);
    const { lossNats, perplexity, tokens } = await refusing(() =>
      heldOutLoss(model, heldOut, { ...options, sequenceLength: window, signal })
    );
    print(table(["model", "loss (nats)", "perplexity", "tokens", "bytes", "bits per weight"], [
      [description, lossNats.toFixed(4), perplexity.toFixed(3), tokens, formatBytes(bytes), bitsPerWeight.toFixed(2)],
    ]));
    return { summary: { model: path, lossNats, perplexity, tokens, bytes, bitsPerWeight, data, heldOut: share } };
  });
}

/**
 * `deno task evaluate`: how well a model predicts text it was not trained on, or solves tasks.
 *
 * @module
 */

import { heldOutLoss } from "../pipeline/evaluate.ts";
import type { Command } from "./args.ts";
import { PACKAGED_CORPUS } from "./corpus.ts";
import { dataOption, textOptions } from "./data.ts";
import { UsageError } from "./errors.ts";
import { perplexityOptions, runPerplexity } from "./evaluate_perplexity.ts";
import { runTasks, taskOptions } from "./evaluate_tasks.ts";
import { main } from "./main.ts";
import { allowUnknownOption, modelOption, openModel, refusing, required } from "./models.ts";
import { reportedProgress } from "./progress.ts";
import { openRunData } from "./run_data.ts";
import { closing, generateCommand } from "./summary.ts";
import { formatBytes, table } from "./table.ts";

const command = {
  name: "evaluate",
  summary:
    "Measures a trained or packed model: its loss on text (files of any kind, or the end of moby-dick), or its accuracy on tasks.",
  options: {
    model: modelOption,
    allowUnknown: allowUnknownOption,
    data: { ...dataOption, default: PACKAGED_CORPUS, description: dataOption.description + ', or "moby-dick"' },
    heldOut: {
      type: "number",
      minimum: 0.001,
      maximum: 1,
      description: "Share of the text to evaluate on, that which training leaves out (default: all; the end of moby-dick, 0.1)",
    },
    ...textOptions,
    documentMask: { type: "boolean", description: "Cut attention between documents, as in training with this option" },
    batchSize: { type: "integer", minimum: 1, default: 8, description: "Windows at a time" },
    sequenceLength: {
      type: "integer",
      minimum: 1,
      description: "Tokens of a window, the longest context (default: 128, or all that the model takes)",
    },
    maxBatches: { type: "integer", minimum: 1, description: "Evaluate this many batches only" },
    ...perplexityOptions,
    ...taskOptions,
  },
} as const satisfies Command;

/** Which options say nothing without another, or beside it. */
function refuseUnused(flags: Readonly<Record<string, unknown>>): void {
  const isTyped = (name: string) => flags[name] !== undefined && flags[name] !== false;
  const refuse = (name: string, reason: string): never => {
    throw new UsageError(
      `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)} ${reason}; see deno task evaluate --help`,
    );
  };
  if (isTyped("tasks")) {
    for (const name of ["protocol", "klBase", "context", "stride", "heldOut", "sequenceLength", "maxBatches"]) {
      if (isTyped(name)) refuse(name, "does not go with --tasks");
    }
    return;
  }
  for (const name of ["compare", "details", "limit", "taskData"]) if (isTyped(name)) refuse(name, "goes with --tasks");
  if (!isTyped("protocol") && !isTyped("klBase")) {
    for (const name of ["context", "stride"]) if (isTyped(name)) refuse(name, "goes with --protocol");
    return;
  }
  const others = ["sequenceLength", "maxBatches", "documentMask", "parseSpecial"];
  for (const name of others) if (isTyped(name)) refuse(name, "does not go with --protocol, which says how text is cut");
  if (isTyped("heldOut") && flags.data !== PACKAGED_CORPUS) {
    refuse("heldOut", "does not go with --protocol, which takes files as they are");
  }
}

if (import.meta.main) {
  await main(command, async (flags, context) => {
    const { signal, print } = context;
    refuseUnused(flags);
    if (flags.tasks !== undefined) {
      const model = required(flags.model, "--model", command.name);
      return { summary: await runTasks({ ...flags, model, tasks: flags.tasks }, context) };
    }
    const heldOutFraction = flags.heldOut ?? (flags.data === PACKAGED_CORPUS ? 0.1 : 1);
    if (flags.protocol !== undefined || flags.klBase !== undefined) {
      const model = required(flags.model, "--model", command.name);
      return { summary: await runPerplexity({ ...flags, model, heldOutFraction }, context) };
    }
    const { model: path, data, allowUnknown, sequenceLength, field, parseSpecial, cache, documentMask, ...options } = flags;
    const { model, bytes, bitsPerWeight, description } = await openModel(required(path, "--model", command.name), {
      allowUnknown,
    });
    const window = sequenceLength ?? Math.min(128, model.config.maxPositions);
    using shown = reportedProgress({ title: "evaluating", unit: "tokens" });
    const text = await openRunData(data, model, { field, parseSpecial, cache, documentMask, heldOutFraction, signal });
    const { batchSize, maxBatches = Infinity } = options;
    const size = { batchSize, maxBatches, sequenceLength: window };
    const heldOut = await text.heldOut(size);
    const { lossNats, perplexity, tokens } = await refusing(() =>
      heldOutLoss(model, heldOut.text, { ...size, total: heldOut.total, signal, onProgress: shown.update })
    );
    shown.done();
    print(table(["model", "loss (nats)", "perplexity", "tokens", "bytes", "bits per weight"], [
      [description, lossNats.toFixed(4), perplexity.toFixed(3), tokens, formatBytes(bytes), bitsPerWeight.toFixed(2)],
    ]));
    print(closing({ written: [], next: [generateCommand(path!, model)] }));
    return { summary: { model: path, lossNats, perplexity, tokens, bytes, bitsPerWeight, data, heldOut: heldOutFraction } };
  });
}

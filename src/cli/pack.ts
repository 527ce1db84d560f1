/**
 * `deno task pack`: the packed model of a trained one.
 *
 * @module
 */

import type { Quantization } from "../llama/checkpoint.ts";
import { storageNames } from "../pack/fitting.ts";
import { packedFormats } from "../pack/formats.ts";
import { quantizers } from "../quant/registry.ts";
import type { Command, Values } from "./args.ts";
import { PACKAGED_CORPUS } from "./corpus.ts";
import { dataOption, textOptions } from "./data.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import { loadModelFolder, modelOption, required } from "./models.ts";
import { writePacked } from "./packing.ts";
import { lossOf } from "./packing_loss.ts";
import { openStored, storedSizes } from "./stored.ts";
import { formatBytes } from "./table.ts";

const command = {
  name: "pack",
  summary:
    "Writes the quantized weights of a trained model, with all that is needed to run it, into one file (bitnet: a folder).",
  options: {
    model: modelOption,
    output: { type: "string", value: "FILE", description: "File to write, such as model.gguf" },
    format: {
      type: "string",
      choices: storageNames,
      default: "q2_0",
      description: "Format of the quantized weights: GGUF but for bitnet (Hugging Face) and dense (1.6 bits, our own)",
    },
    embeddings: {
      type: "string",
      choices: ["f16", "q8_0"],
      default: "f16",
      description: "Format of the embedding and the head, in GGUF",
    },
    groupSize: {
      type: "integer",
      minimum: -1,
      description: "Weights of a full-precision model that share a scale (0 tensor, -1 channel); it is rounded without training",
    },
    allowLoss: {
      type: "boolean",
      description: "Merge scales that the format has no place for, and print what that costs",
    },
    data: { ...dataOption, default: PACKAGED_CORPUS, description: "Text that the cost is measured on, a tenth of it" },
    cache: textOptions.cache,
    compress: { type: "boolean", description: "Compress a dense file as gzip" },
  },
} as const satisfies Command;

type Options = Values<typeof command.options, Record<never, never>>;

/** How to round: what the model says of itself, or what was typed for one that says nothing. */
function quantizationFor(own: Quantization | undefined, { groupSize, format }: Options): Quantization | undefined {
  if (own && groupSize !== undefined && groupSize !== own.groupSize) {
    throw new UsageError(`--group-size must be ${own.groupSize}, as the model was trained, got ${groupSize}`);
  }
  if (own) return own;
  if (format === "f16" && groupSize !== undefined) throw new UsageError("--group-size rounds weights, --format f16 does not");
  if (groupSize !== undefined) return { quantizer: quantizers.ternary.name, groupSize };
  if (format === "f16") return undefined;
  throw new UsageError("the model is in full precision: --group-size says how to round it without training");
}

/** How the groups of a quantization are called. */
function groupsText(groupSize: number): string {
  return groupSize === 0 ? "one scale a tensor" : groupSize === -1 ? "one scale a channel" : `groups of ${groupSize}`;
}

/** Whether the format holds every scale. Throws a UsageError where it does not, and loss was not allowed. */
function isExact({ groupSize }: Quantization, { format, allowLoss }: Options): boolean {
  if (format === "f16" || packedFormats[format].holdsExactly(groupSize)) return true;
  if (allowLoss) return false;
  const others = Object.values(packedFormats).filter(({ holdsExactly }) => holdsExactly(groupSize)).map(({ name }) => name);
  throw new UsageError(
    `${format} holds group sizes ${packedFormats[format].granularities}, the model has ${groupsText(groupSize)}: choose ` +
      `--format ${others.join(", ")}, or --allow-loss to merge scales and see what that costs`,
  );
}

if (import.meta.main) {
  await main(command, async (options, { print, signal }) => {
    const path = required(options.model, "--model", command.name);
    const output = required(options.output, "--output", command.name);
    const model = await loadModelFolder(path);
    const quantization = quantizationFor(model.quantization, options);
    const exact = quantization ? isExact(quantization, options) : true;
    const { quantizer, groupSize } = quantization ?? {};
    if (quantization) {
      const trained = model.quantization ? `trained by ${quantizer} with` : "full precision, to be rounded to";
      print(
        `${path}: ${trained} ${groupsText(quantization.groupSize)}, which ${options.format} ${exact ? "holds" : "does not hold"}`,
      );
    }
    await writePacked(output, model, { ...options, quantization });
    using stored = await openStored(output);
    const { bitsPerWeight, quantizedWeights } = storedSizes(stored);
    const bytes = stored.fileBytes;
    print(`${output}: ${formatBytes(bytes)}, ${quantizedWeights} weights at ${Number(bitsPerWeight.toFixed(4))} bits each`);
    const { format, embeddings } = options;
    const summary = { output, format, embeddings, quantizer, groupSize, exact, bytes, quantizedWeights, bitsPerWeight };
    if (exact) return { summary };
    const loss = await lossOf(model, {
      path: output,
      quantization: quantization!,
      data: options.data,
      cache: options.cache,
      signal,
    });
    print(
      `lost: weights off by ${(100 * loss.weightError).toFixed(2)} %, held-out loss ${loss.exact.lossNats.toFixed(4)} → ` +
        `${loss.packed.lossNats.toFixed(4)} nats (${loss.packed.tokens} tokens)`,
    );
    return { summary: { ...summary, loss } };
  });
}

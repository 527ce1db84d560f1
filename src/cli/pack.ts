/**
 * `deno task pack`: the packed model of a trained one.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { parseGguf } from "../io/gguf_reader.ts";
import type { Quantization } from "../llama/checkpoint.ts";
import { type PackedFormatName, packedFormats } from "../pack/formats.ts";
import { pack, packedSizes } from "../pipeline/pack.ts";
import { quantizers } from "../quant/registry.ts";
import type { Command } from "./args.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import { loadModelFolder, modelOption, refusing, required } from "./models.ts";
import { formatBytes } from "./table.ts";

const command = {
  name: "pack",
  summary: "Writes the quantized weights of a trained model, with all that is needed to run it, into one GGUF file.",
  options: {
    model: modelOption,
    output: { type: "string", value: "FILE", description: "File to write, such as model.gguf" },
    format: {
      type: "string",
      choices: Object.keys(packedFormats) as PackedFormatName[],
      default: "q2_0",
      description: "Format of the quantized weights",
    },
    groupSize: {
      type: "integer",
      minimum: -1,
      description: "Round a full-precision model, without training: weights that share a scale (0 tensor, -1 channel)",
    },
  },
} as const satisfies Command;

/** How to round: what the model says of itself, or what was typed for one that says nothing. */
function quantizationFor(own: Quantization | undefined, groupSize: number | undefined): Quantization {
  if (own && groupSize !== undefined && groupSize !== own.groupSize) {
    throw new UsageError(`--group-size must be ${own.groupSize}, as the model was trained, got ${groupSize}`);
  }
  const quantization = own ?? (groupSize === undefined ? undefined : { quantizer: quantizers.ternary.name, groupSize });
  if (quantization) return quantization;
  throw new UsageError("the model is in full precision: --group-size says how to round it without training");
}

if (import.meta.main) {
  await main(command, async (options, { print }) => {
    const path = required(options.model, "--model", command.name);
    const output = required(options.output, "--output", command.name);
    const model = await loadModelFolder(path);
    const quantization = quantizationFor(model.quantization, options.groupSize);
    const bytes = await refusing(() => pack(model, { format: options.format, quantization }));
    await refusing(() => writeFileAtomic(output, bytes));
    const { bitsPerWeight, quantizedWeights } = packedSizes(parseGguf(bytes));
    print(`${output}: ${formatBytes(bytes.length)}, ${quantizedWeights} weights at ${bitsPerWeight} bits each`);
    const { quantizer, groupSize } = quantization;
    const sizes = { bytes: bytes.length, quantizedWeights, bitsPerWeight };
    return { summary: { output, format: options.format, quantizer, groupSize, ...sizes } };
  });
}

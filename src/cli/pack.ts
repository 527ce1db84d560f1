/**
 * `deno task pack`: the packed model of a trained one.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import { quantizedNames } from "../llama/parameters.ts";
import { misfit, storageNames, whatFits } from "../pack/fitting.ts";
import { asTernary, ternaryGroupSize } from "../pipeline/already_ternary.ts";
import { packedFormats } from "../pack/formats.ts";
import { quantizers } from "../quant/registry.ts";
import type { Command, Values } from "./args.ts";
import { PACKAGED_CORPUS } from "./corpus.ts";
import { quantizerNames } from "./config.ts";
import { matrixShapes } from "./model_defaults.ts";
import { dataOption, textOptions } from "./data.ts";
import { UsageError } from "./errors.ts";
import { checkNewFolder } from "./files.ts";
import { main } from "./main.ts";
import { allowUnknownOption, loadModelFolder, modelOption, required } from "./models.ts";
import { writePacked } from "./packing.ts";
import { lossOf } from "./packing_loss.ts";
import { openStored, storedSizes } from "./stored.ts";
import { closing, generateCommand } from "./summary.ts";
import { formatBytes } from "./table.ts";

const command = {
  name: "pack",
  summary:
    "Writes the quantized weights of a trained model, with all that is needed to run it, into one file (bitnet: a folder).",
  options: {
    model: {
      ...modelOption,
      description: "Folder of a run or of a model (config.json, model.safetensors, tokenizer.json), or a name on the Hub",
    },
    allowUnknown: allowUnknownOption,
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
    quantizer: {
      type: "string",
      value: "NAME",
      choices: quantizerNames,
      description:
        "What latent weights of another trainer were trained with (with --group-size; ternary: absmean, as BitNet does)",
    },
    groupSize: {
      type: "integer",
      minimum: -1,
      description:
        "Weights that share a scale (0 tensor, -1 channel), of a model that does not say; alone, it rounds without training",
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

/** How the groups of a quantization are called. */
function groupsText(groupSize: number): string {
  return groupSize === 0 ? "one scale a tensor" : groupSize === -1 ? "one scale a channel" : `groups of ${groupSize}`;
}

/** How a model's weights become ternary, and the same in words; both absent where they stay floats. */
interface Plan {
  readonly quantization?: Quantization;
  readonly text?: string;
  /** Whether they are ternary already, and are taken as they are. */
  readonly isTernary?: boolean;
}

/** What was trained decides: what the model says, then what its weights are, then what was typed. Nothing is guessed. */
async function planFor(model: LanguageModel, options: Options): Promise<Plan> {
  const { quantization: own } = model;
  const { quantizer, groupSize, format } = options;
  if (own && groupSize !== undefined && groupSize !== own.groupSize) {
    throw new UsageError(`--group-size must be ${own.groupSize}, as the model was trained, got ${groupSize}`);
  }
  if (own && quantizer !== undefined && quantizer !== own.quantizer) {
    throw new UsageError(`--quantizer must be ${own.quantizer}, as the model was trained, got ${quantizer}`);
  }
  const found = await ternaryGroupSize(model);
  if (found !== undefined) return await ternaryPlan(model, found, options);
  if (own) return { quantization: own, text: `trained by ${own.quantizer} with ${groupsText(own.groupSize)}` };
  if (groupSize !== undefined) {
    const quantization = { quantizer: quantizer ?? quantizers.ternary.name, groupSize };
    const what = quantizer === undefined
      ? "full precision, to be rounded"
      : "latent weights, to be rounded as they were trained,";
    return { quantization, text: `${what} by ${quantization.quantizer} to ${groupsText(groupSize)}` };
  }
  if (format === "f16" && quantizer === undefined) return {};
  throw new UsageError(
    "the model does not say how it was trained, and its weights are not ternary: --quantizer and --group-size say it for latent weights, " +
      "--group-size alone rounds a model in full precision",
  );
}

/** Weights that are ternary in the groups that were asked for, or in the coarsest that they have. */
async function ternaryPlan(model: LanguageModel, found: number, { groupSize, quantizer = "ternary" }: Options): Promise<Plan> {
  const { quantization: own } = model;
  const wanted = groupSize ?? own?.groupSize ?? found;
  const [name] = quantizedNames(model.config);
  if (!await asTernary(model.parameters[name], wanted)) {
    throw new UsageError(
      `the weights are ternary already, with ${groupsText(found)}: wanted --group-size ${found}, got ${wanted}`,
    );
  }
  const text = `ternary already, with ${groupsText(wanted)}, and taken as it is`;
  return { quantization: { quantizer: own?.quantizer ?? quantizer, groupSize: wanted }, text, isTernary: true };
}

/** Whether the format holds every scale. Throws a UsageError where it does not, and loss was not allowed, or has no place for the rows. */
function isExact({ groupSize }: Quantization, shapes: readonly Shape[], { format, allowLoss }: Options): boolean {
  const reason = misfit(format, shapes);
  const holding = whatFits(shapes, groupSize);
  if (reason && holding === "") {
    throw new UsageError(
      `${format} ${reason}, and no format holds ${groupsText(groupSize)} of this model: choose another --group-size`,
    );
  }
  if (reason) {
    throw new UsageError(`${format} ${reason}: choose --format ${holding}, which hold ${groupsText(groupSize)} of this model`);
  }
  if (format === "f16" || packedFormats[format].holdsExactly(groupSize)) return true;
  if (allowLoss) return false;
  throw new UsageError(
    `${format} holds group sizes ${packedFormats[format].granularities}, the model has ${groupsText(groupSize)}: choose ` +
      `--format ${holding}, or --allow-loss to merge scales and see what that costs`,
  );
}

if (import.meta.main) {
  await main(command, async (options, { print, signal }) => {
    const path = required(options.model, "--model", command.name);
    const output = required(options.output, "--output", command.name);
    if (options.format === "bitnet") await checkNewFolder(output);
    const model = await loadModelFolder(path, options);
    const { quantization, text, isTernary } = await planFor(model, options);
    const exact = quantization ? isExact(quantization, matrixShapes(model.config), options) : true;
    const { quantizer, groupSize } = quantization ?? {};
    if (text) print(`${path}: ${text}, which ${options.format} ${exact ? "holds" : "does not hold"}`);
    const { quantization: _, ...floats } = model;
    const source = isTernary ? floats : quantization ? { ...model, quantization } : model; // half precision has nothing else to go by
    await writePacked(output, source, { ...options, ...(isTernary ? { quantization } : {}) });
    using stored = await openStored(output);
    const { bitsPerWeight, quantizedWeights } = storedSizes(stored);
    const bytes = stored.fileBytes;
    print(`${output}: ${formatBytes(bytes)}, ${quantizedWeights} weights at ${Number(bitsPerWeight.toFixed(4))} bits each`);
    const { format, embeddings } = options;
    const summary = { output, format, embeddings, quantizer, groupSize, exact, bytes, quantizedWeights, bitsPerWeight };
    const close = () => print(closing({ written: [output], next: [generateCommand(output, model)] }));
    if (exact) {
      close();
      return { summary };
    }
    const loss = await lossOf(source, {
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
    close();
    return { summary: { ...summary, loss } };
  });
}

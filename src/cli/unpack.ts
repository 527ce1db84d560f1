/**
 * `deno task unpack`: a checkpoint from a packed model.
 *
 * @module
 */

import { saveCheckpoint } from "../llama/checkpoint.ts";
import type { Command } from "./args.ts";
import { UsageError } from "./errors.ts";
import { checkNewFolder } from "./files.ts";
import { main } from "./main.ts";
import { allowUnknownOption, openPackedModel, refusing, required } from "./models.ts";
import { closing, shellWord } from "./summary.ts";
import { formatBytes } from "./table.ts";

const command = {
  name: "unpack",
  summary: "Writes the weights of a packed model as a checkpoint of float32, in Hugging Face's layout.",
  options: {
    model: {
      type: "string",
      value: "PATH",
      description: "GGUF or dense file, or a folder that deno task pack --format bitnet wrote",
    },
    allowUnknown: allowUnknownOption,
    output: { type: "string", value: "FOLDER", description: "Folder to write" },
  },
} as const satisfies Command;

if (import.meta.main) {
  await main(command, async (options, { print }) => {
    const path = required(options.model, "--model", command.name);
    const output = required(options.output, "--output", command.name);
    await checkNewFolder(output);
    const packed = await openPackedModel(path, options);
    if (!packed) throw new UsageError(`cannot unpack ${path}: it holds no packed model`);
    await refusing(() => saveCheckpoint(output, packed, packed));
    const { bytes } = packed.sizes;
    const weights = Object.values(packed.parameters).reduce((sum, { size }) => sum + size, 0);
    print(`${output}: ${weights} weights as float32, ${formatBytes(bytes)} → ${formatBytes(4 * weights)}`);
    const { trainedWith } = packed;
    const again = `deno task pack --model ${shellWord(output)} --group-size ${trainedWith?.groupSize} --output model.gguf`;
    print(closing({ written: [output], next: trainedWith ? [again] : [`deno task evaluate --model ${shellWord(output)}`] }));
    return { summary: { output, weights, ...trainedWith } };
  });
}

/**
 * `deno task tokenize`: text as token ids in the cache, where training and evaluation find them.
 *
 * @module
 */

import { withCheckpoint } from "../io/safetensors_file.ts";
import { readJsonFile } from "../io/files.ts";
import { modelSettings } from "../llama/checkpoint.ts";
import type { TextFormat } from "../data/encode.ts";
import type { Command } from "./args.ts";
import { dataOption, dataTable, openTexts, textOptions } from "./data.ts";
import { main } from "./main.ts";
import { modelFolder, modelOption, openModel, refusing, required, statOf } from "./models.ts";

const command = {
  name: "tokenize",
  summary: "Tokenizes text for a model, on all cores, into the cache that training reads. Cut short, it goes on where it was.",
  options: {
    model: modelOption,
    data: dataOption,
    heldOut: {
      type: "number",
      minimum: 0,
      maximum: 1,
      default: 0.1,
      description: "Share of the documents that training will hold out; another share is another cache",
    },
    ...textOptions,
    workers: { type: "integer", minimum: 0, description: "Threads (default: one for each core)" },
  },
} as const satisfies Command;

/** How a model reads text; its weights are not read. */
async function textFormatOf(path: string): Promise<TextFormat> {
  if (!(await statOf(path)).isDirectory) return (await openModel(path)).model;
  const folder = await modelFolder(path);
  return await refusing(async () => {
    const config = await readJsonFile(`${folder}/config.json`);
    const tokenizer = await readJsonFile(`${folder}/tokenizer.json`);
    const parts = { config, tokenizer };
    return await withCheckpoint(folder, (checkpoint) => modelSettings({ ...parts, checkpoint }, { source: `"${folder}"` }));
  });
}

if (import.meta.main) {
  await main(command, async ({ model, data, heldOut: heldOutFraction, ...options }, { signal, print }) => {
    const typed = required(data, "--data", command.name);
    const format = await textFormatOf(required(model, "--model", command.name));
    const dataset = await openTexts(typed, format, { ...options, heldOutFraction, signal });
    print(dataTable(dataset));
    return { summary: { model, data: typed, heldOut: heldOutFraction, sources: dataset.sources } };
  });
}

/**
 * `deno task tokenize`: text as token ids in the cache, where training and evaluation find them.
 *
 * @module
 */

import type { TextFormat } from "../data/encode.ts";
import type { ReadingOptions } from "../io/fields.ts";
import { readJsonFile } from "../io/files.ts";
import { userCacheFolder } from "../io/fingerprint.ts";
import { openGgufFile } from "../io/gguf_file.ts";
import { companionJson, readCompanions, textSettingsOf } from "../llama/companions.ts";
import { ggufText } from "../pipeline/open_packed.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import type { Command } from "./args.ts";
import { dataOption, dataTable, openTexts, textOptions } from "./data.ts";
import { main } from "./main.ts";
import { allowUnknownOption, modelFolder, modelOption, refusing, required, statOf } from "./models.ts";
import { closing, shellWord } from "./summary.ts";

const command = {
  name: "tokenize",
  summary: "Tokenizes text for a model, on all cores, into the cache that training reads. Cut short, it goes on where it was.",
  options: {
    model: modelOption,
    allowUnknown: allowUnknownOption,
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

/** How a model reads text. Its weights are not read, and need not be there. */
async function textFormatOf(path: string, reading: ReadingOptions): Promise<TextFormat> {
  const { isDirectory } = await statOf(path);
  const folder = await modelFolder(path);
  return await refusing(async () => {
    if (!isDirectory) {
      using file = await openGgufFile(folder);
      return await ggufText(file, reading);
    }
    const config = await readJsonFile(`${folder}/config.json`);
    const json = await readJsonFile(`${folder}/tokenizer.json`);
    const source = `"${folder}"`;
    const files = await readCompanions(folder);
    const own = companionJson(files, "tokenizer_config.json", source);
    const tokenizer = await loadTokenizer(json, { ...reading, ...(own ? { config: own } : {}) });
    return { tokenizer, ...textSettingsOf(config, { files, tokenizer: tokenizer.toJSON() }, { source, ...reading }) };
  });
}

if (import.meta.main) {
  await main(command, async ({ model, allowUnknown, data, heldOut: heldOutFraction, ...options }, { signal, print }) => {
    const typed = required(data, "--data", command.name);
    const format = await textFormatOf(required(model, "--model", command.name), { allowUnknown });
    const dataset = await openTexts(typed, format, { ...options, heldOutFraction, signal });
    print(dataTable(dataset));
    const written = `${options.cache ?? userCacheFolder()}/tokens`;
    print(closing({ written: [written], next: [`deno task train --model ${shellWord(model!)} --data ${shellWord(typed)}`] }));
    return { summary: { model, data: typed, heldOut: heldOutFraction, sources: dataset.sources } };
  });
}

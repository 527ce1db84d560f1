/**
 * The text that a command is given: options, progress, and what is said of it.
 *
 * @module
 */

import type { Dataset, SourceReport } from "../data/dataset.ts";
import type { TextFormat } from "../data/encode.ts";
import { type DataOptions, openData } from "../data/open.ts";
import { parseDataSpecs } from "../data/source.ts";
import type { Option } from "./args.ts";
import { localSources } from "./hub.ts";
import { refusing } from "./models.ts";
import { type Progress, progress } from "./progress.ts";
import { formatBytes, table } from "./table.ts";

/** The option that names text. */
export const dataOption = {
  type: "string",
  several: true,
  value: "PATHS",
  description:
    "Files, folders, patterns or dataset:OWNER/NAME, with commas between, each perhaps with its share: books/:0.7,'web/*.jsonl:0.3'",
} as const satisfies Option;

/** How text is read, for commands that take any. */
export const textOptions = {
  field: {
    type: "string",
    value: "NAME",
    description: "Field or column of the text, or of the conversation (default: text, messages)",
  },
  parseSpecial: { type: "boolean", description: "Take special tokens that are spelled in a text for such tokens" },
  cache: { type: "string", value: "FOLDER", description: "Where token ids are kept (default: the user's cache folder)" },
} as const satisfies Readonly<Record<string, Option>>;

/** How {@linkcode openTexts} reads. */
export interface TextsOptions extends Omit<DataOptions, keyof TextFormat | "onProgress"> {
  readonly parseSpecial?: boolean;
  /** The value of {@linkcode textOptions}' `cache`. */
  readonly cache?: string;
}

/**
 * Opens text for a model, and shows how far it is; rows that hold no document are told on stderr.
 *
 * @param typed the value of {@linkcode dataOption}
 * @throws {UsageError} where a file cannot be read or there is too little text
 */
export async function openTexts(typed: string, model: TextFormat, { cache, ...options }: TextsOptions = {}): Promise<Dataset> {
  const { tokenizer, beginToken, endTokens, chatTemplate } = model;
  const format = { tokenizer, beginToken, endTokens, chatTemplate };
  let shown: Progress | undefined;
  let began = 0;
  const onProgress: DataOptions["onProgress"] = ({ phase, bytes, totalBytes, tokens }) => {
    if (phase === "reading" || tokens === 0 || totalBytes < leastShown) return; // it takes no time worth telling
    if (!shown) [shown, began] = [progress({ title: "tokenizing", total: totalBytes, unit: "bytes" }), performance.now()];
    const rate = bytes / 1e6 / Math.max(0.001, (performance.now() - began) / 1000);
    shown.update(bytes, `${tokens} tokens · ${rate.toFixed(1)} MB/s`);
  };
  try {
    const cacheFolder = cache ?? options.cacheFolder;
    const dataset = await refusing(async () =>
      openData(await localSources(parseDataSpecs([typed])), { ...options, ...format, cacheFolder, onProgress })
    );
    shown?.done();
    dataset.sources.forEach(warn);
    return dataset;
  } finally {
    shown?.[Symbol.dispose]();
  }
}

function warn({ path, corrupt, problems }: SourceReport): void {
  if (corrupt === 0) return;
  const rest = corrupt - problems.length;
  console.error(
    `warning: ${corrupt} ${corrupt === 1 ? "row" : "rows"} of "${path}" passed over, which ${
      corrupt === 1 ? "is" : "are"
    } no document:`,
  );
  for (const problem of problems) console.error(`  ${problem}`);
  if (rest > 0) console.error(`  and ${rest} more`);
}

/** Bytes that are tokenized before anybody asks how far it is. */
const leastShown = 1e6;

/** What was found, as a table. */
export function dataTable({ sources }: Dataset): string {
  const heading = ["data", "files", "bytes", "documents", "empty", "corrupt", "tokens", "held out"];
  return table(
    heading,
    sources.map(({ path, files, bytes, documents, empty, corrupt, trainingTokens, heldOutTokens }) => [
      path.length > 14 ? `…${path.slice(-13)}` : path, // 80 columns hold a terabyte
      files,
      formatBytes(bytes),
      documents,
      empty,
      corrupt,
      trainingTokens,
      heldOutTokens,
    ]),
  );
}

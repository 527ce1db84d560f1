/**
 * Folders of texts for tests, opened as data sets of bytes.
 *
 * @module
 */

import type { Dataset } from "../../src/data/dataset.ts";
import { type DataOptions, openData } from "../../src/data/open.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const decode = (ids: ArrayLike<number>): string => new TextDecoder().decode(Uint8Array.from(ids));

/** Lines of JSON; texts are lines as they are. */
export const rows = (...values: unknown[]): string =>
  values.map((value) => (typeof value === "string" ? value : JSON.stringify(value)) + "\n").join("");

/** Calls `work` with a folder of these files; it is removed afterwards. */
export async function withFiles(
  files: Readonly<Record<string, string | Uint8Array>>,
  work: (folder: string) => Promise<unknown>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.mkdir(`${folder}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.writeFile(`${folder}/${name}`, typeof content === "string" ? encode(content) : content);
    }
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a folder holds. Documents end with the byte 0; the cache lies in the folder. */
export function open(folder: string, path = "", more: Partial<DataOptions> = {}): Promise<Dataset> {
  const options = { tokenizer: byteTokenizer, endTokens: [0, 7], cacheFolder: `${folder}/.cache`, ...more };
  return openData([{ path: `${folder}/${path}` }], options);
}

/** All text of a source, in its order. */
export async function textOf(folder: string, path = "", more: Partial<DataOptions> = {}): Promise<string> {
  return decode(await (await open(folder, path, { ...more, heldOutFraction: 1 })).heldOut.ids());
}

/** Several files of lines, large enough for several shards of 256 tokens; the last row of each is broken. */
export const books: Readonly<Record<string, string>> = Object.fromEntries(
  Array.from({ length: 7 }, (_, book) => [
    `book${book}.jsonl`,
    rows(
      ...Array.from({ length: 23 }, (_, page) => ({ text: `Book ${book}, page ${page}: ${"la ".repeat(book + page)}` })),
      "broken",
    ),
  ]),
);

/** Which batches {@linkcode batchesOf} takes. */
export const size = { batchSize: 3, sequenceLength: 16, seed: 5 } as const;

export const batchesOf = (data: Dataset, steps: readonly number[]) =>
  Promise.all(steps.map((step) => data.batchAt({ ...size, step })));

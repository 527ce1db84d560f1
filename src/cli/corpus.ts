/**
 * The text of a run: the novel that comes with the commands, or a file of the user's.
 *
 * @module
 */

import { gunzip } from "../io/gzip.ts";
import { UsageError } from "./errors.ts";
import { readText } from "./files.ts";

/** Name under which a configuration asks for the packaged text. */
export const PACKAGED_CORPUS = "moby-dick";

/**
 * Load the text that a configuration's `data.corpus` names: "moby-dick" (Herman Melville, 1851, 1.2 MB, in the
 * public domain; `moby-dick.txt.gz` beside this file) or the path of a text file in UTF-8.
 *
 * @throws {UsageError} Where the file cannot be read.
 */
export async function loadCorpus(corpus: string): Promise<string> {
  return corpus === PACKAGED_CORPUS ? await mobyDick() : await readText(corpus, "corpus");
}

async function mobyDick(): Promise<string> {
  const file = new URL("./moby-dick.txt.gz", import.meta.url);
  const bytes = new Uint8Array(await (await fetch(file)).arrayBuffer()); // by fetch, since a package may lie on a server
  return new TextDecoder().decode(gunzip(bytes, { source: file.pathname }));
}

/**
 * Check that the parts of a corpus can fill a sequence.
 *
 * @throws {UsageError} Where a part is too short: a sequence and the token after it.
 */
export function checkCorpusLength(
  parts: Readonly<Record<string, ArrayLike<number>>>,
  options: { readonly corpus: string; readonly sequenceLength: number },
): void {
  const wanted = options.sequenceLength + 1;
  for (const [name, { length }] of Object.entries(parts)) {
    if (length >= wanted) continue;
    throw new UsageError(
      `the corpus ${options.corpus} is too short: its ${name} part has ${length} tokens, ` +
        `and a sequence of sequenceLength ${options.sequenceLength} needs ${wanted}`,
    );
  }
}

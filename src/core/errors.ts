/**
 * Errors that point at the line of the person who made the mistake.
 *
 * @module
 */

/** Where the library lies. Unknown where it was bundled with the caller's code, or with what is no module. */
const library = /^(.*\/)core\/errors\.[jt]s$/.exec(import.meta.url ?? "")?.[1];

/**
 * Removes the library's own frames from the top of an error's stack, so that the first line shown is the caller's.
 *
 * @returns the same error
 */
export function atCaller<E extends Error>(error: E): E {
  const lines = error.stack?.split("\n");
  if (!lines || library === undefined) return error;
  const first = lines.findIndex((line) => /^\s+at /.test(line));
  const builtIn = /\(<anonymous>\)$/; // such as Array.map
  const caller = lines.findIndex((line, index) => index >= first && !line.includes(library) && !builtIn.test(line));
  if (first >= 0 && caller > first) error.stack = [...lines.slice(0, first), ...lines.slice(caller)].join("\n");
  return error;
}

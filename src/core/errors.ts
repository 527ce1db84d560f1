/**
 * Errors that point at the line of the person who made the mistake.
 *
 * @module
 */

const library = new URL("../", import.meta.url).href;

/**
 * Removes the library's own frames from the top of an error's stack, so that the first line shown is the caller's.
 *
 * @returns the same error
 */
export function atCaller<E extends Error>(error: E): E {
  const lines = error.stack?.split("\n");
  if (!lines) return error;
  const first = lines.findIndex((line) => /^\s+at /.test(line));
  const builtIn = /\(<anonymous>\)$/; // such as Array.map
  const caller = lines.findIndex((line, index) => index >= first && !line.includes(library) && !builtIn.test(line));
  if (first >= 0 && caller > first) error.stack = [...lines.slice(0, first), ...lines.slice(caller)].join("\n");
  return error;
}

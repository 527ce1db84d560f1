/**
 * JSON objects from files, with what `JSON.parse` does not tell.
 *
 * @module
 */

import { isJsonObject, type JsonObject } from "../core/json.ts";

export { isJsonObject, type JsonObject };

/** Parses text that must hold one JSON object; otherwise throws a `SyntaxError` that starts with `action` and names the fault. */
export function parseJsonObject(text: string, action: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(`${action}: ${(cause as Error).message}`, { cause });
  }
  if (!isJsonObject(value)) throw new SyntaxError(`${action}: wanted a JSON object, got ${text.slice(0, 40)}`);
  return value;
}

/** First key that occurs twice at the top level of a valid JSON object, which `JSON.parse` drops without a word. */
export function duplicateKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (depth === 1 && colon !== undefined) {
      const key: string = JSON.parse(token.slice(0, token.length - colon.length));
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return undefined;
}

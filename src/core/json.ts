/**
 * JSON values whose form is not yet known.
 *
 * @module
 */

/** A JSON object whose values are not yet known. */
export type JsonObject = Record<string, unknown>;

/** Whether `value` is a JSON object: not null, not an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

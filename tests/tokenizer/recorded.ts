/**
 * What `record.ts` writes and the tests read.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** By kind of tokenizer: a digest of its `tokenizer.json`, and digests of the ids of each text, and of the texts of these ids. */
export type Recorded = Record<string, { readonly json: string; readonly ids: string; readonly texts: string }>;

/** Characters of a digest. */
export const digestLength = 4;

/** A short digest: two results agree by chance once in 65 536 times. */
export function digestOf(value: ArrayLike<number> | string): string {
  const text = typeof value === "string" ? value : Array.from(value).join(" ");
  return createHash("sha256").update(text).digest("hex").slice(0, digestLength);
}

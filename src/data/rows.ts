/**
 * Rows of tables, as they are: files of lines of JSON, and Parquet files.
 *
 * @module
 */

import { isJsonObject, type JsonObject } from "../io/json.ts";
import { lineRows } from "./document.ts";
import { parquetRows } from "./parquet.ts";
import { filesOf } from "./source.ts";

/**
 * Rows of a file, or of the files that a pattern names, in their order.
 *
 * @param options `limit`: so many at most
 * @throws Error that names the file where it cannot be read or is no table, and its row which is no object
 */
export async function readRows(path: string, { limit = Infinity }: { readonly limit?: number } = {}): Promise<JsonObject[]> {
  const rows: JsonObject[] = [];
  for (const file of await filesOf({ path })) {
    if (file.format === "text") throw new Error(`Cannot read "${file.path}" as a table: wanted .jsonl or .parquet`);
    const source = file.format === "lines" ? lineRows(file) : parquetRows(file.path, { allColumns: true });
    for await (const { number, read } of source) {
      if (rows.length >= limit) return rows;
      rows.push(objectOf(read, `"${file.path}", row ${number}`));
    }
  }
  return rows;
}

function objectOf(read: () => unknown, where: string): JsonObject {
  let value: unknown;
  try {
    value = read();
  } catch (cause) {
    throw new Error(`Cannot read ${where}: ${(cause as Error).message}`, { cause });
  }
  if (isJsonObject(value)) return value;
  throw new Error(`Cannot read ${where}: wanted an object, got ${JSON.stringify(value)?.slice(0, 40)}`);
}

/**
 * Rows of a Parquet file, one group of rows at a time, by npm `hyparquet`.
 *
 * @module
 */

import { decodeUtf8 } from "../io/encoding.ts";
import { byteLengthOf, readFileAt } from "../io/files.ts";
import type { Row } from "./document.ts";

/** Settings of {@linkcode parquetRows}. */
export interface ParquetOptions {
  /** The column that is read; by default those of `text`, `messages` and `conversations` that there are. */
  readonly field?: string;
  /** Read all columns, whatever they are called. */
  readonly allColumns?: boolean;
  /** Is told how many bytes of the file were read. */
  readonly onRead?: (bytes: number) => void;
}

/** Text that is not UTF-8 becomes the error that says so, so that its row alone is lost. */
const parsers = {
  stringFromBytes(bytes: Uint8Array | undefined): unknown {
    try {
      return bytes && decodeUtf8(bytes, { source: "a row" });
    } catch (error) {
      return error;
    }
  },
};

/**
 * Rows of a Parquet file. Only the columns that are wanted are read, by their places, a group of rows at a time.
 *
 * @throws Error that names the file where it is none, is damaged, or has no such column
 */
export async function* parquetRows(path: string, { field, allColumns = false, onRead }: ParquetOptions): AsyncGenerator<Row> {
  const [{ parquetMetadataAsync, parquetReadObjects, parquetSchema }, { compressors }] = await Promise.all([
    import("hyparquet"),
    import("hyparquet-compressors"),
  ]);
  const byteLength = await byteLengthOf(path);
  const file = {
    byteLength,
    slice: async (start: number, end = byteLength) => (await readFileAt(path, start, end - start)).buffer,
  };
  const damaged = (cause: unknown) => new Error(`Cannot read "${path}" as Parquet: ${(cause as Error).message}`, { cause });
  const metadata = await parquetMetadataAsync(file).catch((cause) => {
    throw damaged(cause);
  });
  const present = parquetSchema(metadata).children.map(({ element }) => element.name);
  const wanted = allColumns ? present : field === undefined ? ["text", "messages", "conversations"] : [field];
  const columns = wanted.filter((name) => present.includes(name));
  if (columns.length === 0) {
    const names = field === undefined ? '"text", "messages" or "conversations"' : `"${field}"`;
    throw new Error(`Cannot read "${path}": it has no column ${names}; it has ${present.join(", ")}`);
  }
  let start = 0;
  for (const group of metadata.row_groups) {
    const end = start + Number(group.num_rows);
    const options = { file, metadata, columns, rowStart: start, rowEnd: end, compressors, parsers };
    const rows = await parquetReadObjects(options).catch((cause) => {
      throw damaged(cause);
    });
    onRead?.(byteLength / metadata.row_groups.length);
    for (const [at, row] of rows.entries()) yield { number: start + at + 1, read: () => row };
    start = end;
  }
}

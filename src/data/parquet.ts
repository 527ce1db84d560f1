/**
 * Rows of a Parquet file, one group of rows at a time, by npm `hyparquet`.
 *
 * @module
 */

import { decodeUtf8 } from "../io/encoding.ts";
import { byteLengthOf, readFileAt } from "../io/files.ts";
import type { RowGroup } from "hyparquet";
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
  const damaged = (cause: unknown) => new Error(`Cannot read "${path}" as Parquet: ${(cause as Error).message}`, { cause });
  const file = { byteLength, slice: (start: number, end = byteLength) => sliceOf(path, start, { end, byteLength }) };
  const [metadata, present] = await parquetMetadataAsync(file).then((metadata) => {
    const schema = parquetSchema(metadata);
    metadata.row_groups.forEach((group) => checkGroup(group, schema, byteLength));
    return [metadata, schema.children.map(({ element }) => element.name)] as const;
  }).catch((cause) => {
    throw damaged(cause);
  });
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

/** Bytes of a file that its metadata tell of. Some are asked for ahead and never waited for: their errors must not end the process. */
function sliceOf(path: string, start: number, { end, byteLength }: { end: number; byteLength: number }): Promise<ArrayBuffer> {
  const isThere = start >= 0 && start <= end && end <= byteLength;
  const bytes = isThere
    ? readFileAt(path, start, end - start).then(({ buffer }) => buffer)
    : Promise.reject(new RangeError(`bytes ${start} to ${end} of ${byteLength}`));
  bytes.catch(() => {});
  return bytes;
}

/** Rows that a byte may stand for, where many are equal. */
const mostRowsPerByte = 1000;

/** A column of a table, or a part of one. */
interface SchemaPart {
  readonly children: readonly SchemaPart[];
  readonly element: { readonly name: string };
}

/**
 * Throws where a group of rows says what cannot be: more rows than a file of that size holds, for which memory is taken before they are read,
 * or a column that there is not, of which the package hears when it reads others already.
 */
function checkGroup({ num_rows: rows, columns }: RowGroup, schema: SchemaPart, byteLength: number): void {
  if (!(rows >= 0n && rows <= BigInt(mostRowsPerByte * byteLength))) {
    throw new RangeError(`a group of ${rows} rows in ${byteLength} bytes`);
  }
  for (const { meta_data: column } of columns) {
    let part: SchemaPart | undefined = schema;
    for (const name of column?.path_in_schema ?? []) part = part?.children.find(({ element }) => element.name === name);
    if (!part || part.children.length > 0) throw new RangeError(`no column "${column?.path_in_schema.join(".")}" in its schema`);
  }
}

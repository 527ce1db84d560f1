/**
 * Files as documents, one after another, as they are read: nothing is held but the rows at hand.
 *
 * @module
 */

import { byteStream, linesOf } from "../io/byte_stream.ts";
import { decodeUtf8, EncodingError, markOf, Utf8Decoder } from "../io/encoding.ts";
import { isJsonObject } from "../io/json.ts";
import type { ChatMessage } from "../tokenizer/chat.ts";
import { conversationOf } from "./conversation.ts";
import { cutText, type IsCut } from "./cut.ts";
import { parquetRows } from "./parquet.ts";
import type { DataFile } from "./source.ts";

/** A document, or a piece of a long one. */
export type Piece =
  | {
    readonly text: string;
    /** Whether a document begins with it, and ends with it. */
    readonly begins: boolean;
    readonly ends: boolean;
  }
  | {
    readonly messages: readonly ChatMessage[];
    readonly begins: true;
    readonly ends: true;
    /** Where the conversation stands. */
    readonly path: string;
    readonly row: number;
  };

/** What was met on the way through a file. */
export interface RowCounts {
  /** Documents that have text. */
  documents: number;
  /** Documents without text, which are passed over. */
  empty: number;
  /** Rows that hold no document, which are passed over. */
  corrupt: number;
  /** What is wrong with the first of them. */
  readonly problems: Problem[];
}

/** A row that holds no document. */
export interface Problem {
  readonly path: string;
  /** Counted from 1. */
  readonly row: number;
  readonly reason: string;
}

/** Settings of {@linkcode piecesOf}. */
export interface PieceOptions {
  /** Field of a row that holds its text or conversation. By default `text`, `messages` or `conversations`, whichever there is. */
  readonly field?: string;
  /** Whether a text may be cut between two others, so that its ids are those of the pieces. */
  readonly isCut: IsCut;
  /** Is told how many bytes of the file were read. */
  readonly onRead?: (bytes: number) => void;
}

/** Problems that are told in words. */
const toldProblems = 5;

/** Adds a row that holds no document. */
export function countProblem(counts: RowCounts, problem: Problem): void {
  counts.corrupt++;
  if (counts.problems.length < toldProblems) counts.problems.push(problem);
}

/** Why a row is no document. */
class CorruptRow extends Error {}

/** A row of a table or a line, with its number, counted from 1: its value, or what is wrong with it. */
export interface Row {
  readonly number: number;
  readonly read: () => unknown;
}

/**
 * Documents of a file.
 *
 * @param counts is added to
 * @throws Error that names the file where it cannot be read, is not what its name says, or has rows and no document
 */
export async function* piecesOf(file: DataFile, counts: RowCounts, options: PieceOptions): AsyncGenerator<Piece> {
  if (file.format === "text") return yield* textPieces(file, counts, options);
  const before = { ...counts };
  let first: string | undefined;
  for await (const { number, read } of file.format === "lines" ? lineRows(file, options) : parquetRows(file.path, options)) {
    let content: string | readonly ChatMessage[];
    try {
      content = contentOf(read(), options.field);
    } catch (error) {
      if (!(error instanceof CorruptRow)) throw error;
      first ??= `row ${number}: ${error.message}`;
      countProblem(counts, { path: file.path, row: number, reason: error.message });
      continue;
    }
    if (typeof content === "string" ? content.trim() === "" : content.length === 0) counts.empty++;
    else {
      counts.documents++;
      if (typeof content === "string") yield* cutText([content], options.isCut);
      else yield { messages: content, begins: true, ends: true, path: file.path, row: number };
    }
  }
  const documents = counts.documents - before.documents + counts.empty - before.empty;
  if (first === undefined || documents > 0) return;
  throw new Error(`Cannot read "${file.path}": none of its ${counts.corrupt - before.corrupt} rows is a document; ${first}`);
}

async function* textPieces(file: DataFile, counts: RowCounts, { isCut, onRead }: PieceOptions): AsyncGenerator<Piece> {
  const decoder = new Utf8Decoder(`"${file.path}"`);
  async function* texts() {
    for await (const bytes of byteStream(file.path, { ...file, onRead })) yield decoder.push(bytes);
    yield decoder.end();
  }
  let empty = true;
  for await (const piece of cutText(texts(), isCut)) {
    if (empty) counts.documents++;
    empty = false;
    yield piece;
  }
  if (empty) counts.empty++;
}

/** The values of a file of lines of JSON. */
export async function* lineRows(file: DataFile, { onRead }: Pick<PieceOptions, "onRead"> = {}): AsyncGenerator<Row> {
  let number = 0;
  for await (const line of linesOf(byteStream(file.path, { ...file, onRead }))) {
    const other = number++ === 0 ? markOf(line) : undefined;
    if (other) throw new EncodingError(`"${file.path}"`, other);
    if (line.every((byte) => byte === 32 || byte === 9)) continue; // nothing is on an empty line
    yield { number, read: () => parsedLine(line) };
  }
}

/** Bytes of a row that are sure to fit in a text, as JavaScript has them. */
const longestRow = 2 ** 29 - 2 ** 10;

function parsedLine(line: Uint8Array): unknown {
  if (line.length > longestRow) throw new CorruptRow(`it has ${line.length} bytes, ${longestRow} at most`);
  let text: string;
  try {
    text = decodeUtf8(line, { source: "a row" });
  } catch (error) {
    throw new CorruptRow((error as EncodingError).reason);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new CorruptRow(`not JSON: ${shown(text)}`);
  }
}

/** The text or the conversation of a row. */
function contentOf(row: unknown, field?: string): string | readonly ChatMessage[] {
  if (!isJsonObject(row)) throw new CorruptRow(`wanted a JSON object, got ${shown(JSON.stringify(row) ?? "nothing")}`);
  const names = field === undefined ? ["text", "messages", "conversations"] : [field];
  const name = names.find((each) => Object.hasOwn(row, each));
  if (name === undefined) {
    const others = Object.keys(row).slice(0, 8).join(", ");
    throw new CorruptRow(`no field ${names.map((each) => `"${each}"`).join(" or ")}; it has ${others || "none"}`);
  }
  const value = row[name];
  if (value === null || value === undefined) return "";
  if (value instanceof EncodingError) throw new CorruptRow(value.reason);
  if (typeof value === "string") return value.isWellFormed() ? value : value.toWellFormed();
  const messages = conversationOf(value);
  if (typeof messages !== "string") return messages;
  throw new CorruptRow(`field "${name}": ${messages}`);
}

/** The beginning of a text, on one line. */
const shown = (text: string): string => text.slice(0, 40).replace(/\s+/g, " ") + (text.length > 40 ? "…" : "");

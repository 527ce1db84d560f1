/**
 * Where text comes from: what a person types, and the files that it names.
 *
 * @module
 */

import type { Compression } from "../io/byte_stream.ts";
import { filesBelow, filesMatching, isPattern } from "../io/glob.ts";
import { isFolder } from "../io/files.ts";

/** A source of text: a file, a folder, or a pattern such as `corpus/*.{txt,jsonl,parquet}`. */
export interface DataSpec {
  /** As it is typed; a pattern is expanded here. */
  readonly path: string;
  /** Share of the sequences that come from here, relative to the other sources. Without weights, every sequence comes once an epoch. */
  readonly weight?: number;
}

/** How documents lie in a file. */
export type DataFormat = "text" | "lines" | "parquet";

/** A file with documents. */
export interface DataFile {
  readonly path: string;
  readonly format: DataFormat;
  readonly compression?: Compression;
}

const formats: Readonly<Record<string, DataFormat>> = {
  txt: "text",
  text: "text",
  md: "text",
  markdown: "text",
  jsonl: "lines",
  ndjson: "lines",
  parquet: "parquet",
};
const compressions: Readonly<Record<string, Compression>> = { gz: "gzip", zst: "zstd" };

/** What may be given, for messages. */
const supportedFiles = ".txt, .md, .jsonl (each also .gz or .zst), .parquet";

/**
 * Sources as they are typed: several with commas between (those in braces belong to a pattern), each perhaps with a weight, as in
 * `books.jsonl:0.7,web/:0.3`.
 *
 * @throws RangeError where a weight is not above 0, or some sources have one and others do not
 *
 * @example
 * ```ts
 * import { parseDataSpecs } from "@hestia/hestia";
 * console.log(parseDataSpecs(["a.jsonl:0.7", "b/*.{txt,md}:0.3"])); // two sources, with their weights
 * ```
 */
export function parseDataSpecs(typed: readonly string[]): DataSpec[] {
  const specs = typed.flatMap(splitAtCommas).map((text) => {
    const [, path, weight] = /^(.+):(\d+\.?\d*|\.\d+)$/.exec(text) ?? [undefined, text];
    return weight === undefined ? { path } : { path, weight: Number(weight) };
  });
  checkWeights(specs);
  return specs;
}

/** Throws a RangeError where weights are wrong. */
export function checkWeights(specs: readonly DataSpec[]): void {
  for (const { path, weight } of specs) {
    if (weight !== undefined && !(weight > 0 && Number.isFinite(weight))) {
      throw new RangeError(`Cannot mix "${path}" with a weight of ${weight}: wanted a number above 0`);
    }
  }
  const without = specs.find(({ weight }) => weight === undefined);
  if (without && specs.some(({ weight }) => weight !== undefined)) {
    throw new RangeError(
      `Cannot mix "${without.path}", which has no weight, with sources that have one: wanted a weight for each`,
    );
  }
}

function splitAtCommas(text: string): string[] {
  const parts = [""];
  let depth = 0;
  for (const character of text) {
    depth += character === "{" ? 1 : character === "}" ? -1 : 0;
    if (character === "," && depth <= 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/** A file by its name; undefined where the name says nothing that is known. */
export function dataFile(path: string): DataFile | undefined {
  const [, name, extension] = /([^/\\]*?)\.([^./\\]+)$/.exec(path) ?? [];
  const compression = compressions[extension?.toLowerCase() ?? ""];
  const inner = compression ? /\.([^./\\]+)$/.exec(name)?.[1] : extension;
  const format = formats[inner?.toLowerCase() ?? ""];
  if (!format || compression && format === "parquet") return undefined;
  return compression ? { path, format, compression } : { path, format };
}

/**
 * The files of a source, in the order of their names. What lies in a folder or fits a pattern and has an unknown ending is passed over; a
 * file that is named alone is text where its name has no ending.
 *
 * @throws Error that names the source where there is nothing, or nothing of a known kind
 */
export async function filesOf({ path }: DataSpec): Promise<DataFile[]> {
  const folder = await isFolder(path);
  if (folder === false) {
    const file = dataFile(path) ?? (/\.[^./\\]+$/.test(path) ? undefined : { path, format: "text" } as const);
    if (file) return [file];
    throw new Error(`Cannot read "${path}": its ending is not one of ${supportedFiles}`);
  }
  if (folder === undefined && !isPattern(path)) throw new Error(`Cannot read "${path}": no such file or folder`);
  const paths = folder ? await filesBelow(path) : await filesMatching(path);
  const files = paths.map(dataFile).filter((file) => file !== undefined);
  if (files.length > 0) return files;
  const found = paths.length === 0
    ? "there is no file"
    : `none of its ${paths.length} files, such as "${paths[0]}", is of a known kind`;
  throw new Error(`Cannot read "${path}": ${found}; wanted ${supportedFiles}`);
}

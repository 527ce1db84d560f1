/**
 * Files, folders and patterns as a data set: found, tokenized where they are new, and opened.
 *
 * @module
 */

import { type Fingerprint, Fingerprints, sha256, userCacheFolder } from "../io/fingerprint.ts";
import { buildUnit, bytesOf, type KnownFile, type Unit, type UnitIndex } from "./build.ts";
import { cutBy } from "./cut.ts";
import { checkSequences, type Dataset, datasetOf, type SourceReport, type TokenSource } from "./dataset.ts";
import { pieceEncoder, type TextFormat } from "./encode.ts";
import { Shard } from "./shard.ts";
import { checkWeights, type DataSpec, filesOf } from "./source.ts";
import { TokenRow } from "./store.ts";

/** What {@linkcode openData} is doing. */
export interface DataProgress {
  /** "reading" finds out what files hold, "tokenizing" makes ids of what is new. */
  readonly phase: "reading" | "tokenizing";
  /** Bytes of the files, as they are stored, that this is done with, and of all. */
  readonly bytes: number;
  /** 0 while it is not known. */
  readonly totalBytes: number;
  /** Ids made by this call. */
  readonly tokens: number;
}

/** How text becomes a data set. */
export interface DataOptions extends TextFormat {
  /** Column or field that holds text or a conversation; by default `text`, `messages` or `conversations`. */
  readonly field?: string;
  /** Share of the documents that are held out of training, by a hash of each: 0 to 1, 0 by default. */
  readonly heldOutFraction?: number;
  /** Where ids are kept; by default `hestia` in the user's cache folder (`XDG_CACHE_HOME`). */
  readonly cacheFolder?: string;
  /** Refuses data that has not one sequence of so many tokens at once. */
  readonly sequenceLength?: number;
  /** Threads that tokenize; one for each core by default, none for a few megabytes. */
  readonly workers?: number;
  /** Ids of a shard, after which work is not lost any more; 2²² by default. */
  readonly shardTokens?: number;
  /** Is told how far this is, often. */
  readonly onProgress?: (progress: DataProgress) => void;
  /** Ends the work with the signal's reason. What was done is kept, and the same call goes on there. */
  readonly signal?: AbortSignal;
}

/** Changed when the same text gives other ids, or lies otherwise in the cache. */
const layout = 2;
/** Small files are kept together: a group ends after so many bytes, or after one file in so many, by its hash. */
const group = { bytes: 1 << 26, files: 256 };
/** Files whose hashes are found at a time. */
const filesAtOnce = 32;
/** Bytes from which on workers repay their start. */
const pooledBytes = 1 << 22;

/**
 * Opens text for training. Each file is tokenized once: its ids lie in a cache under a name made of its content, the tokenizer and these
 * settings, so that a second call finds them, another folder shares them, and a changed file is noticed.
 *
 * Sources are files, folders (with all below) and patterns (`**`, `*`, `?`, `{a,b}`) of `.txt`, `.md`, `.jsonl` (the three also `.gz` or
 * `.zst`) and `.parquet`. A text file is one document, a row is one; conversations (`messages`, `conversations`) go through the chat
 * template, and only what the assistant says is learned. Each document begins with `beginToken` and ends with the first of `endTokens` (one that is
 * both stands once); documents lie one behind the other, and sequences are cut from them without padding. Rows that hold no document are counted, as are
 * empty ones: see `sources` of the result.
 *
 * @throws Error that names the file which cannot be read or is not what its name says, RangeError where weights or a share are wrong,
 * or there is too little text
 *
 * @example
 * ```ts
 * import { byteTokenizer, openData } from "@hestia/hestia";
 * const folder = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${folder}/a.jsonl`, '{"text":"Call me Ishmael."}\n{"text":"Some years ago"}\n');
 * const data = await openData([{ path: folder }], { tokenizer: byteTokenizer, cacheFolder: `${folder}/cache` });
 * const { inputs } = await data.batchAt({ batchSize: 1, sequenceLength: 8, seed: 1, step: 0 });
 * console.log(data.trainingTokens, inputs.length); // 30, 8
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export async function openData(specs: readonly DataSpec[], options: DataOptions): Promise<Dataset> {
  const { heldOutFraction = 0, cacheFolder = userCacheFolder() } = options;
  checkWeights(specs);
  if (specs.length === 0) throw new RangeError("Cannot open data: no source is named, wanted one or more");
  if (!(heldOutFraction >= 0 && heldOutFraction <= 1)) {
    throw new RangeError(`Cannot hold out a share of ${heldOutFraction} of the documents: wanted 0 to 1`);
  }
  const files = await knownFiles(specs, `${cacheFolder}/tokens`, options);
  const settings = await settingsKey({ ...options, heldOutFraction });
  const units = await Promise.all(files.map((each) => unitsOf(each, `${cacheFolder}/tokens`, settings)));
  const indices = await buildAll(units, { ...options, heldOutFraction });
  const sources = specs.map((spec, at) =>
    tokenSource(spec, files[at], { units: units[at], indices: indices[at], heldOutFraction })
  );
  if (options.sequenceLength !== undefined && heldOutFraction < 1) {
    const weighted = specs.some(({ weight }) => weight !== undefined);
    for (const some of weighted ? sources.map((source) => [source]) : [sources]) checkSequences(some, options.sequenceLength);
  }
  const folders = units.map((some, at) => [specs[at].weight ?? null, ...some.map(({ folder }) => folder.slice(-40))]);
  return datasetOf(sources, await sha256([JSON.stringify(folders)]));
}

/** The files of each source, and what they hold. */
async function knownFiles(
  specs: readonly DataSpec[],
  cacheFolder: string,
  { onProgress, signal }: DataOptions,
): Promise<KnownFile[][]> {
  const found = await Promise.all(specs.map(filesOf));
  const hashes = await Fingerprints.open(cacheFolder);
  let bytes = 0;
  const tell = (read: number) => onProgress?.({ phase: "reading", bytes: bytes += read, totalBytes: 0, tokens: 0 });
  const known = new Map<string, Fingerprint>();
  try {
    const paths = [...new Set(found.flat().map(({ path }) => path))];
    for (let start = 0; start < paths.length; start += filesAtOnce) {
      signal?.throwIfAborted();
      const some = await Promise.all(paths.slice(start, start + filesAtOnce).map((path) => hashes.of(path, tell)));
      for (const file of some) known.set(file.path, file);
    }
  } finally {
    await hashes.save();
  }
  return found.map((files) => files.map((file) => ({ ...file, ...known.get(file.path)! })));
}

/** What besides their content decides which ids texts become. */
async function settingsKey(options: DataOptions & { readonly heldOutFraction: number }): Promise<string> {
  const { tokenizer, beginToken, endTokens = [], chatTemplate, parseSpecial = false, field, heldOutFraction } = options;
  const tokens = { begin: beginToken ?? null, end: endTokens };
  const settings = { layout, tokens, chatTemplate, parseSpecial, field, heldOutFraction };
  return await sha256([JSON.stringify(settings), "\0", JSON.stringify(tokenizer.toJSON())]);
}

/** Groups of files, cut where their content says so: a file that is added or changed makes a new group of its neighbours alone. */
async function unitsOf(files: readonly KnownFile[], cacheFolder: string, settings: string): Promise<Unit[]> {
  const groups: KnownFile[][] = [[]];
  let bytes = 0;
  for (const file of files) {
    if (bytes > 0 && bytes + file.bytes > group.bytes) [groups[groups.length], bytes] = [[], 0];
    groups.at(-1)!.push(file);
    bytes += file.bytes;
    if (parseInt(file.hash.slice(0, 8), 16) % group.files === 0) [groups[groups.length], bytes] = [[], 0];
  }
  return await Promise.all(
    groups.filter(({ length }) => length > 0).map(async (some) => {
      const content = some.map(({ hash, format, compression = "" }) => [hash, format, compression].join(" "));
      return { folder: `${cacheFolder}/${(await sha256([settings, ...content])).slice(0, 40)}`, files: some };
    }),
  );
}

/** Shards of all units of all sources. */
async function buildAll(
  units: readonly (readonly Unit[])[],
  options: DataOptions & { readonly heldOutFraction: number },
): Promise<UnitIndex[][]> {
  const { tokenizer, field, heldOutFraction, shardTokens = 1 << 22, signal, onProgress } = options;
  const totalBytes = units.flat().reduce((sum, unit) => sum + bytesOf(unit), 0);
  const workers = options.workers ?? (totalBytes < pooledBytes ? 0 : navigator.hardwareConcurrency);
  let [bytes, tokens] = [0, 0];
  const encoder = pieceEncoder(options, { workers });
  const settings = {
    encoder,
    isCut: cutBy(tokenizer),
    bytesPerToken: tokenizer.vocabularySize > 2 ** 16 ? 4 : 2,
    field,
    heldOutFraction,
    shardTokens,
    signal,
    onProgress: (more: { readonly bytes: number; readonly tokens: number }) => {
      [bytes, tokens] = [bytes + more.bytes, tokens + more.tokens];
      onProgress?.({ phase: "tokenizing", bytes, totalBytes, tokens });
    },
  } as const;
  const indices: UnitIndex[][] = [];
  try {
    for (const some of units) {
      const own: UnitIndex[] = [];
      for (const unit of some) own.push(await buildUnit(unit, settings));
      indices.push(own);
    }
    return indices;
  } finally {
    encoder[Symbol.dispose]();
  }
}

/** A source as rows of ids. Where hashes hold out all documents or none, as of a single book, its end is held out instead. */
function tokenSource(
  { path, weight }: DataSpec,
  files: readonly KnownFile[],
  { units, indices, heldOutFraction }: { units: readonly Unit[]; indices: readonly UnitIndex[]; heldOutFraction: number },
): TokenSource {
  const row = (side: "training" | "heldOut") =>
    new TokenRow(indices.flatMap((index, at) => index[side].map((entry) => new Shard(units[at].folder, entry))));
  let [training, heldOut] = [row("training"), row("heldOut")];
  let heldOutBy: SourceReport["heldOutBy"] = heldOutFraction > 0 ? "document" : "nothing";
  if (heldOutFraction > 0 && heldOutFraction < 1 && (training.length === 0 || heldOut.length === 0)) {
    const whole = training.length > 0 ? training : heldOut;
    const cut = whole.length - Math.round(whole.length * heldOutFraction);
    [training, heldOut, heldOutBy] = [whole.part(0, cut), whole.part(cut, whole.length), "end"];
  }
  const sum = (of: (index: UnitIndex) => number) => indices.reduce((total, index) => total + of(index), 0);
  const report: SourceReport = {
    path,
    files: files.length,
    bytes: files.reduce((total, { bytes }) => total + bytes, 0),
    documents: sum(({ counts, refused }) => counts.documents - refused.count),
    empty: sum(({ counts }) => counts.empty),
    corrupt: sum(({ counts, refused }) => counts.corrupt + refused.count),
    problems: indices.flatMap((index, at) => problemsOf(units[at], index)).slice(0, 5),
    trainingTokens: training.length,
    heldOutTokens: heldOut.length,
    heldOutBy,
  };
  return { report, training, heldOut, ...(weight === undefined ? {} : { weight }) };
}

/** What is wrong with rows, in words; a file may have been moved since. */
function problemsOf({ files }: Unit, { counts, refused, paths }: UnitIndex): string[] {
  return [...counts.problems, ...refused.problems].map(({ path, row, reason }) =>
    `"${files[paths.indexOf(path)]?.path ?? path}" row ${row}: ${reason}`
  );
}

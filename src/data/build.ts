/**
 * From files to shards in a cache: each text is tokenized once, and what was done is kept when the work is cut short.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { makeFolder, readJsonFile } from "../io/files.ts";
import type { Fingerprint } from "../io/fingerprint.ts";
import { isJsonObject } from "../io/json.ts";
import { type Lock, lockFile } from "../io/lock.ts";
import type { IsCut } from "./cut.ts";
import { countProblem, piecesOf, type Problem, type RowCounts } from "./document.ts";
import { type EncodedPiece, fateOf, type LocatedPiece, type PieceEncoder } from "./encode.ts";
import { isWhole, ShardBuffer, type ShardEntry } from "./shard.ts";
import type { DataFile } from "./source.ts";

/** A file, and what it holds. */
export type KnownFile = DataFile & Fingerprint;

/** Files whose ids lie together: some small ones, or a large one. */
export interface Unit {
  /** Where its shards lie: a folder that is named after content, tokenizer and settings. */
  readonly folder: string;
  readonly files: readonly KnownFile[];
}

/** Shards of a unit, as `index.json` in its folder lists them. */
export interface UnitIndex {
  readonly version: 1;
  /** Whether all files were read to their ends. */
  readonly complete: boolean;
  /** Pieces of documents whose ids are in the shards. */
  readonly pieces: number;
  readonly counts: RowCounts;
  /** Conversations among these pieces that the chat template refused, and the first of them. */
  readonly refused: { readonly count: number; readonly problems: readonly Problem[] };
  /** Paths of the files when they were read. */
  readonly paths: readonly string[];
  readonly training: readonly ShardEntry[];
  readonly heldOut: readonly ShardEntry[];
}

/** What {@linkcode buildUnit} needs. */
export interface BuildOptions {
  readonly encoder: PieceEncoder;
  readonly isCut: IsCut;
  readonly bytesPerToken: 2 | 4;
  readonly field?: string;
  readonly heldOutFraction: number;
  /** Ids of a shard; more may be lost when the work is cut short than one shard holds. */
  readonly shardTokens: number;
  /** Is told of bytes that were read, and of ids that were made of them, since it was told last. */
  readonly onProgress?: (progress: { readonly bytes: number; readonly tokens: number }) => void;
  readonly signal?: AbortSignal;
}

/** The index of a unit that was made before, whole or in part; undefined where there is none that can be used. */
async function readIndex(folder: string): Promise<UnitIndex | undefined> {
  const json = await readJsonFile(`${folder}/index.json`).catch(() => undefined); // it is made anew
  const lists = ["training", "heldOut", "paths"].every((name) => Array.isArray(json?.[name]));
  if (json?.version !== 1 || !lists || !isJsonObject(json.counts) || !isJsonObject(json.refused)) return undefined;
  const index = json as unknown as UnitIndex;
  const whole = await Promise.all([...index.training, ...index.heldOut].map((entry) => isWhole(folder, entry)));
  return whole.every(Boolean) ? index : undefined;
}

/**
 * The shards of a unit: those that are there, and the rest made now. When it is cut short by `signal`, what was done is kept, and the same
 * call goes on from there.
 *
 * @throws Error that names the file which cannot be read
 */
export async function buildUnit(unit: Unit, options: BuildOptions): Promise<UnitIndex> {
  const complete = async () => {
    const known = await readIndex(unit.folder);
    if (known?.complete) options.onProgress?.({ bytes: bytesOf(unit), tokens: 0 });
    return known;
  };
  const before = await complete();
  if (before?.complete) return before;
  await makeFolder(unit.folder);
  const lock = await waitForLock(`${unit.folder}/lock`, options.signal);
  try {
    const known = await complete(); // somebody else may have been at it
    return known?.complete ? known : await buildRest(unit, known, options);
  } finally {
    lock[Symbol.dispose]();
  }
}

/** The lock of a folder, as soon as nobody else holds it. */
async function waitForLock(path: string, signal?: AbortSignal): Promise<Lock> {
  for (;;) {
    signal?.throwIfAborted();
    const lock = await lockFile(path);
    if (lock) return lock;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function buildRest(unit: Unit, known: UnitIndex | undefined, options: BuildOptions): Promise<UnitIndex> {
  const counts: RowCounts = { documents: 0, empty: 0, corrupt: 0, problems: [] };
  const writer = new UnitWriter(unit, options, known);
  const pieces = remaining(unit, counts, { ...options, skipped: known?.pieces ?? 0 });
  try {
    for await (const piece of options.encoder.encode(pieces)) {
      await writer.add(piece, counts);
      options.onProgress?.({ bytes: 0, tokens: piece.ids.length });
      if (options.signal?.aborted) break;
    }
    options.signal?.throwIfAborted();
  } catch (error) {
    await writer.save(counts, { complete: false });
    throw error;
  }
  return await writer.save(counts, { complete: true });
}

/** Bytes of the files of a unit. */
export function bytesOf({ files }: Unit): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Pieces of the unit's documents, but for the first ones, which are only counted. */
async function* remaining(
  { files }: Unit,
  counts: RowCounts,
  { skipped, isCut, field, onProgress, signal }: BuildOptions & { readonly skipped: number },
): AsyncGenerator<LocatedPiece> {
  const onRead = (bytes: number) => onProgress?.({ bytes, tokens: 0 });
  let [number, fate] = [0, 0];
  for (const file of files) {
    for await (const piece of piecesOf(file, counts, { field, isCut, onRead })) {
      if (signal?.aborted) return;
      if (piece.begins) fate = fateOf(piece);
      if (number++ >= skipped) yield { ...piece, fate };
    }
  }
}

/** Collects ids, and writes a shard whenever there are enough. */
class UnitWriter {
  readonly #unit: Unit;
  readonly #options: BuildOptions;
  readonly #buffers = { training: new ShardBuffer(), heldOut: new ShardBuffer() };
  readonly #shards: { training: ShardEntry[]; heldOut: ShardEntry[] };
  readonly #refused: RowCounts;
  #pieces: number;

  constructor(unit: Unit, options: BuildOptions, known?: UnitIndex) {
    this.#unit = unit;
    this.#options = options;
    this.#shards = { training: [...known?.training ?? []], heldOut: [...known?.heldOut ?? []] };
    this.#pieces = known?.pieces ?? 0;
    const { count: corrupt, problems } = known?.refused ?? { count: 0, problems: [] };
    this.#refused = { documents: 0, empty: 0, corrupt, problems: [...problems] };
  }

  async add({ piece, ids, learned, refused }: EncodedPiece, counts: RowCounts): Promise<void> {
    const { heldOutFraction, shardTokens } = this.#options;
    const { fate, begins } = piece;
    if (refused !== undefined && "messages" in piece) {
      countProblem(this.#refused, { path: piece.path, row: piece.row, reason: refused });
    }
    const side = fate < heldOutFraction ? "heldOut" : "training";
    if (ids.length > 0) this.#buffers[side].add({ ids, learned, begins });
    this.#pieces++;
    if (this.#buffers[side].tokens >= shardTokens) await this.save(counts, { complete: false });
  }

  /** Writes what is there, then an index that knows of it: one without the other is never taken for whole. */
  async save(counts: RowCounts, { complete }: { readonly complete: boolean }): Promise<UnitIndex> {
    const { folder, files } = this.#unit;
    for (const side of ["training", "heldOut"] as const) {
      const [buffer, shards] = [this.#buffers[side], this.#shards[side]];
      if (buffer.tokens === 0) continue;
      const name = `${side}-${String(shards.length).padStart(5, "0")}`;
      shards.push(await buffer.write(folder, name, this.#options.bytesPerToken));
    }
    const { corrupt: count, problems } = this.#refused;
    const refused = { count, problems };
    if (complete && count > 0 && count === counts.documents) {
      const [{ path, row, reason }] = problems;
      throw new Error(`Cannot read "${path}": the chat template takes none of its conversations; row ${row}: ${reason}`);
    }
    const paths = files.map(({ path }) => path);
    const index: UnitIndex = { version: 1, complete, pieces: this.#pieces, counts, refused, paths, ...this.#shards };
    await writeFileAtomic(`${folder}/index.json`, JSON.stringify(index, null, 2) + "\n");
    return index;
  }
}

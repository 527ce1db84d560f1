/**
 * Safetensors on disk, read one tensor at a time, so that a checkpoint may be larger than memory.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import type { Bytes } from "./bytes.ts";
import { needFiles, readAt, readJsonFile } from "./files.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import {
  parseSafetensors,
  parseSafetensorsHeader,
  type Safetensors,
  type SafetensorsDType,
  type SafetensorsEntry,
  type SafetensorsHeader,
  safetensorsHeaderBytes,
} from "./safetensors.ts";

/** Reads a whole file into memory. Errors name the path, the tensor and what was wanted. */
export async function readSafetensorsFile(path: string): Promise<Safetensors> {
  needFiles(`Cannot read "${path}"`);
  const bytes = await Deno.readFile(path).catch((cause) => {
    throw new Error(`Cannot read "${path}": ${(cause as Error).message}`, { cause });
  });
  return parseSafetensors(bytes, { source: `"${path}"` });
}

/** Tensors on disk, known by name, dtype and shape; bytes are read when asked for. Close it, or hold it with `using`. */
export interface Checkpoint extends Disposable {
  /** Metadata of all files together; where two files disagree, the last one's. */
  readonly metadata: Record<string, string>;
  /** dtype and shape by tensor name, in order of name. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: SafetensorsDType; readonly shape: Shape }>;
  /** Reads one tensor from disk. Throws a `RangeError` when there is none of that name. */
  read(name: string): Promise<SafetensorsEntry>;
  /** Reads some of a tensor's bytes. Throws as `read`. */
  readBytes(name: string, start: number, length: number): Promise<Uint8Array>;
  /** Closes the files; later reads fail. */
  close(): void;
}

/**
 * Opens a Hugging Face checkpoint folder: `model.safetensors`, or the shards that `model.safetensors.index.json` lists. Only
 * headers are read. Throws an error that names the file when there is neither, when a shard is missing or damaged, or when a
 * shard lacks a tensor that the index places in it.
 */
export async function readCheckpointFolder(folder: string): Promise<Checkpoint> {
  const single = `${folder}/model.safetensors`;
  const index = `${folder}/model.safetensors.index.json`;
  if (await exists(single)) return openCheckpoint([single]);
  if (!await exists(index)) {
    const pickled = await exists(`${folder}/pytorch_model.bin`) || await exists(`${folder}/pytorch_model.bin.index.json`);
    const remedy = pickled
      ? "; it has pytorch_model.bin, which transformers saves as safetensors by model.save_pretrained()"
      : "";
    throw new Error(
      `Cannot open checkpoint "${folder}": wanted model.safetensors or model.safetensors.index.json in it${remedy}`,
    );
  }
  const shardOf = parseIndex(await readJsonFile(index), index);
  const shards = [...new Set(shardOf.values())].sort();
  for (const shard of shards) {
    if (!await exists(`${folder}/${shard}`)) {
      throw new Error(`Cannot open checkpoint "${folder}": its index lists ${shard}, which is missing`);
    }
  }
  return await openCheckpoint(shards.map((shard) => `${folder}/${shard}`), shardOf);
}

/** Works on a checkpoint folder, and closes it. Written out, since not every browser can read a module with `using` in it. */
export async function withCheckpoint<T>(folder: string, work: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await readCheckpointFolder(folder);
  try {
    return await work(checkpoint);
  } finally {
    checkpoint.close();
  }
}

/** Opens one safetensors file; only its header is read. Throws an error that names the path and the fault. */
export async function openSafetensorsFile(path: string): Promise<Checkpoint> {
  return await openCheckpoint([path]);
}

async function exists(path: string): Promise<boolean> {
  needFiles(`Cannot open "${path}"`);
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw new Error(`Cannot open "${path}": ${(error as Error).message}`, { cause: error });
  }
}

/** File name of a shard by tensor name. */
function parseIndex({ weight_map: map }: JsonObject, path: string): Map<string, string> {
  if (!isJsonObject(map)) throw new SyntaxError(`Cannot read "${path}": wanted an object "weight_map"`);
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== "string" || !/^[^/\\]+\.safetensors$/.test(shard)) {
      throw new SyntaxError(
        `Cannot read "${path}": tensor "${name}" lies in ${JSON.stringify(shard)}, wanted the name of a .safetensors file`,
      );
    }
    shardOf.set(name, shard);
  }
  return shardOf;
}

/** Opens safetensors files as one set of tensors. `shardOf` gives the file name of every tensor that must be there. */
async function openCheckpoint(paths: string[], shardOf?: Map<string, string>): Promise<Checkpoint> {
  const files: OpenFile[] = [];
  try {
    for (const path of paths) files.push(await openFile(path));
    return checkpointOf(files, shardOf);
  } catch (error) {
    for (const { file } of files) file.close();
    throw error;
  }
}

interface OpenFile {
  readonly path: string;
  readonly file: Deno.FsFile;
  readonly dataStart: number;
  readonly header: SafetensorsHeader;
}

async function openFile(path: string): Promise<OpenFile> {
  const source = `"${path}"`;
  needFiles(`Cannot open ${source}`);
  const file = await Deno.open(path).catch((cause) => {
    throw new Error(`Cannot open ${source}: ${(cause as Error).message}`, { cause });
  });
  try {
    const { size } = await file.stat();
    const headerBytes = safetensorsHeaderBytes(readAt(file, 0, Math.min(8, size)), size, source);
    const header = parseSafetensorsHeader(readAt(file, 8, headerBytes), size - 8 - headerBytes, source);
    return { path, file, dataStart: 8 + headerBytes, header };
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkpointOf(files: OpenFile[], shardOf?: Map<string, string>): Checkpoint {
  const owners = new Map<string, OpenFile>();
  for (const file of files) {
    for (const name of file.header.spans.keys()) {
      const other = owners.get(name);
      if (other) throw new RangeError(`Cannot open checkpoint: tensor "${name}" lies in "${other.path}" and in "${file.path}"`);
      owners.set(name, file);
    }
  }
  for (const [name, shard] of shardOf ?? []) {
    if (!owners.get(name)?.path.endsWith(`/${shard}`)) {
      throw new RangeError(`Cannot open checkpoint: ${shard} has no tensor "${name}", as the index says`);
    }
  }
  const names = [...owners.keys()].sort();
  const close = () => files.forEach(({ file }) => file.close());
  return {
    metadata: Object.assign({}, ...files.map(({ header }) => header.metadata)),
    tensors: new Map(names.map((name) => [name, owners.get(name)!.header.spans.get(name)!])),
    async read(name) {
      const { dtype, shape, begin, end } = present(owners.get(name), name).header.spans.get(name)!;
      return { dtype, shape, bytes: await readPart(owners.get(name), name, { start: 0, length: end - begin }) };
    },
    readBytes: async (name, start, length) => await readPart(owners.get(name), name, { start, length }),
    close,
    [Symbol.dispose]: close,
  };
}

function present(owner: OpenFile | undefined, name: string): OpenFile {
  if (owner) return owner;
  throw new RangeError(`Cannot read tensor "${name}": the checkpoint has none of that name`);
}

function readPart(found: OpenFile | undefined, name: string, { start, length }: { start: number; length: number }): Bytes {
  const { path, file, dataStart, header } = present(found, name);
  const bytes = readAt(file, dataStart + header.spans.get(name)!.begin + start, length);
  if (bytes.length === length) return bytes;
  throw new RangeError(
    `Cannot read tensor "${name}" of "${path}": wanted ${start + length} bytes, the file now ends after ${start + bytes.length}`,
  );
}

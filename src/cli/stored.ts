/**
 * Tensors as files hold them: GGUF, safetensors, a dense file, or a folder with a checkpoint.
 *
 * @module
 */

import { type Shape, sizeOf } from "../core/shape.ts";
import { readFileAt, readJsonFile } from "../io/files.ts";
import { ggmlFloats } from "../io/ggml_floats.ts";
import { type Bytes, isGzip } from "../io/bytes.ts";
import { type GgufFile, ggufInMemory } from "../io/gguf.ts";
import { parseGguf } from "../io/gguf_reader.ts";
import { openGgufFile } from "../io/gguf_file.ts";
import { gunzipModel } from "../io/gzip_model.ts";
import { elementBytes, tensorValues } from "../io/safetensors.ts";
import { type Checkpoint, openSafetensorsFile, readCheckpointFolder } from "../io/safetensors_file.ts";
import type { TernaryMatrix } from "../pack/format.ts";
import { packedFormatOf } from "../pack/formats.ts";
import { alreadyTernary } from "../pack/groups.ts";
import { bitnetView } from "../pipeline/pack_bitnet.ts";
import { denseFile, isDense, parseDense } from "../pipeline/pack_dense.ts";
import { scaleName, storedMatrix, type UnpackedView } from "../pipeline/pack_safetensors.ts";
import { type PackedSizes, sumSizes } from "../pipeline/packed_weights.ts";
import { checkpointBytes, holdsBitnet, isGguf, modelFolder, refusing, statOf } from "./models.ts";

/** A tensor as stored, the scales that lie apart included. */
export interface StoredTensor {
  /** As the file names it. */
  readonly name: string;
  /** Type of its elements, as the file calls it. */
  readonly type: string;
  /** Of the weights, where they are packed. */
  readonly shape: Shape;
  /** Bytes that it takes. */
  readonly bytes: number;
}

/** What a file or folder holds. Close it by `using`. */
export interface Stored extends Disposable {
  /** What it is, in a few words. */
  readonly kind: string;
  /** Bytes of the file, or of the checkpoint's files. */
  readonly fileBytes: number;
  /** What its metadata say in one value each. */
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the file. */
  readonly tensors: readonly StoredTensor[];
  /** Codes and scales of a tensor; undefined where its weights are not ternary. */
  ternary(name: string): Promise<TernaryMatrix | undefined>;
}

/**
 * Opens a file or a folder.
 *
 * @throws {UsageError} Where it cannot be read.
 */
export async function openStored(path: string): Promise<Stored> {
  return await refusing(async () => {
    const { isDirectory, size } = await statOf(path);
    if (isDirectory) return await openFolder(await modelFolder(path));
    if (await isGguf(path)) return storedGguf(await openGgufFile(path), size);
    if (size >= 2 && isGzip(await readFileAt(path, 0, 2))) return compressedStored(await Deno.readFile(path), { path });
    const checkpoint = await openSafetensorsFile(path);
    if (!isDense(checkpoint)) return storedCheckpoint(checkpoint, { kind: "safetensors", fileBytes: size });
    try {
      const { view } = denseFile(checkpoint, { source: `"${path}"` });
      return storedCheckpoint(checkpoint, { kind: "dense", fileBytes: size, view });
    } catch (error) {
      checkpoint.close();
      throw error;
    }
  });
}

async function openFolder(folder: string): Promise<Stored> {
  const isBitnet = await holdsBitnet(folder);
  const [checkpoint, fileBytes] = [await readCheckpointFolder(folder), await checkpointBytes(folder)];
  if (!isBitnet) return storedCheckpoint(checkpoint, { kind: "checkpoint", fileBytes });
  const view = bitnetView(await readJsonFile(`${folder}/config.json`), { source: `"${folder}"`, checkpoint });
  return storedCheckpoint(checkpoint, { kind: "bitnet checkpoint", fileBytes, view });
}

function compressedStored(compressed: Bytes, { path }: { readonly path: string }): Stored {
  const bytes = gunzipModel(compressed, { source: `"${path}"` });
  const isGgufContent = new TextDecoder().decode(bytes.subarray(0, 4)) === "GGUF";
  if (!isGgufContent) {
    const { checkpoint, view } = parseDense(bytes, { source: `"${path}"` });
    return storedCheckpoint(checkpoint, { kind: "dense, compressed", fileBytes: compressed.length, view });
  }
  return { ...storedGguf(ggufInMemory(parseGguf(bytes, { source: `"${path}"` })), compressed.length), kind: "GGUF, compressed" };
}

function storedGguf(file: GgufFile, fileBytes: number): Stored {
  const single = Object.entries(file.metadata).filter(([, { type }]) => type !== "array");
  return {
    kind: "GGUF",
    fileBytes,
    metadata: Object.fromEntries(single.map(([key, { value }]) => [key, String(value)])),
    tensors: Array.from(file.tensors, ([name, { type, shape, byteLength }]) => ({ name, type, shape, bytes: byteLength })),
    async ternary(name) {
      const { type, shape, bytes } = await file.read(name);
      if (shape.length !== 2) return undefined;
      const format = packedFormatOf(type);
      const [rows, columns] = shape;
      if (format && type !== "Q4_0") return format.unpack(bytes, { rows, columns });
      const floats = ggmlFloats(type, bytes);
      return floats && ternaryFloats(floats, { rows, columns });
    },
    [Symbol.dispose]: () => file.close(),
  };
}

function storedCheckpoint(
  checkpoint: Checkpoint,
  { kind, fileBytes, view }: { readonly kind: string; readonly fileBytes: number; readonly view?: UnpackedView },
): Stored {
  const { tensors, metadata } = checkpoint;
  const bytesOf = (name: string) =>
    tensors.has(name) ? sizeOf(tensors.get(name)!.shape) * elementBytes[tensors.get(name)!.dtype] : 0;
  const isPacked = (name: string) => view !== undefined && tensors.get(name)?.dtype === "U8" && tensors.has(scaleName(name));
  const isScale = (name: string) => name.endsWith("_scale") && isPacked(name.replace(/_scale$/, ""));
  const short = Object.entries(metadata).filter(([, value]) => value.length < 200);
  return {
    kind,
    fileBytes,
    metadata: Object.fromEntries(short),
    tensors: [...tensors].filter(([name]) => !isScale(name)).map(([name, { dtype, shape }]) =>
      isPacked(name)
        ? { name, type: view!.apart.format.name, shape: view!.shapes[name], bytes: bytesOf(name) + bytesOf(scaleName(name)) }
        : { name, type: dtype, shape, bytes: bytesOf(name) }
    ),
    async ternary(name) {
      if (isPacked(name)) return await storedMatrix(checkpoint, name, view!);
      const entry = await checkpoint.read(name);
      const [rows, columns] = entry.shape;
      return entry.shape.length === 2 ? ternaryFloats(tensorValues(entry), { rows, columns }) : undefined;
    },
    [Symbol.dispose]: () => checkpoint.close(),
  };
}

/** Group sizes that float weights are tried with, the coarsest first. */
const likelyGroups = [0, -1, 256, 128, 64, 32];

function ternaryFloats(values: ArrayLike<number>, shape: { readonly rows: number; readonly columns: number }) {
  for (const groupSize of likelyGroups) {
    if (groupSize > 0 && shape.columns % groupSize !== 0) continue;
    const matrix = alreadyTernary(values, { ...shape, groupSize });
    if (matrix) return matrix;
  }
  return undefined;
}

/** Whether a tensor is a linear map of a layer, by any of its names. */
function isLayerWeight({ name, shape }: StoredTensor): boolean {
  return shape.length === 2 && /^(blk|model\.layers)\.\d+\..*\.weight$/.test(name);
}

/** Sizes of what is stored; the linear maps of the layers count as quantized. */
export function storedSizes({ tensors }: Pick<Stored, "tensors">): PackedSizes {
  return sumSizes(
    tensors.map((tensor) => ({ bytes: tensor.bytes, weights: sizeOf(tensor.shape), isQuantized: isLayerWeight(tensor) })),
  );
}

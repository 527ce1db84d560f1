/**
 * A checkpoint's tensors as transformers lays them out: one file, or shards with an index.
 *
 * @module
 */

import { sizeOf } from "../core/shape.ts";
import { writeFileAtomic } from "./atomic.ts";
import { elementBytes, type SafetensorsSource, safetensorsStream } from "./safetensors.ts";

const single = "model.safetensors";
const index = `${single}.index.json`;

/**
 * Writes tensors to a folder, one after another: to `model.safetensors`, or, where they take more than `maxShardBytes`, to
 * `model-00001-of-0000N.safetensors` and so on, with `model.safetensors.index.json`. Each file is written whole or not at all. A file
 * of an earlier checkpoint that readers would take for these tensors is replaced.
 */
export async function writeCheckpointTensors(
  folder: string,
  tensors: Readonly<Record<string, SafetensorsSource>>,
  { maxShardBytes }: { readonly maxShardBytes: number },
): Promise<void> {
  const shards = shardsOf(tensors, maxShardBytes);
  const metadata = { format: "pt" };
  if (shards.length === 1) return await writeFileAtomic(`${folder}/${single}`, safetensorsStream(shards[0], metadata));
  const digits = (count: number) => String(count).padStart(5, "0");
  const names = shards.map((_, at) => `model-${digits(at + 1)}-of-${digits(shards.length)}.safetensors`);
  for (const [at, shard] of shards.entries()) await writeFileAtomic(`${folder}/${names[at]}`, safetensorsStream(shard, metadata));
  const map = shards.flatMap((shard, at) => Object.keys(shard).map((name) => [name, names[at]] as const));
  const total = Object.values(tensors).reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const content = { metadata: { total_size: total }, weight_map: Object.fromEntries(map.sort(([a], [b]) => a < b ? -1 : 1)) };
  await writeFileAtomic(`${folder}/${index}`, JSON.stringify(content, null, 2) + "\n");
  await Deno.remove(`${folder}/${single}`).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

const bytesOf = ({ dtype, shape }: SafetensorsSource): number => sizeOf(shape) * elementBytes[dtype];

/** Tensors in their order, as many to a shard as fit; one that is larger has a shard for itself. */
function shardsOf(
  tensors: Readonly<Record<string, SafetensorsSource>>,
  maxShardBytes: number,
): Record<string, SafetensorsSource>[] {
  const shards: Record<string, SafetensorsSource>[] = [{}];
  let filled = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    const bytes = bytesOf(tensor);
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push({});
      filled = 0;
    }
    shards[shards.length - 1][name] = tensor;
    filled += bytes;
  }
  return shards;
}

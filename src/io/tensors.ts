/**
 * Named tensors on disk, in a safetensors file.
 *
 * @module
 */

import type { DType, TensorData } from "../core/dtype.ts";
import { tensor } from "../create.ts";
import type { Tensor } from "../tensor.ts";
import { writeFileAtomic } from "./atomic.ts";
import { safetensorsChunks, type SafetensorsDType, type SafetensorsValues, tensorValues } from "./safetensors.ts";
import { openSafetensorsFile } from "./safetensors_file.ts";

/** How safetensors calls the types of tensors. */
const dtypes = { float32: "F32", float16: "F16", int32: "I32", uint32: "U32" } as const satisfies Record<DType, SafetensorsDType>;

/** The numbers of tensors at one moment, on their way to a file. */
export type TensorValuesByName = Readonly<Record<string, SafetensorsValues>>;

/**
 * Reads the numbers of tensors: what happens to the tensors afterwards does not change them.
 */
export async function tensorNumbers(tensors: Readonly<Record<string, Tensor>>): Promise<TensorValuesByName> {
  const entries = Object.entries(tensors);
  const data = await Promise.all(entries.map(([, value]) => value.data()));
  return Object.fromEntries(
    entries.map(([name, { dtype, shape }], index) => {
      const isWide = data[index] instanceof Float64Array && dtype === "float32"; // of the reference backend
      return [name, { dtype: isWide ? "F64" : dtypes[dtype], shape, data: data[index] }];
    }),
  );
}

/**
 * Writes tensors to a safetensors file, whole or not at all, to the last bit.
 *
 * @throws Error that names the file where it cannot be written
 *
 * @example
 * ```ts
 * import { loadTensors, saveTensors, tensor } from "@hestia/hestia";
 * const path = await Deno.makeTempFile();
 * await saveTensors(path, { w: tensor([[1, 2], [3, 4]]) });
 * const { w } = await loadTensors(path);
 * console.log(w.shape, await w.data()); // [2, 2], 1, 2, 3, 4
 * await Deno.remove(path);
 * ```
 */
export async function saveTensors(path: string, tensors: Readonly<Record<string, Tensor>>): Promise<void> {
  await writeFileAtomic(path, safetensorsChunks(await tensorNumbers(tensors)));
}

/**
 * Reads the tensors of a safetensors file, as `saveTensors` wrote it, or another one of floats and 32-bit integers. bfloat16 becomes
 * float32, and so does float64 on a GPU.
 *
 * @throws Error that names the file where it cannot be read
 */
export async function loadTensors(path: string): Promise<Record<string, Tensor>> {
  const file = await openSafetensorsFile(path);
  try {
    const tensors: Record<string, Tensor> = {};
    for (const name of file.tensors.keys()) {
      const { shape, ...entry } = await file.read(name);
      const dtype = entry.dtype === "F16" ? { dtype: "float16" } as const : {};
      tensors[name] = tensor(tensorValues({ ...entry, shape }) as TensorData, { shape, ...dtype });
    }
    return tensors;
  } finally {
    file.close();
  }
}

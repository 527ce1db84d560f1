/**
 * Writing a packed model in any format.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { gzip } from "../io/gzip.ts";
import type { LanguageModel, Quantization } from "../llama/checkpoint.ts";
import type { StorageName } from "../pack/fitting.ts";
import { pack, packFile } from "../pipeline/pack.ts";
import { packBitnet } from "../pipeline/pack_bitnet.ts";
import { UsageError } from "./errors.ts";
import { refusing } from "./models.ts";
import { reportedProgress } from "./progress.ts";

/** How a model is written. */
export interface Packing {
  readonly format: StorageName;
  /** Of embedding and head. */
  readonly embeddings: "f16" | "q8_0";
  /** For a model that does not say how it was quantized. */
  readonly quantization?: Quantization;
  readonly allowLoss?: boolean;
  /** As gzip, of dense files. */
  readonly compress?: boolean;
  /** What people call the model. */
  readonly name?: string;
}

/** Where a run puts its packed model: a file, or a folder for bitnet. */
export function packedPath(folder: string, format: StorageName): string {
  return `${folder}/packed/model${format === "bitnet" ? "" : format === "dense" ? ".safetensors" : ".gguf"}`;
}

/**
 * Writes a packed model, whole or not at all.
 *
 * @throws {UsageError} Where the format has no place for it, or the file cannot be written.
 */
export async function writePacked(output: string, model: LanguageModel, packing: Packing): Promise<void> {
  const { format, compress, ...others } = packing;
  using shown = reportedProgress({ title: "packing", unit: "%" });
  const options = { ...others, onProgress: shown.update };
  if (compress && format !== "dense") throw new UsageError(`--compress is for --format dense, got ${format}`);
  if (format === "bitnet") {
    const { embeddings, ...rounding } = options;
    if (embeddings !== "f16") throw new UsageError(`--embeddings ${embeddings} is for GGUF, a bitnet folder has f16`);
    return await refusing(() => packBitnet(output, model, rounding));
  }
  const settings = { ...options, format };
  await refusing(async () =>
    compress ? await writeFileAtomic(output, gzip(await pack(model, settings))) : await packFile(output, model, settings)
  );
}

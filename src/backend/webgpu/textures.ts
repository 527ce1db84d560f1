/**
 * Textures that dispatches read copies of buffers from. Dispatches run one after another, so all of them share a few.
 *
 * @module
 */

import { TEXEL_BYTES, TEXTURE_WIDTH } from "../../core/texels.ts";
import type { BackendStatistics } from "../backend.ts";

/** Makes each texture once, by the binding that reads it and its height. */
export class TextureArena {
  readonly #textures = new Map<string, GPUTexture>();

  constructor(private readonly device: GPUDevice, private readonly statistics: Pick<BackendStatistics, "bytesHeld">) {}

  /** A texture of at least so many texels, for one binding of any dispatch; its contents are those of its last use. */
  get(binding: number, texels: number): GPUTexture {
    const height = 2 ** Math.ceil(Math.log2(Math.max(1, texels / TEXTURE_WIDTH)));
    const key = `${binding}:${height}`;
    let texture = this.#textures.get(key);
    if (!texture) {
      texture = this.device.createTexture({
        size: [TEXTURE_WIDTH, height],
        format: "rgba32float",
        usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
      });
      this.#textures.set(key, texture);
      this.statistics.bytesHeld += TEXTURE_WIDTH * height * TEXEL_BYTES;
    }
    return texture;
  }

  destroy(): void {
    for (const texture of this.#textures.values()) texture.destroy();
    this.#textures.clear();
  }
}

/** Copies the first texels of a buffer: whole lines, then what is left of one. */
export function copyToTexture(encoder: GPUCommandEncoder, buffer: GPUBuffer, texture: GPUTexture, texels: number): void {
  const lines = Math.floor(texels / TEXTURE_WIDTH);
  const rest = texels % TEXTURE_WIDTH;
  const bytesPerRow = TEXTURE_WIDTH * TEXEL_BYTES;
  if (lines > 0) encoder.copyBufferToTexture({ buffer, bytesPerRow }, { texture }, [TEXTURE_WIDTH, lines]);
  if (rest > 0) encoder.copyBufferToTexture({ buffer, offset: lines * bytesPerRow }, { texture, origin: [0, lines] }, [rest, 1]);
}

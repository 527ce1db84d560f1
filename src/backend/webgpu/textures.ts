/**
 * Textures that dispatches read copies of buffers from. Dispatches run one after another, so all of them share a few.
 *
 * @module
 */

import { TEXEL_BYTES, TEXTURE_WIDTH, textureBytes } from "../../core/texels.ts";
import type { BackendStatistics } from "../backend.ts";

/** Makes textures and counts their memory. */
export class TextureMaker {
  readonly #textures: GPUTexture[] = [];

  constructor(private readonly device: GPUDevice, private readonly statistics: Pick<BackendStatistics, "bytesHeld">) {}

  /** A texture of so many lines, and what shaders bind of it. */
  make(lines: number): TextureCopy {
    const texture = this.device.createTexture({
      size: [TEXTURE_WIDTH, lines],
      format: "rgba32float",
      usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
    });
    this.#textures.push(texture);
    this.statistics.bytesHeld += textureBytes(lines);
    return { texture, view: texture.createView() };
  }

  destroy(): void {
    for (const texture of this.#textures.splice(0)) texture.destroy();
  }
}

/** A texture that holds a copy of a buffer while a dispatch reads it. */
export interface TextureCopy {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
}

/** Copies the first texels of a buffer: whole lines, then what is left of one. */
export function copyToTexture(encoder: GPUCommandEncoder, buffer: GPUBuffer, texture: GPUTexture, texels: number): void {
  const lines = Math.floor(texels / TEXTURE_WIDTH);
  const rest = texels % TEXTURE_WIDTH;
  const bytesPerRow = TEXTURE_WIDTH * TEXEL_BYTES;
  if (lines > 0) encoder.copyBufferToTexture({ buffer, bytesPerRow }, { texture }, [TEXTURE_WIDTH, lines]);
  if (rest > 0) encoder.copyBufferToTexture({ buffer, offset: lines * bytesPerRow }, { texture, origin: [0, lines] }, [rest, 1]);
}

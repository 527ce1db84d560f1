/**
 * Textures: those that dispatches read copies of buffers from, of which all share a few, since they run one after another; and those that
 * tensors live in which are uploaded once and read from textures alone, such as the weights of a model.
 *
 * @module
 */

import { TEXEL_BYTES, TEXTURE_WIDTH, textureBytes } from "../../core/texels.ts";
import type { BackendStatistics } from "../backend.ts";

const bytesPerRow = TEXTURE_WIDTH * TEXEL_BYTES;

/** A texture, and what shaders bind of it. */
export interface TextureCopy {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
}

/** A tensor that lives in a texture and in no buffer. */
export class TextureHome implements TextureCopy {
  readonly view: GPUTextureView;

  constructor(readonly texture: GPUTexture, readonly bytes: number) {
    this.view = texture.createView();
  }
}

/** Makes textures and counts their memory. */
export class TextureMaker {
  readonly #textures = new Set<GPUTexture>();
  /** Where to note the textures that are made. */
  made: Set<unknown> | undefined;

  constructor(private readonly device: GPUDevice, private readonly statistics: Pick<BackendStatistics, "bytesHeld">) {}

  /** A texture of so many lines, to be filled again and again. */
  make(lines: number): TextureCopy {
    const texture = this.#create(lines, GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST);
    return { texture, view: texture.createView() };
  }

  /** A texture for data that stay: whole texels. */
  home(data: Uint8Array<ArrayBuffer>): TextureHome {
    const texels = data.byteLength / TEXEL_BYTES;
    const usage = GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST | GPUTextureUsage.COPY_SRC;
    const texture = this.#create(Math.ceil(texels / TEXTURE_WIDTH), usage);
    for (const { origin, size, offset } of windows(texels)) {
      this.device.queue.writeTexture({ texture, origin }, data, { offset, bytesPerRow }, size);
    }
    return new TextureHome(texture, data.byteLength);
  }

  /** Frees the memory of one. */
  drop(texture: GPUTexture): void {
    if (!this.#textures.delete(texture)) return;
    this.statistics.bytesHeld -= textureBytes(texture.height);
    texture.destroy();
  }

  destroy(): void {
    for (const texture of [...this.#textures]) this.drop(texture);
  }

  #create(lines: number, usage: GPUTextureUsageFlags): GPUTexture {
    const texture = this.device.createTexture({ size: [TEXTURE_WIDTH, lines], format: "rgba32float", usage });
    this.#textures.add(texture);
    this.made?.add(texture);
    this.statistics.bytesHeld += textureBytes(lines);
    return texture;
  }
}

/** The parts of a texture that the first texels fill: whole lines, then what is left of one. */
function windows(
  texels: number,
): { readonly origin: [number, number]; readonly size: [number, number]; readonly offset: number }[] {
  const lines = Math.floor(texels / TEXTURE_WIDTH);
  const rest = texels % TEXTURE_WIDTH;
  return [
    ...lines > 0 ? [{ origin: [0, 0] as [number, number], size: [TEXTURE_WIDTH, lines] as [number, number], offset: 0 }] : [],
    ...rest > 0
      ? [{ origin: [0, lines] as [number, number], size: [rest, 1] as [number, number], offset: lines * bytesPerRow }]
      : [],
  ];
}

/** Copies the first texels of a buffer to a line of a texture and those below. */
export function copyToTexture(
  encoder: GPUCommandEncoder,
  buffer: GPUBuffer,
  { texture, texels, line = 0 }: { readonly texture: GPUTexture; readonly texels: number; readonly line?: number },
): void {
  for (const { origin: [x, y], size, offset } of windows(texels)) {
    encoder.copyBufferToTexture({ buffer, offset, bytesPerRow }, { texture, origin: [x, line + y] }, size);
  }
}

/** Copies what lives in a texture to a buffer, from a byte offset on. */
export function copyFromHome(encoder: GPUCommandEncoder, { texture, bytes }: TextureHome, buffer: GPUBuffer, at = 0): void {
  for (const { origin, size, offset } of windows(bytes / TEXEL_BYTES)) {
    encoder.copyTextureToBuffer({ texture, origin }, { buffer, offset: at + offset, bytesPerRow }, size);
  }
}

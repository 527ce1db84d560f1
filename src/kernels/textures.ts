/**
 * Inputs read from textures.
 *
 * A kernel that loads each element many times may read its inputs from `rgba32float` textures, which the device fills by copying
 * the buffers just before, in the layout of `core/texels.ts`. Software drivers bound and mask every load from a storage buffer lane
 * by lane; a copy costs little, and texels are fetched straight away. They are storage textures that are only read: Mesa's software
 * driver takes 67 instructions for eight lanes to load a texel each from one, 189 from a sampled texture, 537 from a buffer.
 *
 * @module
 */

import { TEXTURE_WIDTH } from "../core/texels.ts";

/** Most lines of a texture that every device offers. */
const maxLines = 8192;

/** The most texels that one input may have. */
export const MAX_TEXELS = TEXTURE_WIDTH * maxLines;

/**
 * A shader that reads textures, from one that reads storage buffers of quads or of words by four. Declarations of inputs end in
 * `//: input`, the only statements that load from them read `return name[index]; //: load`.
 */
export function readingTextures(source: string): string {
  const words = new Set<string>();
  return source
    .replace(/var<storage, read> (\w+): array<(Quad|Words)>; \/\/: input/g, (_, name: string, type: string) => {
      if (type === "Words") words.add(name);
      return `var ${name}: texture_storage_2d<rgba32float, read>;`;
    })
    .replace(/return (\w+)\[(\w+)\]; \/\/: load/g, (_, name: string, at: string) => {
      const texel = `textureLoad(${name}, vec2(${at} % ${TEXTURE_WIDTH}u, ${at} / ${TEXTURE_WIDTH}u))`;
      return `return ${words.has(name) ? `bitcast<Words>(${texel})` : texel};`;
    });
}

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
 * A shader that reads textures, from one that reads storage buffers of quads. Declarations of inputs end in `//: input`, the only
 * statements that load from them read `return name[index]; //: load`.
 */
export function readingTextures(source: string): string {
  return source
    .replace(/var<storage, read> (\w+): array<Quad>; \/\/: input/g, "var $1: texture_storage_2d<rgba32float, read>;")
    .replace(
      /return (\w+)\[(\w+)\]; \/\/: load/g,
      `return textureLoad($1, vec2($2 % ${TEXTURE_WIDTH}u, $2 / ${TEXTURE_WIDTH}u));`,
    );
}

/**
 * Layout of data in textures, which programs and devices agree on: texel `i` holds the elements `4i … 4i + 3` and lies at
 * `(i % TEXTURE_WIDTH, i / TEXTURE_WIDTH)`.
 *
 * @module
 */

/** Texels side by side in a line. */
export const TEXTURE_WIDTH = 1024;

/** Bytes of a texel. */
export const TEXEL_BYTES = 16;

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

/** Lines of a texture that holds so many texels: a power of two, so that few textures serve many sizes. */
function linesOf(texels: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, texels / TEXTURE_WIDTH)));
}

/** Bytes of a texture of so many lines. */
export function textureBytes(lines: number): number {
  return lines * TEXTURE_WIDTH * TEXEL_BYTES;
}

/** Lines of each texture that dispatches, run one after another, need: enough for each of them to read all of its copies at once. */
export function textureLines(
  dispatches: readonly { readonly bindings: readonly { readonly texels?: number }[] }[],
): number[] {
  const lines: number[] = [];
  for (const { bindings } of dispatches) {
    const wanted = bindings.flatMap(({ texels }) => texels === undefined ? [] : [linesOf(texels)]).sort((a, b) => b - a);
    wanted.forEach((each, index) => lines[index] = Math.max(lines[index] ?? 0, each));
  }
  return lines;
}

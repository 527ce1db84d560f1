/**
 * Writes `src/kernels/shaders.ts`, one string for each WGSL file, because published packages cannot import text files yet.
 * Run by `deno task shaders`; a test fails when the module is stale.
 *
 * @module
 */

/** The content that `src/kernels/shaders.ts` should have. */
export async function shaderModule(): Promise<string> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(new URL(".", import.meta.url))) {
    if (entry.name.endsWith(".wgsl")) names.push(entry.name.slice(0, -".wgsl".length));
  }
  const parts = await Promise.all(
    names.sort().map(async (name) => {
      const text = await Deno.readTextFile(new URL(`${name}.wgsl`, import.meta.url));
      return `  ${name}: \`${text.replace(/[`\\]|\$\{/g, "\\$&")}\`,\n`;
    }),
  );
  return `// Generated from shaders/*.wgsl by \`deno task shaders\`: edit those.

/** WGSL text of every stored shader, by file name. */
export const shaders = {
${parts.join("")}} as const;
`;
}

if (import.meta.main) {
  await Deno.writeTextFile(new URL("../src/kernels/shaders.ts", import.meta.url), await shaderModule());
}

/**
 * Writes `src/kernels/shaders.ts`, one string for each WGSL file, because published packages cannot import text files yet.
 * Run by `deno task shaders`; a test fails when the module is stale.
 *
 * @module
 */

/** The text of a shader. A line `//: include NAME` stands for the file `parts/NAME.wgsl`, which several shaders share. */
async function shaderText(path: string): Promise<string> {
  const text = await Deno.readTextFile(new URL(path, import.meta.url));
  const names = [...text.matchAll(/^\/\/: include (\w+)$/gm)].map(([, name]) => name);
  const parts = await Promise.all(names.map((name) => shaderText(`parts/${name}.wgsl`)));
  return text.replace(/^\/\/: include \w+\n/gm, () => parts.shift()!);
}

/** Functions that generated shaders add where they use them. */
const functions = ["round_to_half", "sine", "maximum", "maximum4", "minimum", "minimum4"];

/** An object of texts by name. */
async function objectOf(paths: readonly string[]): Promise<string> {
  const entries = await Promise.all(paths.map(async (path) => {
    const text = await shaderText(`${path}.wgsl`);
    return `  ${path.replace("parts/", "")}: \`${text.replace(/[`\\]|\$\{/g, "\\$&")}\`,\n`;
  }));
  return `{\n${entries.join("")}} as const`;
}

/** The content that `src/kernels/shaders.ts` should have. */
export async function shaderModule(): Promise<string> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(new URL(".", import.meta.url))) {
    if (name.endsWith(".wgsl")) names.push(name.slice(0, -".wgsl".length));
  }
  return `// Generated from shaders/*.wgsl by \`deno task shaders\`: edit those.

/** WGSL text of every stored shader, by file name. */
export const shaders = ${await objectOf(names.sort())};

/** Functions that generated shaders add where they use them. */
export const shaderFunctions = ${await objectOf(functions.map((name) => `parts/${name}`))};
`;
}

if (import.meta.main) {
  await Deno.writeTextFile(new URL("../src/kernels/shaders.ts", import.meta.url), await shaderModule());
}

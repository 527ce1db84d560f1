/**
 * Shaders whose inner loops are written out, since drivers keep only what constants index in registers.
 *
 * @module
 */

/** A marked loop from zero: its indentation, its variable, the name or number that ends it, and its body. */
const loop = /^( *)for \(var (\w+) = 0u; .* < (\w+); .*\) \{ \/\/: unroll\n([\s\S]*?\n)\1\}\n/gm;

/** A constant that sizes set. */
const size = /^const (\w+) = \d+u; \/\/: size$/gm;

/** A shader with other sizes, in which every marked loop is a sequence of blocks. */
export function unrolled(source: string, sizes: Readonly<Record<string, number>>): string {
  const blocks = (text: string): string =>
    text.replace(loop, (_, indent: string, variable: string, end: string, body: string) => {
      const count = sizes[end] ?? parseInt(end);
      const name = new RegExp(`\\b${variable}\\b`, "g");
      return Array.from({ length: count }, (_, k) => `${indent}{\n${blocks(body.replace(name, `${k}u`))}${indent}}\n`).join("");
    });
  return blocks(source.replace(size, (_, name: string) => `const ${name} = ${sizes[name]}u;`));
}

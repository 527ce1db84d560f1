/**
 * The loops of shaders of rows, unrolled.
 *
 * @module
 */

/** A marked loop over the quads of a row: its indentation, its header up to the step, and its body. */
const loops = /^( *)(for \(.*; quad < .*; quad \+= )MEMBERS\) \{ \/\/: quads\n([\s\S]*?\n)\1\}\n/gm;
/** A statement that loads. */
const load = /^ *let \w+ = \w+_at\(.*\);$/;

/**
 * A shader whose invocations have a row each, from one whose invocations may share rows. Marked loops take several quads in each turn: first
 * they load, then they compute, then they store. Rows of neighbours often lie a power of two apart, where lines of a cache drive each other
 * out, so that a line should be used whole while it is there.
 *
 * @param quads of a turn; divides the number that a row has
 */
export function unrolled(source: string, quads: number): string {
  return source.replace(
    loops,
    (_, indent: string, header: string, body: string) =>
      `${indent}${header}${quads}u) {\n${turnOf(body, { quads, store: `${indent}  if (exists) {` })}${indent}}\n`,
  );
}

/** The body of a loop for several quads, with different names for what it defines. */
function turnOf(body: string, { quads, store }: { readonly quads: number; readonly store: string }): string {
  const names = ["quad", ...[...body.matchAll(/\blet (\w+)/g)].map(([, name]) => name)];
  const words = new RegExp(`\\b(${names.join("|")})\\b`, "g");
  const copies = (lines: readonly string[]) =>
    Array.from(
      { length: quads },
      (_, k) =>
        lines.map((line) => `${line.replace(words, (name) => name === "quad" ? `(quad + ${k}u)` : `${name}_${k}`)}\n`).join(""),
    )
      .join("");
  const lines = body.trimEnd().split("\n");
  const stores = lines.includes(store) ? lines.indexOf(store) : lines.length;
  const loads = lines.filter((line) => load.test(line)).map((line) => copies([line]));
  const computes = lines.slice(0, stores).filter((line) => !load.test(line));
  return [...loads, copies(computes), copies(lines.slice(stores))].join("");
}

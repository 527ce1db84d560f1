/**
 * The loops of shaders of rows, several quads in each turn.
 *
 * @module
 */

/** A marked loop over the quads of a row: its indentation, its header up to the step, and its body. */
const loops = /^( *)(for \(.*; quad < .*; quad \+= )MEMBERS\) \{ \/\/: quads\n([\s\S]*?\n)\1\}\n/gm;

/**
 * A shader whose invocations have rows to themselves, from one whose invocations may share rows. Marked loops take several quads in each
 * turn: rows of neighbours often lie a power of two apart, where lines of a cache drive each other out, so that a line should be used whole
 * while it is there.
 *
 * @param quads of a turn; divides the number that a row has
 */
export function inTurns(source: string, quads: number): string {
  return source.replace(
    loops,
    (_, indent: string, header: string, body: string) => `${indent}${header}${quads}u) {\n${turnOf(body, quads)}${indent}}\n`,
  );
}

/**
 * The body of a loop for several quads: each statement, a line, is repeated for all of them before the next one, with different names for
 * what it defines; once if it concerns no quad. So a statement may use what those before it give for the same quad, and add to what lives
 * outside of the loop.
 */
function turnOf(body: string, quads: number): string {
  const isStatement = (line: string) => line.endsWith(";");
  const lines = body.trimEnd().split("\n");
  const defined = lines.filter(isStatement).flatMap((line) => line.match(/(?<=\b(let|var) )\w+/)?.[0] ?? []);
  const words = new RegExp(`\\b(${["quad", ...defined].join("|")})\\b`, "g");
  const forQuad = (line: string, k: number) => line.replace(words, (word) => word === "quad" ? `(quad + ${k}u)` : `${word}_${k}`);
  const repeated = (line: string) => isStatement(line) && line.search(words) >= 0;
  return lines.flatMap((line) => repeated(line) ? Array.from({ length: quads }, (_, k) => forQuad(line, k)) : line)
    .map((line) => `${line}\n`).join("");
}

/**
 * Marked lines of stored shaders, which generated lines take the place of.
 *
 * @module
 */

const MARK = "//: ";

/** Replaces the lines that end in marks, such as `//: store`, of which there is a rule; it is given the line as stored. */
export function replaceMarked(source: string, rules: Readonly<Record<string, (stored: string) => string>>): string {
  const pieces: string[] = [];
  let done = 0;
  for (let at = source.indexOf(MARK); at >= 0; at = source.indexOf(MARK, at + 1)) {
    const start = source.lastIndexOf("\n", at) + 1;
    const newline = source.indexOf("\n", at);
    const end = newline < 0 ? source.length : newline;
    const mark = source.slice(at + MARK.length, end);
    if (!Object.hasOwn(rules, mark)) continue;
    pieces.push(source.slice(done, start), rules[mark](source.slice(start, end)));
    done = end;
  }
  return pieces.join("") + source.slice(done);
}

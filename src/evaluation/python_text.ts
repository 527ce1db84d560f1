/**
 * What Python's methods do to text, where JavaScript's do something else: the rules of the published tasks are written in them.
 *
 * @module
 */

/** What `str.isspace` holds for: unlike JavaScript's, with the separators U+001C to U+001F and U+0085, and without U+FEFF. */
const space = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const leading = new RegExp(`^${space}+`);
const isSpace = new RegExp(space);

/** `str.lstrip()`. */
export function trimmedStart(text: string): string {
  return text.replace(leading, "");
}

/** `str.rstrip()`. */
export function trimmedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace.test(text[end - 1])) end--;
  return text.slice(0, end);
}

/** `str.strip()`. */
export function trimmed(text: string): string {
  return trimmedEnd(trimmedStart(text));
}

/** `len(str)`: code points. */
export function lengthOf(text: string): number {
  return [...text].length;
}

/** `str.capitalize()`: the first character in title case, the others small. */
export function capitalized(text: string): string {
  const [first] = text;
  if (first === undefined) return "";
  return titleCase(first) + text.toLowerCase().slice(first.toLowerCase().length);
}

/** Letters of two, whose title case has only the first large. */
const digraphs = ["ǄǅǆǅD", "ǇǈǉǈL", "ǊǋǌǋN", "ǱǲǳǲD"].map((letters) => ({ letters: letters.slice(0, 3), title: letters[3] }));
const iota = "\u0345";

function titleCase(character: string): string {
  const digraph = digraphs.find(({ letters }) => letters.includes(character));
  if (digraph) return digraph.title;
  if (/[\u10d0-\u10fa\u10fd-\u10ff]/.test(character)) return character; // Georgian has capitals, but no title case
  const bare = character.normalize("NFD");
  if (bare.endsWith(iota) && bare.length > 1) return (bare.slice(0, -1).toUpperCase() + iota).normalize("NFC");
  if (character === "ŉ") return "ʼN";
  const [head = "", ...rest] = character.toUpperCase();
  return head + rest.join("").toLowerCase();
}

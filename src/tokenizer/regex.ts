/**
 * Regular expressions of `tokenizer.json` in JavaScript, where `\s` and `\w` mean other characters, and a bound on their time.
 *
 * @module
 */

import { bracketed, parseRegex, type RegexNode } from "./regex_parse.ts";

/**
 * The sticky expression that matches what `pattern` matches in Oniguruma, which Hugging Face's tokenizers use.
 *
 * @throws {RangeError} where something is not supported, or where the expression takes more than time in proportion to the text
 */
export function compileRegex(pattern: string): RegExp {
  const tree = parseRegex(pattern);
  const nested = findNested(tree);
  if (nested) {
    throw new RangeError(
      `its regular expression repeats ${
        source(nested, { groups: 0 })
      }, which has repetitions or alternatives itself: such take minutes`,
    );
  }
  const expression = new RegExp(source(tree, { groups: 0 }), "vy");
  refuseSlow(expression, pattern);
  return expression;
}

/** JavaScript's spelling of a tree. */
function source(node: RegexNode, counter: { groups: number }): string {
  switch (node.kind) {
    case "one":
      return bracketed(node);
    case "place":
      return node.text;
    case "look":
      return `${node.open}${source(node.inner, counter)})`;
    case "sequence":
      return node.parts.map((part) => part.kind === "choice" ? `(?:${source(part, counter)})` : source(part, counter)).join("");
    case "choice":
      return node.parts.map((part) => source(part, counter)).join("|");
    case "repeat": {
      const { least, most } = node;
      const inner = asClass(node.inner) ?? `(?:${source(node.inner, counter)})`;
      const text = `${inner}{${least},${most === Infinity ? "" : most}}${node.how === "lazy" ? "?" : ""}`;
      if (node.how !== "possessive") return text;
      const name = `atomic${counter.groups++}`; // a look ahead gives nothing back
      return `(?=(?<${name}>${text}))\\k<${name}>`;
    }
  }
}

/** One class for a character, or for a choice among characters, which so needs no going back. */
function asClass(node: RegexNode): string | undefined {
  if (node.kind === "one") return bracketed(node);
  const all = node.kind === "choice" ? node.parts.map(asClass) : [];
  return all.length > 0 && all.every((each) => each !== undefined) ? `[${all.join("")}]` : undefined;
}

/** From this many on a repetition counts as one without end. */
const many = 10;

/** What is repeated without end although it can match one text in several ways, perhaps. */
function findNested(node: RegexNode): RegexNode | undefined {
  if (node.kind === "one" || node.kind === "place") return undefined;
  if (node.kind === "repeat" && node.most >= many && !asClass(node.inner) && isAmbiguous(node.inner)) return node.inner;
  const inner = "parts" in node ? node.parts : [node.inner];
  return inner.map(findNested).find((found) => found !== undefined);
}

function isAmbiguous(node: RegexNode): boolean {
  if (node.kind === "one" || node.kind === "place" || node.kind === "look") return false;
  if (node.kind === "sequence") return node.parts.some(isAmbiguous);
  if (node.kind === "choice") return asClass(node) === undefined;
  return node.least !== node.most || isAmbiguous(node.inner);
}

/** Characters of all kinds, each repeated in a text that is to be matched in time. */
const samples = [" ", "\n", "\t", "a", "A", "é", "1", "²", "-", "'", "_", "!", "中", "\u0301", "🐋", "ª"];
/** Milliseconds that 64 K characters may take: a few are needed, and seconds where time grows with the square. */
const slow = 200;

function refuseSlow(expression: RegExp, pattern: string): void {
  for (const sample of samples) {
    for (let length = 64; length <= 1 << 16; length *= 2) {
      const text = sample.repeat(length) + "\u0001";
      const time = () => {
        const start = performance.now();
        forEachMatch(expression, text, () => {});
        return performance.now() - start;
      };
      if (time() < slow || time() < slow || time() < slow) continue;
      throw new RangeError(
        `its regular expression ${pattern} takes more than ${slow} ms for ${length} times ${JSON.stringify(sample)}`,
      );
    }
  }
}

/** Calls `visit` with the start and end of each match of a sticky expression, from the first on. */
export function forEachMatch(expression: RegExp, text: string, visit: (start: number, end: number) => void): void {
  for (let start = 0; start <= text.length;) {
    expression.lastIndex = start;
    if (!expression.test(text)) {
      start += text.codePointAt(start)! > 0xffff ? 2 : 1;
      continue;
    }
    const end = expression.lastIndex;
    visit(start, end);
    start = end > start ? end : start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
  }
}

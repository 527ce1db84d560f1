/**
 * Regular expressions of `tokenizer.json` in JavaScript, where `\s` and `\w` mean other characters, and a bound on their time.
 *
 * @module
 */

import { bracketed, parseRegex, type RegexNode } from "./regex_parse.ts";

/** An expression that finds all its matches in a text. */
export class Pattern {
  /**
   * @param expression sticky
   * @param skip characters, sticky too: where the expression does not match at one of them, it does not match at those that follow
   */
  constructor(private readonly expression: RegExp, private readonly skip?: RegExp) {}

  /** Calls `visit` with the start and end of each match, from the first on. */
  forEachMatch(text: string, visit: (start: number, end: number) => void): void {
    const { expression } = this;
    for (let start = 0; start <= text.length;) {
      expression.lastIndex = start;
      const end = expression.test(text) ? expression.lastIndex : -1;
      if (end >= 0) visit(start, end);
      start = end > start ? end : this.#next(text, start, end < 0);
    }
  }

  #next(text: string, start: number, failed: boolean): number {
    if (failed && this.skip) {
      this.skip.lastIndex = start;
      if (this.skip.test(text)) return this.skip.lastIndex;
    }
    return start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
  }
}

/**
 * The pattern that matches what an expression matches in Oniguruma, which Hugging Face's tokenizers use.
 *
 * @throws {RangeError} where something is not supported, or where the expression takes more than time in proportion to the text
 */
export function compileRegex(text: string): Pattern {
  const tree = parseRegex(text);
  const nested = findNested(tree);
  if (nested) {
    const repeated = source(nested, { groups: 0 });
    throw new RangeError(
      `its regular expression repeats ${repeated}, which has repetitions or alternatives itself: such take minutes`,
    );
  }
  const run = leadingRun(tree);
  const pattern = new Pattern(
    new RegExp(source(tree, { groups: 0 }), "vy"),
    run === undefined ? undefined : new RegExp(`${run}+`, "vy"),
  );
  refuseSlow(pattern, text);
  return pattern;
}

/**
 * Characters that an expression begins with, as many as there are: a class. What follows them fails again from each of them on, where it
 * failed from the first. Undefined where an alternative begins otherwise.
 */
function leadingRun(node: RegexNode): string | undefined {
  if (node.kind === "choice") {
    const runs = node.parts.map(leadingRun);
    return runs.every((run) => run !== undefined) ? `[${runs.join("&&")}]` : undefined;
  }
  if (node.kind === "sequence") return node.parts.length > 0 ? leadingRun(node.parts[0]) : undefined;
  return node.kind === "repeat" && node.least <= 1 && node.most === Infinity ? asClass(node.inner) : undefined;
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

function refuseSlow(pattern: Pattern, spelled: string): void {
  for (const sample of samples) {
    for (let length = 64; length <= 1 << 16; length *= 2) {
      const text = sample.repeat(length) + "\u0001";
      const time = () => {
        const start = performance.now();
        pattern.forEachMatch(text, () => {});
        return performance.now() - start;
      };
      if (time() < slow || time() < slow || time() < slow) continue;
      throw new RangeError(
        `its regular expression ${spelled} takes more than ${slow} ms for ${length} times ${JSON.stringify(sample)}`,
      );
    }
  }
}

/**
 * Regular expressions of `tokenizer.json`, which are written for the library Oniguruma, as trees.
 *
 * @module
 */

/** A part of an expression. */
export type RegexNode =
  /** One character of a class. `text` is what stands between the brackets of that class, in JavaScript's syntax of the flag v. */
  | { readonly kind: "one"; readonly text: string; readonly negated: boolean }
  /** Nothing of the text: anchors, word boundaries. */
  | { readonly kind: "place"; readonly text: string }
  /** What follows or comes before; `open` is how JavaScript spells it, such as `(?=`. */
  | { readonly kind: "look"; readonly open: string; readonly inner: RegexNode }
  | { readonly kind: "sequence"; readonly parts: readonly RegexNode[] }
  | { readonly kind: "choice"; readonly parts: readonly RegexNode[] }
  | {
    readonly kind: "repeat";
    readonly inner: RegexNode;
    readonly least: number;
    readonly most: number;
    readonly how: Eagerness;
  };

/** Whether a repetition takes as much as it can, as little as it can, or as much as it can and gives nothing back. */
export type Eagerness = "greedy" | "lazy" | "possessive";

/** Parses an expression. Throws a `RangeError` that names what is not supported. */
export function parseRegex(pattern: string): RegexNode {
  return new Parser(pattern).whole();
}

/** A character as a class of the flag v spells it. */
export function spelled(char: string): string {
  return /^[a-zA-Z0-9]$/.test(char) ? char : `\\u{${char.codePointAt(0)!.toString(16)}}`;
}

/** Classes of one letter, as Oniguruma has them for Unicode. */
const classes: Readonly<Record<string, string>> = {
  s: "\\p{White_Space}",
  d: "\\p{Nd}",
  w: "\\p{Alphabetic}\\p{M}\\p{N}\\p{Pc}",
  h: "0-9a-fA-F",
};
const controls: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v", a: "\x07", e: "\x1b" };

/** Groups by how they open. */
const looks = ["(?=", "(?!", "(?<=", "(?<!"];

class Parser {
  #at = 0;

  constructor(private readonly pattern: string) {}

  whole(): RegexNode {
    const ignoreCase = this.#take("(?i)");
    const node = this.#choice(ignoreCase);
    if (this.#at < this.pattern.length) throw this.#unsupported(this.pattern.slice(this.#at));
    return node;
  }

  #unsupported(what: string): RangeError {
    return new RangeError(`its regular expression has ${what}, which is not supported`);
  }

  #take(text: string): boolean {
    if (!this.pattern.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** What a sticky expression matches here, taken. */
  #match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#at;
    const found = expression.exec(this.pattern);
    if (found) this.#at += found[0].length;
    return found;
  }

  #char(): string {
    const char = String.fromCodePoint(this.pattern.codePointAt(this.#at) ?? 0);
    if (this.#at >= this.pattern.length) throw this.#unsupported("an end in the middle");
    this.#at += char.length;
    return char;
  }

  #choice(ignoreCase: boolean): RegexNode {
    const parts = [this.#sequence(ignoreCase)];
    while (this.#take("|")) parts.push(this.#sequence(ignoreCase));
    return parts.length === 1 ? parts[0] : { kind: "choice", parts };
  }

  #sequence(ignoreCase: boolean): RegexNode {
    const parts: RegexNode[] = [];
    while (this.#at < this.pattern.length && !/[|)]/.test(this.pattern[this.#at])) {
      parts.push(this.#repeated(this.#atom(ignoreCase)));
    }
    return parts.length === 1 ? parts[0] : { kind: "sequence", parts };
  }

  #repeated(inner: RegexNode): RegexNode {
    const found = this.#match(/([*+?]|\{(\d*)(,?)(\d*)\})([+?]?)/y);
    if (!found) return inner;
    const [text, sign, low, comma, high, suffix] = found;
    if (inner.kind === "place" || inner.kind === "look") throw this.#unsupported(`${text} behind what takes no character`);
    const braces = sign.startsWith("{");
    if (braces && (suffix === "+" || low + high === "")) throw this.#unsupported(text);
    const least = braces ? Number(low) : sign === "+" ? 1 : 0;
    const most = braces ? (comma ? (high === "" ? Infinity : Number(high)) : least) : sign === "?" ? 1 : Infinity;
    const how = suffix === "" ? "greedy" : suffix === "?" ? "lazy" : "possessive";
    const node: RegexNode = { kind: "repeat", inner, least, most, how };
    if (/[*+?{]/.test(this.pattern[this.#at] ?? "")) throw this.#unsupported("a repetition of a repetition");
    return node;
  }

  #atom(ignoreCase: boolean): RegexNode {
    if (this.#take("[")) return this.#class(ignoreCase);
    if (this.pattern[this.#at] === "(") return this.#group(ignoreCase);
    if (this.#take(".")) return { kind: "one", text: "\\n", negated: true };
    if (this.#take("^")) return { kind: "place", text: "(?<![^\\n])" };
    if (this.#take("$")) return { kind: "place", text: "(?![^\\n])" };
    if (this.#take("\\")) return this.#escape(ignoreCase);
    const char = this.#char();
    if (/[*+?]/.test(char)) throw this.#unsupported(`a ${char} behind nothing`);
    return { kind: "one", text: cased(char, ignoreCase), negated: false };
  }

  #group(ignoreCase: boolean): RegexNode {
    const open = looks.find((each) => this.#take(each));
    const insensitive = open === undefined && this.#take("(?i:");
    const other = open === undefined && !insensitive && !this.#take("(?:") && !this.#match(/\((?!\?)|\(\?<[a-zA-Z]\w*>/y);
    if (other) throw this.#unsupported(`a group ${this.pattern.slice(this.#at, this.#at + 4)}`);
    const inner = this.#choice(ignoreCase || insensitive);
    if (!this.#take(")")) throw this.#unsupported("a group without an end");
    return open === undefined ? inner : { kind: "look", open, inner };
  }

  #escape(ignoreCase: boolean): RegexNode {
    const word = `[${classes.w}]`;
    if (this.#take("A")) return { kind: "place", text: "^" };
    if (this.#take("z")) return { kind: "place", text: "$" };
    if (this.#take("b")) return { kind: "place", text: `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))` };
    return { kind: "one", text: this.#escapedClass(ignoreCase), negated: false };
  }

  /** What a backslash and what follows it stand for, in a class. */
  #escapedClass(ignoreCase: boolean): string {
    const property = this.#match(/([pP])\{(\^?)([\w=]+)\}/y);
    if (property) return this.#property(property[3], (property[1] === "P") !== (property[2] === "^"), ignoreCase);
    const code = this.#match(/x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})/y);
    if (code) return cased(String.fromCodePoint(parseInt(code[1] ?? code[2] ?? code[3], 16)), ignoreCase);
    const char = this.#char();
    if (Object.hasOwn(classes, char)) return classes[char];
    if (Object.hasOwn(classes, char.toLowerCase())) return `[^${classes[char.toLowerCase()]}]`;
    if (Object.hasOwn(controls, char)) return spelled(controls[char]);
    if (/[a-zA-Z0-9]/.test(char)) throw this.#unsupported(`\\${char}`);
    return cased(char, ignoreCase);
  }

  #property(name: string, negated: boolean, ignoreCase: boolean): string {
    if (ignoreCase && /^(L[ult]|Upper|Lower|Uppercase|Lowercase)/.test(name)) {
      throw this.#unsupported(`\\p{${name}} regardless of case`);
    }
    for (const each of [name, `Script=${name}`]) {
      const text = `\\${negated ? "P" : "p"}{${each}}`;
      try {
        new RegExp(text, "v");
        return text;
      } catch {
        continue;
      }
    }
    throw this.#unsupported(`\\p{${name}}`);
  }

  /** A class in brackets, behind the first one. */
  #class(ignoreCase: boolean): RegexNode & { readonly kind: "one" } {
    const negated = this.#take("^");
    let text = "";
    do {
      if (this.pattern.startsWith("[:", this.#at) || this.pattern.startsWith("&&", this.#at)) {
        throw this.#unsupported(this.pattern.slice(this.#at, this.#at + 2));
      }
      text += this.#take("[") ? bracketed(this.#class(ignoreCase)) : this.#range(ignoreCase);
    } while (!this.#take("]"));
    return { kind: "one", text, negated };
  }

  /** A character, a class of one letter, or a range, within a class. */
  #range(ignoreCase: boolean): string {
    const first = this.#item(ignoreCase);
    const isRange = this.pattern[this.#at] === "-" && this.pattern[this.#at + 1] !== "]";
    if (!isRange || first.char === undefined) return first.text;
    this.#at++;
    const last = this.#item(ignoreCase);
    if (last.char === undefined) throw this.#unsupported("a range that ends in a class");
    const text = `${spelled(first.char)}-${spelled(last.char)}`;
    if (!ignoreCase) return text;
    if (!/^[a-z]{2}$|^[A-Z]{2}$|^[0-9]{2}$/.test(first.char + last.char)) {
      throw this.#unsupported("such a range regardless of case");
    }
    return text.toLowerCase() + text.toUpperCase();
  }

  #item(ignoreCase: boolean): { readonly text: string; readonly char?: string } {
    const start = this.#at;
    if (!this.#take("\\")) {
      const char = this.#char();
      return { text: cased(char, ignoreCase), char };
    }
    const text = this.#escapedClass(ignoreCase);
    this.#at = start + 1;
    const char = literal(this.#escapedClass(false));
    return { text, char };
  }
}

/** The character that a class of one is. */
function literal(text: string): string | undefined {
  const code = /^\\u\{([0-9a-f]+)\}$/.exec(text);
  return code ? String.fromCodePoint(parseInt(code[1], 16)) : text.length === 1 ? text : undefined;
}

/** A class of one as JavaScript spells it. */
export function bracketed({ text, negated }: { readonly text: string; readonly negated: boolean }): string {
  return `[${negated ? "^" : ""}${text}]`;
}

/** A character, with those that differ from it in case alone where that is to be ignored. */
function cased(char: string, ignoreCase: boolean): string {
  if (!ignoreCase) return spelled(char);
  const more = { s: "ſ", k: "\u212a" }[char.toLowerCase()] ?? "";
  const all = [char, char.toLowerCase(), char.toUpperCase(), ...more].filter((each) => [...each].length === 1);
  return [...new Set(all)].map(spelled).join("");
}

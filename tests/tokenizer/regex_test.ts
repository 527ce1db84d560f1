import { compileRegex } from "../../src/tokenizer/regex.ts";
import { deepEqual, ok, throws } from "../assert.ts";

/** All matches, in order. */
function matches(pattern: string, text: string): string[] {
  const found: string[] = [];
  compileRegex(pattern).forEachMatch(text, (start, end) => void found.push(text.slice(start, end)));
  return found;
}

/** What Oniguruma finds. */
const cases: [pattern: string, text: string, found: string[]][] = [
  ["\\s", "\u0085\ufeff\u00a0\u200b\u2028\u180e", ["\u0085", "\u00a0", "\u2028"]],
  ["[^\\s]+", "a\ufeffb\u0085c", ["a\ufeffb", "c"]],
  ["[^\\S\\n]+", " \t\n \u0085", [" \t", " \u0085"]],
  ["\\w+", "né²Ⅷ_‿ ½-𝒳\u0301", ["né²Ⅷ_‿", "½", "𝒳\u0301"]],
  ["\\d+", "1٣²", ["1٣"]],
  ["(?i:'s|'LL)", "'S 'ſ 'll 's", ["'S", "'ſ", "'ll", "'s"]],
  ["(?i)k[a-c]", "Kb KA kd", ["Kb", "KA"]],
  ["\\p{Han}+", "a中文b", ["中文"]],
  ["\\p{^L}+|\\P{L}", "a1 b", ["1 "]],
  [".+", "a\u2028b\nc", ["a\u2028b", "c"]],
  ["^b|b$", "ab\nb", ["b", "b"]],
  ["\\Ab|\\bb", "bb b", ["b", "b"]],
  ["a?+a|b", "ab aa", ["b", "aa"]],
  ["\\s+$|\\s*\\n+", "a  b \n c\n d  ", [" ", "\n", "\n", "  "]],
  ["[\\]\\-^]", "-^]", ["-", "^", "]"]],
  ["\\x41\\x{1F40B}\\u00e9", "A🐋é", ["A🐋é"]],
  ["(?<name>a)(b)(?:c)?", "abc ab", ["abc", "ab"]],
  ["x*", "axb", ["", "x", "", ""]],
  ["(?<=a)b(?=c)|(?<!a)b(?!c)", "abc bx", ["b", "b"]],
  ["(?:a|[bc]|\\d)+", "xab1cx", ["ab1c"]],
  ["a{2}|b{1,2}?|c{2,}", "aabbcc", ["aa", "b", "b", "cc"]],
];

for (const [pattern, text, found] of cases) {
  Deno.test(`${pattern} finds what Oniguruma finds`, () => deepEqual(matches(pattern, text), found));
}

const unsupported: [pattern: string, wanted: RegExp][] = [
  ["[a-c&&b]", /has &&, which is not supported/],
  ["[[:alpha:]]", /has \[:/],
  ["(a)\\1", /has \\1/],
  ["(?m:a)", /a group \(\?m:/],
  ["\\p{Nonsense}", /\\p\{Nonsense\}/],
  ["(?i:\\p{Lu})", /regardless of case/],
  ["a)", /has \)/],
  ["(a", /a group without an end/],
  ["*a", /a \* behind nothing/],
  ["[a", /an end in the middle/],
  ["(?:a+)+", /repeats .* minutes/],
  ["(?:a|ab)*c", /repeats .* minutes/],
  ["(?:a?b?){20}", /repeats .* minutes/],
  ["a*a*a*b", /takes more than 200 ms/],
  ["a+b|[a-c]", /takes more than 200 ms/],
];

for (const [pattern, wanted] of unsupported) {
  Deno.test(`${pattern} is refused in time`, () => {
    const start = performance.now();
    throws(() => compileRegex(pattern), { name: "RangeError", message: wanted });
    ok(performance.now() - start < 20_000);
  });
}

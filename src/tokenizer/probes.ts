/**
 * Texts that tell rules apart which split or rewrite texts.
 *
 * @module
 */

/** Characters of every class that rules make a difference between. */
const kinds = [
  ..."aBſé'stlrevmd1٣²Ⅷ中ʰǅ\u0301 \t\n\r\u00a0\u0085\u3000.\"_-/$`\u200b\ufeff\u0001",
  "🐋",
  "𝒳",
  ...["e\u0301", "ﬁ", "İ", "  ", "   a  b "], // what normalizers change
];

/** Short texts: each character, each pair, and what contractions and runs may look like. */
export const probes: readonly string[] = [
  ...kinds.flatMap((a) => ["", ...kinds].map((b) => a + b)),
  ...["'s", "'T", "'re", "'Ve", "'M", "'LL", "'d", "'ſ", "'x"].flatMap((end) => [`it${end} a`, `1${end}`, `.${end}b`, ` ${end}`]),
];

/** All triples, and runs of one or two characters. */
export function* longProbes(): Generator<string> {
  for (const a of kinds) for (const b of kinds) for (const c of kinds) yield a + b + c;
  for (const a of kinds) {
    for (const length of [3, 4, 5, 6, 7, 8, 9, 17, 65, 600]) {
      const run = a.repeat(length);
      yield run;
      for (const b of ["a", "A", "1", " ", "\n", ".", "'s", "中"]) yield* [run + b, b + run, b + run + b, ` ${b}${run} ${b}`];
    }
  }
}

/**
 * Texts to try tokenizers on: scripts, emoji, digits, spaces, control characters, code, contractions, line ends, and mixtures of them.
 *
 * @module
 */

/** Numbers from 0 to below 1, always the same for a seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const sentences = [
  "Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse",
  "It's what we'd've said: they'll, I'm, you're, DON'T, WE'LL, o'clock, 'tis, rock 'n' roll's",
  "Größe, naïve café, Ærøskøbing, ñandú, İstanbul, ǅ, ﬁ, ªº",
  "日本語の文章です。「かぎ括弧」、句読点。한국어 문장, 中文標點符號",
  "Русский текст, Ελληνικά Σίσυφος, עברית שָׁלוֹם, العربية ٣٤٥, हिन्दी ४५ नमस्ते, ไทย",
  "emoji 🐋🇯🇵👩‍🚀👍🏽 ❤️ and e\u0301 a\u0308 o\u0302\u0323",
  "0 12 345 6789 1234567890 3.14 1,000 ½ ² Ⅷ ٣ ४ 0x1F 1e-9",
  "for (let i = 0; i < n; ++i) {\n\tsum += a[i] * b[i]; // TODO(me): x != y && z\n}\n",
  'def f(x: int) -> str:\n    return f"{x!r}"\n\n\n# end\r\n\r\n',
  "<s>a</s> <unk> <|endoftext|> <|im_start|>user <0x0A> [INST] <mask>",
  "https://example.org/a_b?c=d&e=%20#f user@host.com C:\\dir\\file.txt",
  "  two spaces   three\t\ttabs \u00a0\u00a0 nbsp \u3000 wide \u2003\u2009 thin\u200b zero \u0085 next \u2028 line \ufeff mark",
  "\u0000\u0001\u001f\u007f\u0080\u009f control \ufffd \ufffe \u{10ffff} ▁ Ġ Ċ <0xE2>",
  "ALL CAPS AND CamelCaseWords snake_case_words kebab-case",
  "$100 €20 £3 +5 -7 =8 <9> ^_^ ~/.x `code` |pipe| \"quotes\" 'single' “curly” ‘so’ … — –",
];

const pieces = [
  ..." \n\t\r'.,-_!?()[]{}<>/\\\"&%$#@*+=~^`|;:0123456789aAbBeEiIlLmMnNrRsStTvVdDzZéÉßñüçŁłΩωЖжשعहगไ中文字日本かなカナ한글",
  ...[
    "  ",
    "   ",
    "    ",
    "\n\n",
    "\r\n",
    " \n",
    "\n ",
    "\t\t",
    " '",
    "'s",
    "'S",
    "'re",
    "'ll ",
    "'ſ",
    " a",
    " 1",
    " .",
    " é",
    "\u0301",
    "\u00a0",
    "\u3000",
  ],
  ...[
    "\u0085",
    "\u200b",
    "\u200d",
    "\u2028",
    "\ufeff",
    "\u00ad",
    "🐋",
    "👩‍🚀",
    "🇯🇵",
    "𝒳",
    "𐍈",
    "²",
    "½",
    "Ⅷ",
    "٣",
    "the",
    " the",
    "ing",
    "tion",
    "▁",
    "Ġ",
    "<s>",
    " <left> ",
    "<right> ",
    "<mask>",
    "<mask>s",
  ],
];

/** So many texts, always the same for a seed: sentences, cuts and joins of them, and characters at random. */
export function variedTexts(count: number, seed = 1): string[] {
  const next = random(seed);
  const below = (limit: number) => Math.floor(next() * limit);
  const some = <T>(list: readonly T[]): T => list[below(list.length)];
  const atRandom = () => Array.from({ length: 1 + below(24) }, () => some(pieces)).join("");
  const cut = () => {
    const characters = [...some(sentences)];
    const start = below(characters.length);
    return characters.slice(start, start + 1 + below(40)).join("");
  };
  const made = [
    atRandom,
    cut,
    () => cut() + atRandom(),
    () => some(pieces).repeat(1 + below(70)),
    () => atRandom() + some(pieces).repeat(below(20)) + cut(),
  ];
  return Array.from({ length: count }, (_, index) => index < sentences.length ? sentences[index] : made[index % made.length]());
}

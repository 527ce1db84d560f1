import { loadTokenizer, type TokenizerJson } from "../../src/tokenizer/tokenizer.ts";
import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";
import { ggufKinds, recordedKinds } from "../support/tokenizers.ts";

const gpt2 = ggufKinds["gpt-2"]();
const pieces = ggufKinds["like Llama 2"]();

/** Texts that are one word, or one run, and so long that the square of their length would take hours. */
const long = 1_000_000;
const adversarial: [name: string, text: string][] = [
  ["one word", "a".repeat(long)],
  ["one word of many letters", Array.from({ length: long }, (_, i) => "etaoinshr"[(i * i + 3 * i) % 9]).join("")],
  ["spaces", " ".repeat(long)],
  ["spaces and a letter", " ".repeat(long) + "a"],
  ["line ends", "\r\n".repeat(long / 2)],
  ["digits", "1".repeat(long)],
  ["dashes", "-".repeat(long)],
  ["ideographs", "的一是不了人我在有他".repeat(long / 10)],
  ["characters that are no token", "\u{12345}".repeat(long / 4)],
  ["spelt special tokens", "<s>".repeat(long / 3)],
];

for (const [kind, json] of [["bytes", gpt2], ["characters", pieces]] as const) {
  Deno.test(`a million characters of ${kind} take time in proportion, whatever they are`, async () => {
    const tokenizer = await loadTokenizer(json);
    for (const [name, text] of adversarial) {
      const start = performance.now();
      const ids = tokenizer.encode(text);
      ok(performance.now() - start < 20_000, name);
      equal(tokenizer.decode(ids), text);
    }
  });
}

for (const kind of Object.keys(recordedKinds)) {
  Deno.test(`${kind}: a long word is encoded like a short one`, async () => {
    const json = recordedKinds[kind]();
    const [tokenizer, fresh] = [await loadTokenizer(json), await loadTokenizer(json)];
    for (const word of ["thethethe", "ing1ing", "ロロ中文", "aé\u0301x", "  \t ", "....!!", "<s><s>"]) {
      const text = word.repeat(97);
      const once = tokenizer.encode(text);
      deepEqual(tokenizer.encode(text), once); // from memory
      deepEqual(fresh.encode(`${text} ${text}`).subarray(0, 20), tokenizer.encode(`${text} ${text}`).subarray(0, 20));
    }
  });
}

Deno.test("special tokens in a text are text, unless told otherwise; other added tokens always count", async () => {
  const more = { id: 900, content: "<tool>", special: false };
  const tokenizer = await loadTokenizer({ ...gpt2, added_tokens: [...gpt2.added_tokens!, more] });
  const text = "a</s><tool>";
  deepEqual([...tokenizer.encode(text, { parseSpecial: true })].slice(1), [2, 900]);
  const plain = tokenizer.encode(text);
  ok(!plain.includes(2) && plain.at(-1) === 900);
  equal(tokenizer.decode(plain), text);
  deepEqual([...tokenizer.encode("", { addSpecial: true })], [1]);
});

Deno.test("lists may be left out, or null", async () => {
  const { added_tokens: _, ...rest } = gpt2;
  const { merges: __, ...model } = gpt2.model!;
  const single = [...(await loadTokenizer(changedModel({ merges: [] }))).encode("whale")];
  for (const json of [{ ...rest, model }, { ...rest, added_tokens: null, model: { ...model, merges: null } }]) {
    deepEqual([...(await loadTokenizer({ ...json, post_processor: null })).encode("whale")], single);
  }
});

Deno.test("ids of another vocabulary are refused by name", async () => {
  const tokenizer = await loadTokenizer(gpt2);
  const last = tokenizer.vocabularySize - 1;
  for (const id of [-1, NaN, 0.5, last + 1, -100]) {
    const wanted = { name: "RangeError", message: new RegExp(`an id must be a whole number from 0 to ${last}, got ${id}`) };
    throws(() => tokenizer.decode([65, id]), wanted);
    throws(() => tokenizer.stream().push(id), wanted);
  }
});

const changed = (change: Record<string, unknown>): TokenizerJson => ({ ...gpt2, ...change });
const changedModel = (change: Record<string, unknown>): TokenizerJson => ({ ...gpt2, model: { ...gpt2.model, ...change } });

const refused: [name: string, json: TokenizerJson, wanted: RegExp][] = [
  ["field", changed({ novelty: 1 }), /novelty of tokenizer\.json is not known, got 1/],
  ["version", changed({ version: "2.0" }), /version of tokenizer\.json is "2\.0", wanted "1\.0"/],
  ["model", changedModel({ type: "Unigram" }), /model of tokenizer\.json is of type Unigram, wanted BPE/],
  ["model's field", changedModel({ novelty: 1 }), /novelty of model BPE is not known/],
  ["dropout", changedModel({ dropout: 0.1 }), /dropout of model BPE is 0\.1, wanted none/],
  [
    "normalizer",
    changed({ normalizer: { type: "Precompiled", precompiled_charsmap: "" } }),
    /normalizer of tokenizer\.json is of type Precompiled, wanted Sequence, NFC/,
  ],
  [
    "step of a sequence",
    changed({ normalizer: { type: "Sequence", normalizers: [{ type: "NFC", odd: 1 }] } }),
    /odd of normalizer NFC is not known/,
  ],
  [
    "pre-tokenizer",
    changed({ pre_tokenizer: { type: "BertPreTokenizer" } }),
    /pre_tokenizer of tokenizer\.json is of type BertPreTokenizer/,
  ],
  [
    "behaviour",
    changed({ pre_tokenizer: { type: "Split", pattern: { String: "a" }, behavior: "Odd", invert: false } }),
    /behavior of pre_tokenizer Split is "Odd", wanted "Removed"/,
  ],
  [
    "regular expression",
    changed({ pre_tokenizer: { type: "Split", pattern: { Regex: "(a+)+" }, behavior: "Removed", invert: false } }),
    /its regular expression repeats/,
  ],
  ["decoder", changed({ decoder: { type: "CTC" } }), /decoder of tokenizer\.json is of type CTC/],
  [
    "post-processor",
    changed({ post_processor: { type: "TemplateProcessing", single: [], pair: [], special_tokens: {} } }),
    /template \[\], wanted the text once/,
  ],
  [
    "special token of a template",
    changed({
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "?" } }, { Sequence: { id: "A" } }],
        special_tokens: {},
      },
    }),
    /adds "\?", which its special_tokens do not have/,
  ],
  ["added token", changed({ added_tokens: [{ content: "x" }] }), /added token \{"content":"x"\} of tokenizer\.json has no id/],
  [
    "added token's flag",
    changed({ added_tokens: [{ id: 900, content: "x", odd: true }] }),
    /odd of added token "x" is not known/,
  ],
  [
    "added token's id",
    changed({ added_tokens: [{ id: 5, content: "new" }] }),
    /added token "new" has the id 5, but the vocabulary gives that to/,
  ],
  ["token's id", changedModel({ vocab: { a: 0.5 }, merges: [] }), /token "a" has the id 0\.5/],
  [
    "id beyond 31 bits",
    changedModel({ vocab: { a: 0, b: 2 ** 31 }, merges: [] }),
    /token "b" has the id 2147483648, wanted a whole/,
  ],
  ["shared id", changedModel({ vocab: { a: 0, b: 0 }, merges: [] }), /tokens "a" and "b" share the id 0/],
  ["merge", changedModel({ merges: ["a"] }), /merge "a" is no pair of tokens/],
  [
    "merge of unknown tokens",
    changedModel({ merges: [["\n", "a"]] }),
    /merge \["\\n","a"\] needs the token "\\n", which the vocabulary lacks/,
  ],
  ["unknown token", changedModel({ unk_token: "<none>" }), /unk_token "<none>" is not in the vocabulary/],
];

for (const [name, json, wanted] of refused) {
  Deno.test(`a ${name} that is not understood is refused by name`, async () => {
    await rejects(loadTokenizer(json), (error: Error) => {
      ok(/^Cannot load a tokenizer: [^\n]*$/.test(error.message), error.message);
      return wanted.test(error.message) || error.message === String(wanted);
    });
  });
}

Deno.test("unknown fields may be passed over, with a warning each", async () => {
  const warnings: string[] = [];
  const options = { allowUnknown: true, onWarning: (warning: string) => void warnings.push(warning) };
  const tokenizer = await loadTokenizer(changed({ novelty: 1 }), { ...options, config: { oddity: 2 } });
  deepEqual(tokenizer.encode("the whale"), (await loadTokenizer(gpt2)).encode("the whale"));
  deepEqual(warnings.map((each) => /(novelty|oddity)/.exec(each)?.[0]), ["novelty", "oddity"]);
});

const configs: [name: string, config: Record<string, unknown>, ids: number[] | RegExp][] = [
  ["says nothing", {}, [1]],
  ["adds no begin token", { add_bos_token: false }, []],
  ["adds both", {
    add_bos_token: true,
    add_eos_token: true,
    bos_token: "<s>",
    eos_token: { content: "</s>" },
    tokenizer_class: "LlamaTokenizer",
  }, [1, 2]],
  ["adds another", { add_bos_token: true, bos_token: "<unk>", tokenizer_class: "LlamaTokenizerFast" }, [0]],
  [
    "adds what is no token",
    { add_bos_token: true, bos_token: "<none>", tokenizer_class: "LlamaTokenizer" },
    /adds bos_token, which is "<none>", no token/,
  ],
  ["has an unknown field", { oddity: 1 }, /oddity of tokenizer_config\.json is not known/],
  ["lists a token otherwise", { added_tokens_decoder: { 5: { content: "new" } } }, /added token "new" has the id 5/],
];

for (const [name, config, wanted] of configs) {
  Deno.test(`tokenizer_config.json ${name}`, async () => {
    if (wanted instanceof RegExp) return await rejects(loadTokenizer(gpt2, { config }), wanted);
    deepEqual([...(await loadTokenizer(gpt2, { config })).encode("", { addSpecial: true })], wanted);
  });
}

Deno.test("tokenizer_config.json may add tokens, and a space before", async () => {
  const config = {
    add_prefix_space: true,
    added_tokens_decoder: { 900: { content: "<new>", special: true, normalized: false } },
  };
  const tokenizer = await loadTokenizer(gpt2, { config });
  deepEqual([...tokenizer.encode("<new>", { parseSpecial: true })], [900]);
  equal(tokenizer.decode(tokenizer.encode("a")), " a");
});

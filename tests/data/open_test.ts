/** Folders of mixed files as data sets: found, read, counted, cached, and cut short. */

import { zstdCompressSync } from "node:zlib";
import type { DataOptions } from "../../src/data/open.ts";
import { gzip } from "../../src/io/gzip.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { ignoredTarget } from "../../src/train/data.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";
import { batchesOf, books, decode, encode, open, rows, textOf, withFiles } from "../support/texts.ts";

const parquet = (name: string) => Deno.readFileSync(new URL(`./files/${name}.parquet`, import.meta.url));

Deno.test("a folder of mixed files gives its documents, and counts what is none", () =>
  withFiles({
    "a.txt": "\ufeffA book.",
    "b/empty.md": " \n",
    "b/notes.md": "# Notes",
    "c.jsonl": rows({ text: "one" }, "{broken", { text: "" }, { txt: "two" }, { text: 3 }, [1], { text: "two" }),
    "d.jsonl.gz": new Uint8Array([...gzip(encode(rows({ text: "g1" }))), ...gzip(encode(rows({ text: "g2" })))]),
    "e.jsonl.zst": new Uint8Array([
      ...zstdCompressSync(encode(rows({ text: "z1" }))),
      ...zstdCompressSync(encode(rows({ text: "z2" }))),
    ]),
    "f.parquet": parquet("snappy"),
    "g.parquet": parquet("latin1"),
    "ignored.png": new Uint8Array([1, 2, 3]),
    ".hidden/x.txt": "no",
  }, async (folder) => {
    const data = await open(folder);
    const [source] = data.sources;
    const documents = ["A book.", "# Notes", "one", "two", "g1", "g2", "z1", "z2"];
    documents.push(...["first row", "né 🐋", "fifth", "sixth", "seventh", "good", "fine"]);
    const text = documents.map((each) => each + "\0").join("");
    equal(await textOf(folder), text);
    equal(data.trainingTokens, encode(text).length);
    deepEqual([source.files, source.documents, source.empty, source.corrupt], [8, 15, 4, 5]);
    deepEqual(
      source.problems,
      [
        `"${folder}/c.jsonl" row 2: not JSON: {broken`,
        `"${folder}/c.jsonl" row 4: no field "text" or "messages" or "conversations"; it has txt`,
        `"${folder}/c.jsonl" row 5: field "text": wanted text or a list of messages, got 3`,
        `"${folder}/c.jsonl" row 6: wanted a JSON object, got [1]`,
        `"${folder}/g.parquet" row 2: it looks like Latin-1 (ISO 8859-1), wanted UTF-8`,
      ],
    );
  }));

Deno.test("a token that both begins and ends documents stands once between them", () =>
  withFiles({ "a.jsonl": rows({ text: "one" }, { text: "two" }) }, async (folder) => {
    const more = { beginToken: 0, endTokens: [0, 7] };
    equal(await textOf(folder, "", more), "\0one\0two");
    equal(await textOf(folder, "", { ...more, endTokens: [7, 0] }), "\0one\x07\0two\x07");
  }));

Deno.test("a file that is not what its name says is refused, and named", async () => {
  const cases: [name: string, content: string | Uint8Array, message: RegExp, more?: Partial<DataOptions>][] = [
    ["a.txt", Uint8Array.of(0x63, 0x61, 0x66, 0xe9, 0x20), /Cannot read ".*a\.txt" as text: it looks like Latin-1/],
    ["a.txt", gzip(encode("x")), /it looks like a gzip file, wanted UTF-8/],
    ["a.jsonl", gzip(encode("x")), /it looks like a gzip file, wanted UTF-8/],
    ["a.jsonl.gz", rows({ text: "x" }), /its name says a gzip file, and it does not begin as one/],
    ["a.jsonl.gz", gzip(encode(rows({ text: "x".repeat(99) }))).slice(0, -9), /its compressed content is damaged/],
    [
      "a.jsonl.zst",
      zstdCompressSync(encode(rows({ text: "y".repeat(99) }))).subarray(0, -4),
      /its compressed content is damaged/,
    ],
    ["a.jsonl.zst", "", /its name says a Zstandard file/],
    ["a.jsonl", '[{"text": "a"}]', /none of its 1 rows is a document; row 1: wanted a JSON object, got \[/],
    [
      "a.jsonl",
      rows({ content: "x" }, { content: "y" }),
      /none of its 2 rows is a document; row 1: no field "text".*; it has content/,
    ],
    ["a.parquet", "PAR1 no", /Cannot read ".*a\.parquet" as Parquet/],
    ["a.parquet", parquet("zstd"), /it has no column "text", "messages" or "conversations"; it has content/],
    ["a.parquet", parquet("snappy"), /it has no column "body"; it has text, id/, { field: "body" }],
    ["a.parquet", parquet("messages"), /row 1 is a conversation, and the model has no chat template/],
  ];
  for (const [name, content, message, more] of cases) {
    await withFiles({ [name]: content }, (folder) => rejects(open(folder, name, more), message));
  }
});

Deno.test("another field is read where it is named, from lines and from Parquet", () =>
  withFiles({ "a.jsonl": rows({ text: "no", body: "yes" }), "b.parquet": parquet("zstd") }, async (folder) => {
    equal(await textOf(folder, "a.jsonl", { field: "body" }), "yes\0");
    equal(await textOf(folder, "b.parquet", { field: "content" }), `zstd ${"x".repeat(200)}\0row two\0`);
  }));

Deno.test("a second call reads the cache, and only what changed is tokenized again", () =>
  withFiles(books, async (folder) => {
    let made = 0;
    const onProgress: DataOptions["onProgress"] = ({ tokens }) => made = tokens;
    const first = await open(folder, "*.jsonl", { onProgress, shardTokens: 256 });
    equal(made, first.trainingTokens);
    const again = await open(folder, "*.jsonl", { onProgress });
    deepEqual([made, again.trainingTokens, again.sources[0].corrupt], [0, first.trainingTokens, 7]);
    deepEqual(await batchesOf(again, [0, 100]), await batchesOf(first, [0, 100]));
    await open(folder, "*.jsonl", { onProgress, endTokens: [1] });
    equal(made, first.trainingTokens, "another end token is another cache");
    await Deno.writeTextFile(`${folder}/book3.jsonl`, rows({ text: "new" }));
    const changed = await open(folder, "*.jsonl", { onProgress });
    ok(made > 0 && changed.trainingTokens < first.trainingTokens);
    const stillThere = await open(folder, "book4.jsonl");
    await Deno.rename(`${folder}/book4.jsonl`, `${folder}/moved.jsonl`);
    deepEqual((await open(folder, "moved.jsonl", { onProgress })).trainingTokens, stillThere.trainingTokens);
    equal(made, 0, "a file is known by its content");
    match((await open(folder, "moved.jsonl")).sources[0].problems[0], /moved\.jsonl" row 24: not JSON: broken/);
  }));

Deno.test("work that is cut short goes on where it was, to the same batches", () =>
  withFiles(books, async (folder) => {
    const options = { shardTokens: 256, heldOutFraction: 0.3 };
    const whole = await open(folder, "*.jsonl", { ...options, cacheFolder: `${folder}/.whole` });
    let left = 0;
    for (const limit of [1, 900, 2000]) {
      const controller = new AbortController();
      const onProgress: DataOptions["onProgress"] = ({ tokens }) => tokens >= limit && controller.abort();
      await rejects(open(folder, "*.jsonl", { ...options, onProgress, signal: controller.signal }), { name: "AbortError" });
    }
    const resumed = await open(folder, "*.jsonl", { ...options, onProgress: ({ tokens }) => left = tokens });
    ok(left > 0 && left < whole.trainingTokens + whole.heldOut.tokens - 2900, `${left} tokens were left`);
    deepEqual(resumed.sources, whole.sources);
    deepEqual(await batchesOf(resumed, [0, 1, 77]), await batchesOf(whole, [0, 1, 77]));
    deepEqual(await resumed.heldOut.ids(), await whole.heldOut.ids());
  }));

Deno.test("a process that is killed loses at most a shard", () =>
  withFiles(books, async (folder) => {
    const kill = `
      import { openData, byteTokenizer } from "@hestia/hestia";
      await openData([{ path: "${folder}/*.jsonl" }], {
        tokenizer: byteTokenizer, endTokens: [0, 7], cacheFolder: "${folder}/.cache", shardTokens: 256,
        onProgress: ({ tokens }) => tokens >= 3000 && Deno.kill(Deno.pid, "SIGKILL"),
      });`;
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const { signal } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--no-check", "--config", config, kill] })
      .output();
    equal(signal, "SIGKILL");
    let made = 0;
    const data = await open(folder, "*.jsonl", { shardTokens: 256, onProgress: ({ tokens }) => made = tokens });
    ok(data.trainingTokens - made > 3000 - 512, `${made} of ${data.trainingTokens} tokens made again`);
    const whole = await open(folder, "*.jsonl", { cacheFolder: `${folder}/.whole` });
    deepEqual(await batchesOf(data, [0, 5]), await batchesOf(whole, [0, 5]));
  }));

Deno.test("who asks for the same text meanwhile waits for it, and does not tokenize it again", () =>
  withFiles(books, async (folder) => {
    const made = [0, 0];
    const both = await Promise.all(
      [0, 1].map((at) => open(folder, "*.jsonl", { shardTokens: 256, onProgress: ({ tokens }) => made[at] = tokens })),
    );
    deepEqual(made.toSorted((a, b) => a - b), [0, both[0].trainingTokens]);
    deepEqual(both[0].sources, both[1].sources);
  }));

Deno.test("a damaged cache is noticed before it is used, a missing part is made again", () =>
  withFiles(books, async (folder) => {
    const files = async () => {
      const found: string[] = [];
      for (const { name } of Deno.readDirSync(`${folder}/.cache/tokens`)) {
        if (!name.includes(".")) {
          for (const file of Deno.readDirSync(`${folder}/.cache/tokens/${name}`)) {
            found.push(`${folder}/.cache/tokens/${name}/${file.name}`);
          }
        }
      }
      return await Promise.resolve(found);
    };
    const whole = await batchesOf(await open(folder, "*.jsonl"), [0]);
    const [ids] = (await files()).filter((path) => path.endsWith(".ids"));
    const content = await Deno.readFile(ids);
    await Deno.writeFile(ids, content.map((byte, at) => at === 100 ? byte ^ 1 : byte));
    await rejects(
      batchesOf(await open(folder, "*.jsonl"), [0, 1, 2, 3, 4, 5, 6]),
      /is damaged; delete the folder ".*", and it is made anew/,
    );
    await Deno.remove(ids);
    deepEqual(await batchesOf(await open(folder, "*.jsonl"), [0]), whole);
  }));

const chatTemplate =
  "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ '\x03' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
const chat = (...turns: string[]) => ({
  messages: turns.map((content, at) => ({ role: at % 2 ? "assistant" : "user", content })),
});

Deno.test("of conversations only what the assistant says is learned", () =>
  withFiles({
    "a.jsonl": rows(
      chat("Hi", "Ho", "Who?", "Me"),
      { conversations: [{ from: "human", value: "2+2" }, { from: "gpt", value: "4" }] },
      { messages: [{ role: "user" }] },
      { text: "plain" },
    ),
  }, async (folder) => {
    const options = { chatTemplate, endTokens: [3], beginToken: 2 };
    const data = await open(folder, "a.jsonl", { ...options, heldOutFraction: 1 });
    const text = decode(await data.heldOut.ids());
    const documents = [
      "<user>Hi\x03<assistant>Ho\x03<user>Who?\x03<assistant>Me\x03",
      "<user>2+2\x03<assistant>4\x03",
      "plain\x03",
    ];
    equal(text, documents.map((document) => "\x02" + document).join(""));
    let learned = "";
    for await (const { targets } of data.heldOut.windows({ batchSize: 1, sequenceLength: 16 })) {
      learned += [...targets].map((id) => id === ignoredTarget ? " " : String.fromCharCode(id)).join("");
    }
    deepEqual(learned.trim().split(/ +/), ["Ho\x03", "Me\x03", "4\x03\x02plain\x03"]); // of a text all is learned
    deepEqual([data.sources[0].documents, data.sources[0].corrupt], [3, 1]);
    match(data.sources[0].problems[0], /row 3: field "messages": message 0 has no "content"/);
  }));

Deno.test("a conversation that its template refuses is a corrupt row", () =>
  withFiles(
    { "a.jsonl": rows(chat("Hi", "Ho"), { messages: [{ role: "critic", content: "no" }] }, chat("A", "B")) },
    async (folder) => {
      const strict = "{% for m in messages %}{% if m.role == 'critic' %}{{ raise_exception('no critics') }}{% endif %}" +
        "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
      for (let call = 0; call < 2; call++) {
        const [source] = (await open(folder, "a.jsonl", { chatTemplate: strict })).sources;
        deepEqual([source.documents, source.corrupt], [2, 1]);
        match(source.problems[0], /a\.jsonl" row 2: .*no critics/);
      }
      await Deno.writeTextFile(`${folder}/b.jsonl`, rows({ messages: [{ role: "critic", content: "no" }] }));
      await rejects(
        open(folder, "b.jsonl", { chatTemplate: strict }),
        /the chat template takes none of its conversations; row 1: .*no critics/,
      );
    },
  ));

Deno.test("special tokens in a text are text, unless told; workers give the same ids", () =>
  withFiles({ "a.txt": "one <end> two" }, async (folder) => {
    const json = { ...byteTokenizer.toJSON(), added_tokens: [{ id: 300, content: "<end>", special: true }] };
    const tokenizer = await loadTokenizer(json);
    const ids = async (
      more: Partial<DataOptions>,
    ) => [...await (await open(folder, "a.txt", { tokenizer, heldOutFraction: 1, ...more })).heldOut.ids()];
    deepEqual(await ids({}), [...encode("one <end> two\0")]);
    deepEqual(await ids({ parseSpecial: true }), [...encode("one "), 300, ...encode(" two\0")]);
    await Deno.writeTextFile(`${folder}/b.txt`, "A line of a long book, and then the next one.\n".repeat(7_000)); // in two pieces
    const both: Uint32Array[] = [];
    for (const workers of [0, 2]) {
      both.push(
        await (await open(folder, "b.txt", { tokenizer, workers, heldOutFraction: 1, cacheFolder: `${folder}/.${workers}` }))
          .heldOut.ids(),
      );
    }
    equal(both[0].length, 322_001);
    ok(both[0].every((id, at) => id === both[1][at]) && both[1].length === both[0].length);
  }));

Deno.test("ids beyond 65 535 are kept in four bytes", () =>
  withFiles({ "a.txt": "wide ids" }, async (folder) => {
    const tokenizer: Tokenizer = {
      ...byteTokenizer,
      vocabularySize: 70_000,
      encode: (text) => byteTokenizer.encode(text).map((id) => id + 69_000),
    };
    const data = await open(folder, "a.txt", { tokenizer, heldOutFraction: 1 });
    deepEqual([...await data.heldOut.ids()], [...encode("wide ids")].map((id) => id + 69_000).concat(0));
  }));

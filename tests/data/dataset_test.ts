/** Data sets as batches: shuffled, mixed, held out, masked, and the same for a step whenever it is asked for. */

import { openData } from "../../src/data/open.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { type Batch, ignoredTarget } from "../../src/train/data.ts";
import { deepEqual, equal, notDeepEqual, ok, rejects } from "../assert.ts";
import { batchesOf, books, decode, open, rows, size, withFiles } from "../support/texts.ts";

Deno.test("a batch depends on its step alone; an epoch has each sequence once, and the next one another order", () =>
  withFiles(books, async (folder) => {
    const data = await open(folder, "*.jsonl");
    const count = data.sequences(16);
    const all = decode(await (await open(folder, "*.jsonl", { heldOutFraction: 1 })).heldOut.ids());
    const starts = ({ inputs, targets }: Batch) => {
      deepEqual([...inputs.subarray(1, 16)], [...targets.subarray(0, 15)]);
      return Array.from({ length: 3 }, (_, row) => decode(inputs.subarray(16 * row, 16 * row + 16)));
    };
    const steps = Math.ceil(2 * count / 3);
    const drawn = (await batchesOf(data, Array.from({ length: steps }, (_, step) => step))).flatMap(starts);
    const wanted = Array.from({ length: count }, (_, at) => all.slice(16 * at, 16 * at + 16));
    const [first, second] = [drawn.slice(0, count), drawn.slice(count, 2 * count)];
    deepEqual(first.toSorted(), wanted.toSorted());
    deepEqual(second.toSorted(), wanted.toSorted());
    notDeepEqual(first, second);
    notDeepEqual(first, wanted);
    const later = [];
    for await (const batch of data.batches({ ...size, start: 7 })) {
      later.push(batch);
      if (later.length === 3) break;
    }
    deepEqual(later, await batchesOf(data, [7, 8, 9]));
    notDeepEqual(await data.batchAt({ ...size, seed: 6, step: 0 }), await data.batchAt({ ...size, step: 0 }));
  }));

Deno.test("sources are mixed by weight, each with epochs of its own", () =>
  withFiles({ "a.txt": "a".repeat(330), "b.txt": "b".repeat(5000) }, async (folder) => {
    const specs = [{ path: `${folder}/a.txt`, weight: 3 }, { path: `${folder}/b.txt`, weight: 1 }];
    const data = await openData(specs, { tokenizer: byteTokenizer, cacheFolder: `${folder}/.cache` });
    const counts = { a: 0, b: 0 };
    for (let step = 0; step < 100; step++) {
      const { inputs } = await data.batchAt({ ...size, step });
      for (let row = 0; row < 3; row++) counts[decode(inputs.subarray(16 * row, 16 * row + 1)) as "a" | "b"]++;
    }
    ok(Math.abs(counts.a - 225) <= 2 && counts.a + counts.b === 300, JSON.stringify(counts));
  }));

Deno.test("documents are held out by what they say: disjoint, about as many as wanted, and the same when files are added", async () => {
  const page = (at: number) => ({ text: `page ${at} ${"x".repeat(at % 7)}` });
  const lines = rows(...Array.from({ length: 1000 }, (_, at) => page(at)));
  await withFiles({ "a.jsonl": lines }, async (folder) => {
    const split = async (path: string) => {
      const data = await open(folder, path, { heldOutFraction: 0.2 });
      const heldOut = decode(await data.heldOut.ids()).split("\0").filter(Boolean);
      return { data, heldOut };
    };
    const before = await split("*.jsonl");
    ok(Math.abs(before.heldOut.length - 200) < 4 * Math.sqrt(1000 * 0.2 * 0.8), `${before.heldOut.length} documents`);
    equal(before.data.sources[0].heldOutBy, "document");
    const all = lines.length - 1000 * '{"text":""}'.length;
    equal(before.data.trainingTokens + before.data.heldOut.tokens, all);
    await Deno.writeTextFile(`${folder}/0.jsonl`, rows(...Array.from({ length: 500 }, (_, at) => page(3 * at + 1))));
    const after = await split("*.jsonl");
    const held = new Set(after.heldOut);
    ok(before.heldOut.every((document) => held.has(document)));
    ok(after.heldOut.length > before.heldOut.length);
  });
});

Deno.test("a single book is held out by its end; windows go through all of it", () =>
  withFiles(
    { "book.txt": Array.from({ length: 1000 }, (_, at) => String.fromCharCode(97 + at % 26)).join("") },
    async (folder) => {
      const data = await open(folder, "book.txt", { heldOutFraction: 0.1, endTokens: [] });
      deepEqual([data.trainingTokens, data.heldOut.tokens, data.sources[0].heldOutBy], [900, 100, "end"]);
      const batches = [];
      for await (const batch of data.heldOut.windows({ batchSize: 2, sequenceLength: 21 })) batches.push(batch);
      deepEqual(batches.map(({ shape }) => shape), [[2, 21], [2, 21], [1, 21]]);
      const targets = batches.flatMap(({ targets }) => [...targets]);
      deepEqual(targets.filter((id) => id !== ignoredTarget), [...(await data.heldOut.ids()).subarray(1)]);
      equal(targets.filter((id) => id === ignoredTarget).length, 5 * 21 - 99);
      const limited = [];
      for await (const batch of data.heldOut.windows({ batchSize: 1, sequenceLength: 21, limit: 2 })) limited.push(batch);
      equal(limited.length, 2);
    },
  ));

Deno.test("with a document mask, documents are numbered and targets across their ends do not count", () =>
  withFiles({ "a.jsonl": rows({ text: "abc" }, { text: "defg" }, { text: "h" }, { text: "ijklmnop" }) }, async (folder) => {
    const data = await open(folder, "a.jsonl", { beginToken: 1 });
    // |1abc0|1defg0|1h0|1ijklmnop0| in sequences of 11 and the token after them
    const batch = await data.batchAt({ batchSize: 2, sequenceLength: 11, seed: 1, step: 0, documentMask: true });
    const spelled = (ids: Uint32Array) =>
      [...ids].map((id) => ({ 0: "$", 1: "^", [ignoredTarget]: "-" })[id] ?? String.fromCharCode(id)).join("");
    const shown = [0, 11].map((at) => {
      const [inputs, targets, documents] = [batch.inputs, batch.targets, batch.documents!].map((ids) =>
        ids.subarray(at, at + 11)
      );
      return [spelled(inputs), documents.join(""), spelled(targets)];
    });
    deepEqual(shown.toSorted(), [
      ["^abc$^defg$", "00000111111", "abc$-defg$-"],
      ["^h$^ijklmno", "00011111111", "h$-ijklmnop"],
    ]);
    const { documents } = await data.batchAt({ batchSize: 2, sequenceLength: 11, seed: 1, step: 0 });
    equal(documents, undefined);
  }));

Deno.test("too little text is told in numbers; fewer sequences than a batch repeat", () =>
  withFiles({ "a.txt": "forty bytes of text, and then two more...", "b.txt": "" }, async (folder) => {
    const few = await open(folder, "a.txt", { endTokens: [] });
    const { inputs } = await few.batchAt({ batchSize: 5, sequenceLength: 16, seed: 1, step: 0 });
    equal(new Set(Array.from({ length: 5 }, (_, row) => inputs[16 * row])).size, 2); // two sequences there are
    const message =
      /Cannot cut sequences of 64 tokens from ".*a\.txt": 1 documents have 41 tokens to train on; wanted 65, or sequences of 40 at most/;
    await rejects(few.batchAt({ batchSize: 1, sequenceLength: 64, seed: 1, step: 0 }), message);
    await rejects(open(folder, "a.txt", { endTokens: [], sequenceLength: 64 }), message);
    await rejects(open(folder, "b.txt", { sequenceLength: 8 }), /0 documents have 0 tokens/);
    await rejects(
      few.batchAt({ batchSize: 0, sequenceLength: 8, seed: 1, step: 0 }),
      /batchSize must be an integer of at least 1, got 0/,
    );
    await rejects(
      few.batchAt({ batchSize: 1, sequenceLength: 8, seed: 1, step: -1 }),
      /step must be an integer of at least 0, got -1/,
    );
    await rejects(openData([], { tokenizer: byteTokenizer }), /no source is named/);
    await rejects(open(folder, "a.txt", { heldOutFraction: 2 }), /a share of 2 of the documents: wanted 0 to 1/);
  }));

Deno.test("a sequence in which nothing is learned gives way to the next one that has a target", () =>
  withFiles({
    "a.jsonl": rows({ messages: [{ role: "user", content: "?".repeat(100) }, { role: "assistant", content: "!".repeat(20) }] }),
    "b.jsonl": rows({ messages: [{ role: "user", content: "?".repeat(100) }] }),
  }, async (folder) => {
    const chatTemplate = "{% for m in messages %}{{ m.content }}{% endfor %}";
    const data = await open(folder, "a.jsonl", { chatTemplate });
    equal(data.sequences(8), 15); // the last 21 ids are learned: three sequences
    const drawn = await Promise.all(
      Array.from({ length: 30 }, (_, step) => data.batchAt({ batchSize: 1, sequenceLength: 8, seed: 1, step })),
    );
    const learned = drawn.map(({ targets }) => [...targets].filter((id) => id !== ignoredTarget).length);
    ok(learned.every((count) => count > 0), `${learned}`);
    const silent = await open(folder, "b.jsonl", { chatTemplate });
    const message = /Cannot draw from ".*b\.jsonl": 12 sequences of 8 tokens on end have nothing that is learned/;
    await rejects(silent.batchAt({ batchSize: 1, sequenceLength: 8, seed: 1, step: 0 }), message);
  }));

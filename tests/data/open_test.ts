/** Folders of mixed files as data sets: found, read, counted, cached, and cut short. */

import { zstdCompressSync } from "node:zlib";
import { gzip } from "../../src/io/gzip.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { type DataOptions, openData } from "../../src/data/open.ts";
import { deepEqual, equal } from "../assert.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const rows = (...values: unknown[]) =>
  values.map((value) => typeof value === "string" ? value : JSON.stringify(value)).join("\n") + "\n";

/** Calls `work` with a folder of these files; it is removed afterwards. */
async function withFiles(files: Record<string, string | Uint8Array>, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.mkdir(`${folder}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.writeFile(`${folder}/${name}`, typeof content === "string" ? encode(content) : content);
    }
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const options = (folder: string, more: Partial<DataOptions> = {}): DataOptions => ({
  tokenizer: byteTokenizer,
  endTokens: [0, 7],
  cacheFolder: `${folder}/.cache`,
  ...more,
});

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
    "ignored.png": new Uint8Array([1, 2, 3]),
    ".hidden/x.txt": "no",
  }, async (folder) => {
    const data = await openData([{ path: folder }], options(folder));
    const [source] = data.sources;
    const { ids } = { ids: await (await openData([{ path: folder }], options(folder, { heldOutFraction: 1 }))).heldOut.ids() };
    equal(
      new TextDecoder().decode(Uint8Array.from(ids)),
      ["A book.", "# Notes", "one", "two", "g1", "g2", "z1", "z2", ""].join("\0"),
    );
    deepEqual([source.files, source.documents, source.empty, source.corrupt], [6, 8, 2, 4]);
    deepEqual(source.problems, [
      `"${folder}/c.jsonl" row 2: not JSON: {broken`,
      `"${folder}/c.jsonl" row 4: no field "text" or "messages" or "conversations"; it has txt`,
      `"${folder}/c.jsonl" row 5: field "text": wanted text or a list of messages, got 3`,
      `"${folder}/c.jsonl" row 6: wanted a JSON object, got [1]`,
    ]);
    equal(data.trainingTokens, ids.length);
  }));

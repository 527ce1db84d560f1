import { checkCorpusLength, loadCorpus } from "../../src/cli/corpus.ts";
import { makeWritableFolder } from "../../src/cli/files.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { splitTokens } from "../../src/train/data.ts";
import { deepEqual, equal, ok, rejects, throws } from "../assert.ts";

Deno.test("the packaged corpus is the whole novel", async () => {
  const text = await loadCorpus("moby-dick");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  equal(hash.toHex(), "ba355a71d3eb8ae25ecd8abd682bc347ac90ec3effbc715b04b46a31fa6378d4");
  ok(text.length > 1_190_000 && text.length < 1_230_000, `${text.length} characters`);
  ok(text.includes("Call me Ishmael."));
  ok(text.trimEnd().endsWith("only found another orphan."));
});

Deno.test("a corpus may be a file, and a missing one is named", async () => {
  ok((await loadCorpus("LICENSE")).includes("MIT"));
  await rejects(loadCorpus("no/such.txt"), {
    name: "UsageError",
    message: "cannot read the corpus no/such.txt: no such file or folder",
  });
});

Deno.test("a corpus shorter than one sequence is refused in one line", () => {
  const parts = splitTokens(byteTokenizer.encode("twenty bytes of text"), 0.5);
  const options = { corpus: "short.txt", sequenceLength: 10 };
  const message =
    "the corpus short.txt is too short: its training part has 10 tokens, and a sequence of sequenceLength 10 needs 11";
  throws(() => checkCorpusLength(parts, options), { name: "UsageError", message });
  checkCorpusLength(parts, { ...options, sequenceLength: 9 });
});

Deno.test("makeWritableFolder() makes a folder, leaves nothing in it, and refuses a path through a file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await makeWritableFolder(`${folder}/a/b`);
    deepEqual([...Deno.readDirSync(`${folder}/a/b`)], []);
    await Deno.writeTextFile(`${folder}/file`, "");
    for (const path of [`${folder}/file`, `${folder}/file/below`]) {
      await rejects(makeWritableFolder(path), {
        name: "UsageError",
        message: `cannot write to the folder ${path}: a file is in the way`,
      });
    }
    equal(Deno.readTextFileSync(`${folder}/file`), "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

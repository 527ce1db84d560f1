import { packFile } from "../../src/pipeline/pack.ts";
import { deepEqual, equal, match } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { books, rows } from "../support/texts.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const chatTemplate =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
const model = { ...tinyModel({ layers: 1, hiddenSize: 64 }), endTokens: [3], chatTemplate };

Deno.test("deno task tokenize fills the cache: for a folder without weights, a run, and a packed file", () =>
  withModelFolder(model, async (folder) => {
    await Deno.mkdir(`${folder}/books`);
    for (const [name, content] of Object.entries(books)) await Deno.writeTextFile(`${folder}/books/${name}`, content);
    await Deno.writeTextFile(
      `${folder}/chat.jsonl`,
      rows({ messages: [{ role: "user", content: "Hi" }, { role: "assistant", content: "Ho" }] }),
    );
    await packFile(`${folder}/model.gguf`, model, { format: "f16" });
    const args = ["--data", `${folder}/books`, "--data", `${folder}/chat.jsonl`, "--cache", `${folder}/cache`, "--json"];
    const packed = await runCommand("tokenize", ["--model", `${folder}/model.gguf`, ...args.toSpliced(2, 2)]);
    equal(packed.code, 0, packed.stderr);
    await Deno.remove(`${folder}/model/model.safetensors`);
    const plain = await runCommand("tokenize", ["--model", folder, ...args]);
    equal(plain.code, 0, plain.stderr);
    const { sources: [first, second] } = lastJson(plain) as { sources: Record<string, unknown>[] };
    deepEqual([first.files, first.documents, first.corrupt, second.documents], [7, 161, 7, 1]);
    match(
      plain.stderr,
      /^warning: 7 rows of ".*books" passed over, which are no document:\n {2}".*book0\.jsonl" row 24: not JSON: broken\n/,
    );
    match(plain.stderr, / {2}and 2 more\n/);
    match(plain.stderr, /data +files +bytes +documents +empty +corrupt +tokens +(held )?out\n/);
    const [same] = lastJson(packed).sources as typeof first[];
    deepEqual([same.documents, same.corrupt], [161, 7]);
    const missing = await runCommand("tokenize", ["--model", folder]);
    deepEqual([missing.code, missing.stderr], [2, "error: --data is missing; see deno task tokenize --help\n"]);
  }));

/** The three lines that the commands are for, on a model that this test trains and on text that it writes. */

import type { RunSummary } from "../../src/cli/summary.ts";
import { type LanguageModel, saveCheckpoint } from "../../src/llama/checkpoint.ts";
import { generate, generateTokens } from "../../src/llama/generate.ts";
import { initialModel } from "../../src/llama/parameters.ts";
import { train } from "../../src/pipeline/train.ts";
import { byteTokenizer } from "../../src/tokenizer/bytes.ts";
import { batches } from "../../src/train/data.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { lastJson, runCommand } from "./run_command.ts";

/** Texts with something to learn, each between marks. */
const stories = (count: number) =>
  Array.from(
    { length: count },
    (_, index) => `the ${["cat", "dog", "cow"][index % 3]} and the ${["hen", "fox"][index % 2]} sat. `,
  );

const [begin, end] = [2, 3];
const chatTemplate = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";

/** A small model that has learned to write such texts. */
async function writer(): Promise<LanguageModel> {
  const sizes = {
    vocabularySize: 256,
    hiddenSize: 32,
    layers: 2,
    heads: 2,
    keyValueHeads: 1,
    intermediateSize: 44,
    maxPositions: 64,
  };
  const ids = Uint32Array.from(stories(60).flatMap((story) => [begin, ...byteTokenizer.encode(story), end]));
  const data = batches(ids, { batchSize: 8, sequenceLength: 32, seed: 1 });
  const settings = { steps: 160, learningRate: 1e-2, schedule: { warmupSteps: 8 } };
  for await (const event of train(initialModel(sizes, { seed: 1, deviation: 0.1 }), data, settings)) {
    if (event.type === "end") {
      return { ...event.model, tokenizer: byteTokenizer, beginToken: begin, endTokens: [end], chatTemplate };
    }
  }
  throw new Error("unreachable");
}

/** What it writes, each as a row. */
async function written(model: LanguageModel, count: number): Promise<string[]> {
  return await Promise.all(Array.from({ length: count }, async (_, seed) => {
    const ids = generateTokens(model, [begin], { maxTokens: 50, temperature: 1, seed, stopTokens: [end] });
    return JSON.stringify({ text: byteTokenizer.decode(await Array.fromAsync(ids)) });
  }));
}

/** Calls `work` with a folder that holds the writer and a corpus of its own, some rows of it broken. */
async function withWriter(work: (folder: string, model: LanguageModel) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const model = await writer();
    await saveCheckpoint(`${folder}/writer`, model, model);
    const rows = await written(model, 58);
    await Deno.mkdir(`${folder}/corpus/more`, { recursive: true });
    await Deno.writeTextFile(`${folder}/corpus/a.jsonl`, [...rows.slice(0, 30), "{broken", '{"txt":1}'].join("\n"));
    await Deno.writeTextFile(`${folder}/corpus/more/b.jsonl`, rows.slice(30, 40).join("\n") + "\n\n");
    for (const [index, row] of rows.slice(40, 50).entries()) {
      await Deno.writeTextFile(`${folder}/corpus/more/${index}.txt`, JSON.parse(row).text);
    }
    await Deno.writeTextFile(`${folder}/held-out.jsonl`, rows.slice(50).join("\n"));
    await work(folder, model);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a model that somebody trained becomes ternary on text of many files, is measured, and writes and talks", () =>
  withWriter(async (folder, model) => {
    const cached = ["--cache", `${folder}/cache`];
    const line = [
      ...["--model", `${folder}/writer`, "--data", `${folder}/corpus/**/*.{txt,jsonl,parquet}`, ...cached],
      ...["--steps", "80", "--batch-size", "8", "--sequence-length", "32", "--group-size", "0", "--for", "dense"],
    ];
    const whole = await runCommand("train", [...line, "--output", `${folder}/whole`, "--json"]);
    equal(whole.code, 0, whole.stderr);
    match(
      whole.stderr,
      /warning: 2 rows of .* passed over, which are no document:\n.*a\.jsonl" row 31: .*\n.*a\.jsonl" row 32: /,
    );
    const { heldOut } = lastJson(whole) as unknown as RunSummary;
    ok(heldOut.rounded.lossNats > heldOut.fullPrecision.lossNats + 0.5, JSON.stringify(heldOut));
    ok(heldOut.packed.lossNats < (heldOut.rounded.lossNats + heldOut.fullPrecision.lossNats) / 2, JSON.stringify(heldOut));

    const cut = await runCommand("train", [...line, "--output", `${folder}/cut`], {
      killAfter: `${folder}/cut/calibration.json`,
    });
    equal(cut.code, 143, cut.stderr);
    const again = await runCommand("train", [...line, "--output", `${folder}/cut`, "--json"]);
    equal(again.code, 0, again.stderr);
    deepEqual((lastJson(again) as unknown as RunSummary).heldOut, heldOut);
    const packed = `${folder}/whole/packed/model.safetensors`;
    deepEqual(await Deno.readFile(`${folder}/cut/packed/model.safetensors`), await Deno.readFile(packed));

    const evaluated = await runCommand("evaluate", [
      ...["--model", packed, "--data", `${folder}/held-out.jsonl`, "--sequence-length", "32", ...cached, "--json"],
    ]);
    const { lossNats } = lastJson(evaluated) as { lossNats: number };
    ok(lossNats < heldOut.rounded.lossNats, `${lossNats}`);

    const args = ["--prompt", "", "--temperature", "0", "--max-tokens", "40", "--json"];
    const greedy = await runCommand("generate", ["--model", `${folder}/writer`, ...args]);
    const wanted = await Array.fromAsync(generate(model, "", { temperature: 0, maxTokens: 40 }));
    equal((lastJson(greedy) as { text: string }).text, wanted.join(""));
    const talk = await runCommand("generate", ["--model", packed, "--chat", "--max-tokens", "4"], { stdin: "the cat\n" });
    equal(talk.code, 0, talk.stderr);
    ok(talk.stdout.endsWith("\n"));
  }));

import { pack } from "../../src/pipeline/pack.ts";
import { equal, match, ok } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task evaluate finds the same loss for a checkpoint and its packed model", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/text`, sampleText(2000));
    await Deno.writeFile(`${folder}/model.gguf`, await pack(model));
    const args = ["--data", `${folder}/text`, "--held-out", "0.5", "--sequence-length", "64", "--cache", `${folder}/cache`];
    const plain = await runCommand("evaluate", ["--model", folder, ...args, "--json"]);
    equal(plain.code, 0, plain.stderr);
    const packed = await runCommand("evaluate", ["--model", `${folder}/model.gguf`, ...args, "--json"]);
    const [a, b] = [plain, packed].map((each) => lastJson(each) as Record<string, number>);
    equal(a.tokens, 999);
    ok(Math.abs(a.lossNats - b.lossNats) < 1e-3);
    ok(Math.abs(Math.exp(a.lossNats) - a.perplexity) < 1e-9);
    equal(b.bitsPerWeight, 2.25);
    ok(b.bytes < a.bytes / 2);
    match(packed.stderr, /model +loss \(nats\) +perplexity +tokens +bytes +bits per weight\n.*\npacked /);
  }));

Deno.test("deno task evaluate reads files of documents, whole unless a share is named", () =>
  withModelFolder({ ...model, endTokens: [0] }, async (folder) => {
    await Deno.writeTextFile(`${folder}/a.jsonl`, '{"body":"Call me Ishmael."}\n{"body":"Some years ago"}\n');
    const args = ["--model", folder, "--data", `${folder}/*.{jsonl,txt}`, "--field", "body", "--cache", `${folder}/cache`];
    const { code, stderr, ...rest } = await runCommand("evaluate", [...args, "--json"]);
    equal(code, 0, stderr);
    equal((lastJson({ code, stderr, ...rest }) as { tokens: number }).tokens, 16 + 1 + 14 + 1 - 1);
  }));

Deno.test("deno task evaluate measures what the assistant of a conversation says", () => {
  const chatTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  return withModelFolder({ ...model, chatTemplate, endTokens: [0] }, async (folder) => {
    const messages = [{ role: "user", content: "Hi" }, { role: "assistant", content: "Ho ho" }];
    await Deno.writeTextFile(`${folder}/a.jsonl`, JSON.stringify({ messages }));
    const finished = await runCommand("evaluate", [
      "--model",
      folder,
      "--data",
      `${folder}/a.jsonl`,
      "--cache",
      `${folder}/cache`,
      "--json",
    ]);
    equal(finished.code, 0, finished.stderr);
    equal((lastJson(finished) as { tokens: number }).tokens, "Ho ho".length + 1);
  });
});

Deno.test("deno task evaluate refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/short`, "abc");
    await Deno.writeFile(`${folder}/long`, sampleText(2000));
    const cases: [string[], RegExp][] = [
      [
        ["--model", folder, "--data", `${folder}/none`, "--cache", `${folder}/cache`],
        /^error: cannot read ".*none": no such file or folder\n$/,
      ],
      [
        ["--model", folder, "--data", `${folder}/short`, "--held-out", "0.1", "--cache", `${folder}/cache`],
        /^error: the text .*short is too short: 0 tokens are held out, wanted 2 or more\n$/,
      ],
      [["--model", folder, "--held-out", "2"], /^error: --held-out must be a number from 0\.001 to 1, got "2"\n$/],
      [
        ["--model", folder, "--data", `${folder}/long`, "--sequence-length", "999", "--cache", `${folder}/cache`],
        /^error: .* its context ends at 256\n$/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCommand("evaluate", args);
      match(stderr, message);
      equal(code, 2);
    }
  }));

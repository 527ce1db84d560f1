import { pack } from "../../src/pipeline/pack.ts";
import { equal, match, ok } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task evaluate finds the same loss for a checkpoint and its packed model", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/text`, sampleText(2000));
    await Deno.writeFile(`${folder}/model.gguf`, await pack(model));
    const args = ["--data", `${folder}/text`, "--held-out", "0.5", "--sequence-length", "64"];
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

Deno.test("deno task evaluate refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/short`, "abc");
    const cases: [string[], RegExp][] = [
      [["--model", folder, "--data", `${folder}/none`], /^error: cannot read the corpus .*none: no such file or folder\n$/],
      [
        ["--model", folder, "--data", `${folder}/short`],
        /^error: the text .*short is too short: 0 tokens are held out, wanted 2 or more\n$/,
      ],
      [["--model", folder, "--held-out", "2"], /^error: --held-out must be a number from 0\.001 to 1, got "2"\n$/],
      [
        ["--model", folder, "--data", `${folder}/model/config.json`, "--sequence-length", "999"],
        /^error: .* its context ends at 256\n$/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCommand("evaluate", args);
      match(stderr, message);
      equal(code, 2);
    }
  }));

import { pack } from "../../src/pipeline/pack.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), endTokens: [0] };

Deno.test("deno task evaluate measures perplexity by named protocols, and divergence from base logits that it writes", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/text.txt`, sampleText(500));
    await Deno.writeTextFile(`${folder}/documents.jsonl`, '{"body":"Call me Ishmael."}\n{"body":"Some years ago"}\n');
    await Deno.writeFile(`${folder}/model.gguf`, await pack({ ...model, quantization: { quantizer: "hestia", groupSize: 64 } }));
    const run = (file: string, ...more: string[]) => runCommand("evaluate", ["--model", `${folder}/${file}`, "--json", ...more]);
    const text = ["--data", `${folder}/text.txt`];
    const whole = lastJson(await run("model", ...text, "--protocol", "whole", "--context", "64"));
    const plain = lastJson(await run("model", ...text, "--sequence-length", "64", "--cache", `${folder}/cache`));
    deepEqual([whole.protocol, whole.contextLength, whole.tokens], ["whole", 64, 499]);
    ok(Math.abs(whole.nats as number - (plain.lossNats as number)) < 0.05); // the plain one ends the text with its end token
    const packing = await run(
      "model",
      "--data",
      `${folder}/documents.jsonl`,
      "--field",
      "body",
      "--protocol",
      "hestia",
      "--context",
      "20",
    );
    match(packing.stderr, /protocol hestia: whole documents, packed into sequences of 20 at most/);
    equal(lastJson(packing).tokens, 15 + 1 + 13 + 1);

    const base = ["--kl-base", `${folder}/base.kld`];
    const written = await run("model", ...text, ...base, "--context", "32");
    equal(written.code, 0, written.stderr);
    equal((await Deno.stat(`${folder}/base.kld`)).size, 20 + 15 * 4 * 32 + 15 * 15 * (8 + 512));
    const same = await run("model", ...base);
    const [first, second] = [lastJson(written), lastJson(same)] as Record<string, number>[];
    equal(second.tokens, 15 * 15);
    ok(second.klDivergence < 1e-6 && second.sameTop === 1, JSON.stringify(second));
    ok(Math.abs(first.nats - second.nats) < 1e-6 && Math.abs(second.natsDifference) < 1e-4);
    const other = await run("model.gguf", ...base);
    ok((lastJson(other).klDivergence as number) > 0.001);
    match(other.stderr, /mean KL divergence from the base \(nats\) +\d\.\d+ +\d\.\d+\n +1\.0 % are below|mean KL divergence/);
    ok(other.stderr.split("\n").every((line) => line.length <= 80 || /base\.kld|protocol/.test(line)), other.stderr);
  }));

Deno.test("deno task evaluate --protocol refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/short.txt`, "abc");
    await Deno.writeTextFile(`${folder}/base`, "something else that is long enough");
    const cases: [string[], RegExp][] = [
      [["--protocol", "wikitext"], /^error: --protocol must be one of whole, stride, llama\.cpp, hestia, got "wikitext"\n$/],
      [
        ["--protocol", "llama.cpp", "--data", `${folder}/short.txt`],
        /^error: cannot measure perplexity on 3 tokens: wanted 512 or more/,
      ],
      [
        ["--protocol", "whole", "--kl-base", `${folder}/base`],
        /^error: --kl-base goes with --protocol llama\.cpp, got "whole"\n$/,
      ],
      [["--kl-base", `${folder}/base`], /^error: cannot read the file of base logits: it does not begin with "_logits_"\n$/],
      [["--protocol", "stride", "--max-batches", "2"], /^error: --max-batches does not go with --protocol/],
      [["--stride", "2"], /^error: --stride goes with --protocol/],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCommand("evaluate", ["--model", `${folder}/model`, ...args]);
      match(stderr, message);
      equal(code, 2);
    }
  }));

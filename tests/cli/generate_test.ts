import { pack } from "../../src/pipeline/pack.ts";
import { deepEqual, equal, match } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task generate continues a prompt, the same for a checkpoint and its packed model", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeFile(`${folder}/model.gguf`, await pack(model));
    const args = ["--prompt", "Call me", "--max-tokens", "12", "--temperature", "0"];
    const plain = await runCommand("generate", ["--model", folder, ...args]);
    equal(plain.code, 0, plain.stderr);
    match(
      plain.stdout,
      /^Call me[^]*\n12 tokens: the first after \d+\.\d s, 7 of the prompt at \d+\.\d tokens\/s, then \d+\.\d tokens\/s\n$/,
    );
    const packed = await runCommand("generate", ["--model", `${folder}/model.gguf`, ...args, "--json"]);
    const { text, tokens } = lastJson(packed) as { text: string; tokens: number };
    equal(tokens, 12);
    equal(plain.stdout.split("\n12 tokens:")[0], `Call me${text}`);
    match(packed.stderr, /^Call me/);
    const whole = await runCommand("generate", ["--model", `${folder}/model.gguf`, ...args, "--activations", "int8"]);
    match(whole.stdout, /^Call me[^]*\n12 tokens: /);
  }));

Deno.test("deno task generate refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    await Deno.writeTextFile(`${folder}/broken.gguf`, "not a model");
    const cases: [string[], RegExp][] = [
      [[], /^error: --model is missing; see deno task generate --help\n$/],
      [
        ["--model", `${folder}/broken.gguf`],
        /^error: cannot read ".*broken\.gguf": wanted it to begin with "GGUF", got 0x20746f6e\n$/,
      ],
      [
        ["--model", folder, "--prompt", "x".repeat(300)],
        /^error: cannot generate: wanted a prompt of at most 256 tokens.* got 300\n$/,
      ],
      [
        ["--model", folder, "--activations", "int8"],
        /^error: --activations int8 is for packed models, and .* is not packed: hestia, group size 64\n$/,
      ],
      [["--model", folder, "--temperatur", "1"], /^error: unknown option --temperatur \(did you mean "--temperature"\?\)/],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runCommand("generate", args);
      match(stderr, message);
      deepEqual([code, stdout], [2, ""]);
    }
  }));

import { openPacked } from "../../src/pipeline/open_packed.ts";
import { deepEqual, equal, match } from "../assert.ts";
import { tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const model = { ...tinyModel({ layers: 1 }), quantization: { quantizer: "hestia", groupSize: 64 } };

Deno.test("deno task pack writes a file that opens, from the folder of a model or of a run", () =>
  withModelFolder(model, async (folder) => {
    const output = `${folder}/model.gguf`;
    const finished = await runCommand("pack", ["--model", folder, "--output", output, "--json"]);
    equal(finished.code, 0, finished.stderr);
    match(finished.stderr, /model\.gguf: \d+\.\d KiB, 36864 weights at 2\.25 bits each\n$/);
    const { size } = await Deno.stat(output);
    deepEqual(lastJson(finished), {
      ...{ output, format: "q2_0", quantizer: "hestia", groupSize: 64 },
      ...{ bytes: size, quantizedWeights: 36864, bitsPerWeight: 2.25 },
    });
    deepEqual((await openPacked(await Deno.readFile(output))).config, model.config);
    const again = await runCommand("pack", ["--model", `${folder}/model`, "--output", `${folder}/again.gguf`]);
    equal(again.code, 0, again.stderr);
    deepEqual(await Deno.readFile(`${folder}/again.gguf`), await Deno.readFile(output));
  }));

Deno.test("deno task pack rounds a full-precision model when told how", () =>
  withModelFolder(tinyModel({ layers: 1 }), async (folder) => {
    const args = ["--model", folder, "--output", `${folder}/model.gguf`];
    const refused = await runCommand("pack", args);
    deepEqual(refused, {
      ...{ code: 2, stdout: "" },
      stderr: "error: the model is in full precision: --group-size says how to round it without training\n",
    });
    equal((await runCommand("pack", [...args, "--group-size", "128"])).code, 2); // 64 columns
    deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["model"]);
    equal((await runCommand("pack", [...args, "--group-size", "64"])).code, 0);
  }));

Deno.test("deno task pack refuses bad input in one line", () =>
  withModelFolder(model, async (folder) => {
    const cases: [string[], RegExp][] = [
      [["--model", folder], /^error: --output is missing; see deno task pack --help\n$/],
      [["--model", "/nowhere", "--output", "x"], /^error: cannot open the model \/nowhere: no such file or folder\n$/],
      [
        ["--model", folder, "--output", "/nowhere/x.gguf"],
        /^error: cannot write "\/nowhere\/x\.gguf": its folder does not exist\n$/,
      ],
      [
        ["--model", folder, "--output", "x", "--format", "q2_1"],
        /^error: --format must be one of q2_0, got "q2_1" \(did you mean "q2_0"\?\)\n$/,
      ],
    ];
    for (const [args, message] of cases) {
      const { code, stderr } = await runCommand("pack", args);
      match(stderr, message);
      equal(code, 2);
    }
  }));

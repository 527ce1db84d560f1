import { deepEqual, equal, match, ok } from "../assert.ts";
import { sampleText, tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

Deno.test("deno task calibrate writes scales and a heat map, and goes on from a state of its own", () =>
  withModelFolder(tinyModel({ layers: 1 }), async (folder) => {
    await Deno.writeFile(`${folder}/text`, sampleText(500));
    const output = `${folder}/scales.json`;
    const args = ["--model", folder, "--data", `${folder}/text`, "--output", output, "--sequence-length", "8"];
    const few = ["--batches", "1", "--batch-size", "1", "--probes", "2", "--granularity", "layer", "--json"];
    const { code, stderr, ...rest } = await runCommand("calibrate", [...args, ...few]);
    equal(code, 0, stderr);
    const written = JSON.parse(await Deno.readTextFile(output));
    deepEqual([written.probes, written.granularity, Object.keys(written.traces).length], [2, "layer", 7]);
    equal(new Set(Object.values(written.temperatureScales)).size, 1);
    equal((lastJson({ code, stderr, ...rest }) as { picture: string }).picture, `${folder}/scales.svg`);
    match(await Deno.readTextFile(`${folder}/scales.svg`), /^<svg .*down_proj.*<\/svg>\n$/s);
    ok(![...Deno.readDirSync(folder)].some(({ name }) => name.endsWith(".state")));
    await Deno.writeTextFile(`${output}.state`, "{}");
    const refused = await runCommand("calibrate", args);
    equal(refused.code, 2);
    match(refused.stderr, /^error: cannot go on from .*scales.json.state: it holds no state of a calibration; remove it/m);
  }));

import { writeSafetensors } from "../../src/io/safetensors.ts";
import { equal, match, ok } from "../assert.ts";
import { lastJson, runCommand } from "./run_command.ts";

Deno.test("deno task inspect spells out what a file would have a terminal do, and cuts long texts", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const name = "weight\x1b]0;pwned\x07\nfake line";
    const tensors = { [name]: { dtype: "F32" as const, shape: [3, 4], data: new Float32Array(12).fill(1) } };
    const metadata = { "a\x1b[2J": "b\u009b31m", notes: "c\r".repeat(90) };
    await Deno.writeFile(`${folder}/x.safetensors`, writeSafetensors(tensors, metadata));
    const printed = await runCommand("inspect", [`${folder}/x.safetensors`]);
    equal(printed.code, 0, printed.stderr);
    // deno-lint-ignore no-control-regex -- none may be there
    ok(!/[\0-\x08\v-\x1f\x7f-\x9f]/.test(printed.stdout), printed.stdout);
    match(printed.stdout, /weight\\u001b\]0;pwned\\u0007\\u000afake line/);
    match(printed.stdout, /a\\u001b\[2J = b\\u009b31m\n/);
    const facts = lastJson(await runCommand("inspect", [`${folder}/x.safetensors`, "--json"])) as { tensors: { name: string }[] };
    equal(facts.tensors[0].name, name); // programs get it as it is
    const missing = await runCommand("inspect", [`${folder}/no\x1b[31m`]);
    equal(missing.code, 2);
    match(missing.stderr, /^error: cannot open the model .*no\\u001b\[31m: no such file[^\n]*\n$/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

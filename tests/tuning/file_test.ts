import { VERSION } from "../../src/core/version.ts";
import { readChoices, rememberChoices, tuningFile } from "../../src/tuning/file.ts";
import { deepEqual, equal, match } from "../assert.ts";
import { withCache } from "../support/cache.ts";

const onLinux = Deno.build.os === "linux";

Deno.test("the version is that of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  equal(VERSION, version);
});

Deno.test("choices are remembered by adapter, beside what others remember", { ignore: !onLinux }, async () => {
  const warnings = await withCache(async (folder) => {
    equal(tuningFile(), `${folder}/hestia/tuning.json`);
    deepEqual(await readChoices("a"), {});
    await rememberChoices("a", { small: "x" });
    await rememberChoices("b", { small: "y" });
    await rememberChoices("a", { large: "z" });
    deepEqual([await readChoices("a"), await readChoices("b")], [{ small: "x", large: "z" }, { small: "y" }]);
    await Promise.all(Array.from({ length: 20 }, (_, i) => rememberChoices("c", { [`class ${i}`]: "x" })));
    match(Object.keys(await readChoices("c"))[0], /^class \d+$/); // a process may lose what another one finds at the same time
    deepEqual([...Deno.readDirSync(`${folder}/hestia`)].map(({ name }) => name), ["tuning.json"]);
  });
  deepEqual(warnings, []);
});

for (const content of ["{", "[]", '{"a": {"small": 1}}', '{"a": "x"}', "null"]) {
  Deno.test(`a file that holds ${content} is named, not used, and replaced`, { ignore: !onLinux }, async () => {
    const warnings = await withCache(async (folder) => {
      await Deno.mkdir(`${folder}/hestia`);
      await Deno.writeTextFile(`${folder}/hestia/tuning.json`, content);
      deepEqual(await readChoices("a"), {});
      await rememberChoices("a", { small: "x" });
      deepEqual(await readChoices("a"), { small: "x" });
    });
    equal(warnings.length, 2);
    match(warnings[0], /hestia\/tuning\.json" remembers of kernels is not used \(.+\)/);
  });
}

Deno.test("a folder that cannot be written to is no error", { ignore: !onLinux }, async () => {
  const warnings = await withCache(async (folder) => {
    await Deno.writeTextFile(`${folder}/hestia`, "a file in the place of the folder");
    await rememberChoices("a", { small: "x" });
    deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["hestia"]);
  });
  deepEqual(warnings, []);
});

Deno.test("without permission nothing is asked for, read or written", async () => {
  const file = new URL("../../src/tuning/file.ts", import.meta.url).href;
  const code = `const { readChoices, rememberChoices, tuningFile } = await import("${file}");
    await rememberChoices("a", { small: "x" });
    console.log(JSON.stringify([tuningFile() ?? null, await readChoices("a")]));`;
  const args = ["run", "--no-prompt", "--no-lock", "--no-check", "-"];
  const child = new Deno.Command(Deno.execPath(), { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(code));
  await writer.close();
  const { stdout, stderr } = await child.output();
  equal(new TextDecoder().decode(stdout).trim(), "[null,{}]", new TextDecoder().decode(stderr));
});

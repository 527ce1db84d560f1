/** Whether the tests notice mistakes: where HESTIA_DEEP is 1, each is made in a copy of the project. */

import { cp } from "node:fs/promises";
import { deepEqual, equal, ok } from "../assert.ts";
import { type Mutation, mutations } from "./mutations.ts";

const root = new URL("../../", import.meta.url);
const deep = Deno.env.get("HESTIA_DEEP") === "1";

/** What tests read of the project. */
const copied = ["deno.json", "deno.lock", "mod.ts", "src", "shaders", "tests", "configs", "README.md", "docs"];

/** Longest run of the tests of one mistake; one that never ends is noticed. */
const longestRun = 300_000; // milliseconds

/** Whether all tests of some files pass in a copy of the project. */
async function pass(folder: string, files: readonly string[]): Promise<boolean> {
  const args = ["test", "-A", "--no-check", "--fail-fast", ...files.map((file) => `tests/${file}`)];
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    env: { HESTIA_DEEP: "0" },
    stdout: "null",
    stderr: "null",
    signal: AbortSignal.timeout(longestRun),
  });
  return (await command.output()).success;
}

/** Whether the tests fail with one mistake in the copy, which is as before afterwards. */
async function isNoticed(folder: string, { file, find, replace, tests }: Mutation): Promise<boolean> {
  const path = `${folder}/${file}`;
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, text.replace(find, () => replace));
  const passed = await pass(folder, tests);
  await Deno.writeTextFile(path, text);
  return !passed;
}

Deno.test("each mistake changes one place that there is, and names tests that there are", async () => {
  ok(mutations.length >= 40);
  for (const { file, find, replace, tests } of mutations) {
    const text = await Deno.readTextFile(new URL(file, root));
    equal(text.split(find).length, 2, `${JSON.stringify(find)} stands in ${file} once`);
    ok(replace !== find && tests.length > 0);
    for (const test of tests) ok((await Deno.stat(new URL(`tests/${test}`, root))).isFile);
  }
});

Deno.test({
  name: "the tests notice every mistake",
  ignore: !deep,
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      for (const name of copied) await cp(new URL(name, root), `${folder}/${name}`, { recursive: true });
      ok(await pass(folder, [...new Set(mutations.flatMap(({ tests }) => tests))]), "all pass without a mistake");
      const survivors: string[] = [];
      for (const mutation of mutations) {
        const noticed = await isNoticed(folder, mutation);
        console.log(`${noticed ? "noticed" : "SURVIVED"} ${mutation.file}: ${mutation.find} → ${mutation.replace}`);
        if (!noticed) survivors.push(`${mutation.file}: ${mutation.find}`);
      }
      deepEqual(survivors, []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

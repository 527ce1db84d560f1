/** What the project's programs are permitted: the library nothing, commands what `deno.json` lists. */

import { deepEqual, equal, ok } from "./assert.ts";
import { backendInfo } from "../mod.ts";

const path = (name: string) => new URL(name, import.meta.url).pathname;

/** Runs a program with these permissions alone; whatever else it wants is an error. */
async function run(name: string, flags: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const args = ["run", ...flags, "--no-prompt", "--no-check", path(name)];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("the library needs no permission: it trains, packs, opens and generates on WebGPU without any", async () => {
  const { code, stdout, stderr } = await run("support/bare_program.ts", []);
  equal(code, 0, stderr);
  equal(JSON.parse(stdout).backend, (await backendInfo()).name);
});

Deno.test("what is not permitted is refused in one line, by name", async () => {
  const { code, stdout, stderr } = await run("cli/demo_command.ts", ["--allow-env=TERM,NO_COLOR"]);
  deepEqual([code, stdout], [1, ""]);
  ok(/^error: .*env access to "XDG_RUNTIME_DIR".*\n$/.test(stderr), stderr);
});

Deno.test("no command is permitted everything", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(path("../deno.json"))) as { tasks: Record<string, { command: string }> };
  const own = Object.entries(tasks).filter(([, { command }]) => command.includes("src/cli/"));
  ok(own.length >= 12, `${own.length} commands`);
  for (const [name, { command }] of own) {
    const flags = command.match(/(?<= )-\S+/g) ?? [];
    const isNarrow = flags.length > 0 && flags.every((flag) => /^--allow-(read|write|env|net|sys=\w+)$/.test(flag));
    ok(isNarrow || name === "setup", `deno task ${name}: ${command}`); // that one runs apt-get
  }
});

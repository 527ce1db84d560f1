/**
 * Commands as a shell runs them.
 *
 * @module
 */

import { type LanguageModel, saveCheckpoint } from "../../src/llama/checkpoint.ts";

/** What a command leaves behind. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `src/cli/NAME.ts` and waits for its end, or ends it by SIGTERM once there is a file at `killAfter`. Lines in which a driver complains about the environment are left out. */
export async function runCommand(
  name: string,
  args: readonly string[],
  { stdin, killAfter }: { readonly stdin?: string; readonly killAfter?: string } = {},
): Promise<Finished> {
  const path = new URL(`../../src/cli/${name}.ts`, import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...await permissionsOf(name), "--no-prompt", "--no-check", path, ...args],
    env: { NO_COLOR: "1" },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (stdin !== undefined) await new Blob([stdin]).stream().pipeTo(child.stdin);
  const output = child.output();
  if (killAfter !== undefined) {
    const isThere = () => Deno.stat(killAfter).then(() => true, () => false);
    for (let tries = 0; tries < 1200 && !await isThere(); tries++) await new Promise((resolve) => setTimeout(resolve, 25));
    child.kill("SIGTERM");
  }
  const { code, stdout, stderr } = await output;
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr).replace(/^.*XDG_RUNTIME_DIR.*\n/gm, "") };
}

/** What the task of a command permits it. */
async function permissionsOf(name: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  const flags = (tasks[name].command as string).match(/--allow-\S+/g) ?? [];
  if (flags.length === 0) throw new Error(`deno task ${name} lists no permissions`);
  return flags;
}

/** The object that a command prints last when `--json` was typed. */
export function lastJson({ stdout }: Finished): Record<string, unknown> {
  return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
}

/** Calls `work` with a folder that holds the checkpoint of a model in `model`; it is removed afterwards. */
export async function withModelFolder(model: LanguageModel, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await saveCheckpoint(`${folder}/model`, model, model);
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

import { equal, match, ok } from "../assert.ts";
import { HubServer, type ServedFile } from "../hub/server.ts";
import { tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const NAME = "owner/tiny-model";

/** Commands see a Hub on this machine that serves the files of a folder, and an empty cache. */
async function withHub(folder: string, work: (server: HubServer) => Promise<void>): Promise<void> {
  const files: Record<string, ServedFile> = {
    "text/a.txt": { content: new TextEncoder().encode("Call me Ishmael. ".repeat(99)) },
  };
  for (const { name } of Deno.readDirSync(`${folder}/model`)) {
    files[name] = { content: Deno.readFileSync(`${folder}/model/${name}`), large: name.endsWith(".safetensors") };
  }
  await using server = new HubServer(NAME, files);
  const settings = { HF_HOME: `${folder}/home`, HF_ENDPOINT: server.endpoint, HF_TOKEN: "hf_mine" };
  const before = Object.keys(settings).map((name) => [name, Deno.env.get(name)] as const);
  Object.entries(settings).forEach(([name, value]) => Deno.env.set(name, value));
  try {
    await work(server);
  } finally {
    before.forEach(([name, value]) => value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value));
  }
}

Deno.test("commands take models and data sets by their names on the Hub, and fetch them once", () =>
  withModelFolder(tinyModel({ layers: 1 }), (folder) =>
    withHub(folder, async (server) => {
      const args = ["--model", NAME, "--data", `dataset:${NAME}/text/*.txt`, "--cache", `${folder}/cache`, "--json"];
      const first = await runCommand("tokenize", args);
      equal(first.code, 0, first.stderr);
      match(first.stderr, /fetching owner\/tiny-model .* · 1 file · took /);
      equal((lastJson(first).sources as { files: number }[])[0].files, 1);
      const asked = server.asked.filter((each) => each.includes("/resolve/")).length;
      const inspected = await runCommand("inspect", [NAME, "--json"]);
      equal(inspected.code, 0, inspected.stderr);
      equal(server.asked.filter((each) => each.includes("/resolve/")).length, asked);
      const evaluated = await runCommand("evaluate", ["--model", NAME, "--data", `dataset:${NAME}/text/*.txt`, "--json"]);
      equal(evaluated.code, 0, evaluated.stderr);
      ok(lastJson(evaluated).bytes as number > 1000);
      const missing = await runCommand("inspect", ["owner/nothing"]);
      equal(missing.code, 2);
      match(
        missing.stderr,
        /^error: cannot open the model owner\/nothing: no such file or folder, and on the Hub: there is none of that name at \S+ \(404\)\n$/,
      );
    })));

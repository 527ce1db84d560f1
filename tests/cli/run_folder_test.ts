import { resolveConfig } from "../../src/cli/config.ts";
import { checkRunFolder, openRunFolder } from "../../src/cli/run_folder.ts";
import { deepEqual, equal, match, ok, rejects } from "../assert.ts";

const config = { config: resolveConfig({ seed: 7 }), inputs: { data: "abc" } };

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every file below a folder and its content. */
function tree(folder: string): Record<string, string> {
  return Object.fromEntries(
    [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
      const path = `${folder}/${name}`;
      if (!isDirectory) return [[name, Deno.readTextFileSync(path)]];
      return Object.entries(tree(path)).map(([inner, content]) => [`${name}/${inner}`, content]);
    }),
  );
}

Deno.test("a run's folder is known by its manifest, and an earlier run is moved aside whole", () =>
  inFolder(async (parent) => {
    const folder = `${parent}/runs/mine`;
    for (const earlier of [undefined, 1, 2]) {
      using run = await openRunFolder(folder, config);
      equal(run.movedTo, earlier && `${await Deno.realPath(parent)}/runs/mine.${earlier}`);
      deepEqual(JSON.parse(await Deno.readTextFile(`${folder}/run.json`)), JSON.parse(JSON.stringify(run.manifest)));
      deepEqual(JSON.parse(await Deno.readTextFile(`${folder}/config.json`)), JSON.parse(JSON.stringify(config.config)));
      equal(run.manifest.state, "unfinished");
      await run.update({ state: "finished" });
      equal(JSON.parse(await Deno.readTextFile(`${folder}/run.json`)).state, "finished");
      await Deno.mkdir(`${folder}/model`);
      await Deno.writeTextFile(`${folder}/model/thesis.txt`, `of run ${earlier ?? 0}`);
    }
    const files = tree(`${parent}/runs`);
    const theses = Object.entries(files).filter(([name]) => name.endsWith("thesis.txt"));
    deepEqual(Object.fromEntries(theses), {
      "mine.1/model/thesis.txt": "of run 0",
      "mine.2/model/thesis.txt": "of run 1",
      "mine/model/thesis.txt": "of run 2",
    });
  }));

Deno.test("a folder that holds something else is refused, and stays as it was", () =>
  inFolder(async (folder) => {
    const contents: [Record<string, string>, string][] = [
      [{ "config.json": JSON.stringify(config.config), "model/thesis.txt": "mine" }, "config.json"],
      [{ "thesis.txt": "mine" }, "thesis.txt"],
      [{ "run.json": "{}", "notes": "" }, "run.json"],
      [{ "run.json": "broken" }, "run.json"],
      [{ ".hidden": "" }, ".hidden"],
    ];
    for (const [index, [files]] of contents.entries()) {
      const path = `${folder}/${index}`;
      for (const [name, content] of Object.entries(files)) {
        await Deno.mkdir(`${path}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
        await Deno.writeTextFile(`${path}/${name}`, content);
      }
      const message =
        /^cannot write a run to .*: it holds other files, such as ".*"; wanted a new folder, or one of an earlier run$/;
      for (const open of [checkRunFolder, (path: string) => openRunFolder(path, config)]) {
        await rejects(open(path), (error: Error) => (match(error.message, message), true));
      }
      deepEqual(tree(path), files);
    }
    await rejects(checkRunFolder(`${folder}/0/config.json`), /cannot write to the folder .*config\.json: a file is in the way/);
    await rejects(openRunFolder(`${folder}/0/config.json/x`, config), /cannot write to the folder .*: a file is in the way/);
  }));

Deno.test("of two runs on one folder the second is refused, and the first goes on", () =>
  inFolder(async (parent) => {
    const folder = `${parent}/mine`;
    const message =
      /^UsageError: cannot write a run to .*mine: another run is using it; wanted another --output, or wait until that one ends$/;
    {
      using run = await openRunFolder(folder, config);
      await rejects(openRunFolder(folder, config), message);
      await run.update({ state: "finished" });
      await rejects(openRunFolder(folder, config), message);
      deepEqual(Object.keys(tree(parent)).sort(), ["mine/config.json", "mine/run.json", "mine/run.lock"]);
    }
    const runs = await Promise.allSettled(Array.from({ length: 4 }, () => openRunFolder(folder, config)));
    const [won] = runs.filter((run) => run.status === "fulfilled");
    equal(runs.filter((run) => run.status === "fulfilled").length, 1);
    ok(runs.every((run) => run.status === "fulfilled" || run.reason.name === "UsageError"));
    won.value[Symbol.dispose]();
    using again = await openRunFolder(folder, config);
    equal(again.goesOn, true);
  }));

Deno.test("a link is followed: the run that it leads to makes room beside itself", () =>
  inFolder(async (parent) => {
    const disk = await Deno.realPath(parent);
    await Deno.mkdir(`${disk}/disk/mine`, { recursive: true });
    await Deno.symlink(`${disk}/disk/mine`, `${disk}/mine`);
    (await openRunFolder(`${disk}/mine`, config))[Symbol.dispose]();
    using run = await openRunFolder(`${disk}/mine`, { ...config, fresh: true });
    equal(run.movedTo, `${disk}/disk/mine.1`);
    ok((await Deno.lstat(`${disk}/mine`)).isSymlink);
  }));

Deno.test("an unfinished run goes on with the same configuration; what must not change is refused by the name of its field", () =>
  inFolder(async (parent) => {
    const folder = `${parent}/mine`;
    const own = { seed: 7, batchSize: 3, quantize: { steps: 100, hardSteps: 5 } };
    const opened = async (changes: object, inputs = { data: "abc" }, fresh = false) => {
      using run = await openRunFolder(folder, { config: resolveConfig({ ...own, ...changes }), inputs, fresh });
      return run;
    };
    equal((await opened({})).goesOn, false);
    await Deno.writeTextFile(`${folder}/model.safetensors.123-0123abcd.tmp`, "half");
    equal((await opened({})).goesOn, true);
    ok(!("mine/model.safetensors.123-0123abcd.tmp" in tree(parent)));
    const refused: [object, { data: string }, string][] = [
      [{ seed: 8 }, { data: "abc" }, "seed has changed from 7 to 8"],
      [{ batchSize: 4 }, { data: "abc" }, "batchSize has changed from 3 to 4"],
      [{ pretrain: { steps: 601 } }, { data: "abc" }, "pretrain.steps has changed from 600 to 601"],
      [{ quantize: { ...own.quantize, groupSize: 64 } }, { data: "abc" }, "quantize.groupSize has changed from 128 to 64"],
      [{ model: { path: "x" }, quantize: own.quantize }, { data: "abc" }, "model.hiddenSize has changed from 128 to nothing"],
      [{}, { data: "abd" }, "data has changed"],
    ];
    const before = tree(parent);
    for (const [changes, inputs, reason] of refused) {
      const message =
        `cannot go on with the unfinished run ${folder}: ${reason}; wanted it as it was, or --fresh, which moves that run aside`;
      await rejects(opened(changes, inputs), { name: "UsageError", message });
    }
    deepEqual(tree(parent), before);
    const { manifest } = await opened({ quantize: { steps: 200, hardSteps: 10 }, evaluation: { batches: 3 } });
    deepEqual(manifest.resumed!.at(-1)!.changed, [
      "quantize.steps",
      "quantize.hardSteps",
      "quantize.warmupSteps",
      "evaluation.batches",
    ]);
    equal(manifest.config.quantize.steps, 200);
    equal((await opened({ seed: 8 }, { data: "x" }, true)).movedTo, `${await Deno.realPath(parent)}/mine.1`);
  }));

/** The file operations by which a run writes. */
const operations = ["mkdir", "open", "rename", "remove", "writeFile", "writeTextFile"] as const;

/** Calls `work` in a process that dies at its n-th write: from there on every file operation fails. True where it came to its end. */
async function dyingAt(count: number, work: () => Promise<unknown>): Promise<boolean> {
  const kept = { ...Deno };
  const { write, sync } = Deno.FsFile.prototype;
  let done = 0;
  // deno-lint-ignore no-explicit-any
  const counted = (operation: any) =>
    function (this: unknown, ...args: unknown[]) {
      if (done++ >= count) return Promise.reject(Object.assign(new Error("killed"), { code: "ENOSPC" }));
      return operation.apply(this, args);
    };
  for (const name of operations) (Deno as Record<string, unknown>)[name] = counted(kept[name]);
  Object.assign(Deno.FsFile.prototype, { write: counted(write), sync: counted(sync) });
  try {
    await work();
  } catch {
    // it died
  } finally {
    for (const name of operations) (Deno as Record<string, unknown>)[name] = kept[name];
    Object.assign(Deno.FsFile.prototype, { write, sync });
  }
  return done <= count;
}

for (const earlier of [false, true]) {
  Deno.test(`a run that dies at any write ${earlier ? "while it moves an earlier one aside " : ""}leaves a folder that the next one takes`, () =>
    inFolder(async (parent) => {
      const begin = async (folder: string) => {
        using run = await openRunFolder(folder, config);
        await run.update({ state: "finished" });
      };
      let points = 0;
      for (let ended = false; !ended; points++) {
        const folder = `${parent}/${points}/mine`;
        if (earlier) {
          await begin(folder);
          await Deno.writeTextFile(`${folder}/thesis`, "mine");
        }
        ended = await dyingAt(points, () => begin(folder));
        await begin(folder);
        equal(JSON.parse(await Deno.readTextFile(`${folder}/run.json`)).state, "finished");
        if (earlier) equal(tree(`${parent}/${points}`)["mine.1/thesis"], "mine");
      }
      ok(points > 15, `${points}`);
    }));
}

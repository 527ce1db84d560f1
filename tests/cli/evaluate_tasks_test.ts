import { type TaskName, tasks } from "../../mod.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";
import { madeItems } from "../evaluation/task_items.ts";
import { tinyModel } from "../support/models.ts";
import { lastJson, runCommand, withModelFolder } from "./run_command.ts";

const files = new URL("../evaluation/files/", import.meta.url).pathname;
const model = tinyModel({ layers: 1 });

interface Figures {
  readonly acc: number;
  readonly accNorm: number;
  readonly accStandardError: number | null;
  readonly items: number;
}

Deno.test("deno task evaluate --tasks prints accuracies, writes every item, and compares two models item by item", () =>
  withModelFolder(model, async (folder) => {
    const names = Object.keys(tasks) as TaskName[];
    for (const name of names) {
      await Deno.writeTextFile(`${folder}/${name}.jsonl`, madeItems[name].map(({ row }) => JSON.stringify(row)).join("\n"));
    }
    const args = [
      "--model",
      `${folder}/model`,
      "--tasks",
      names.join(),
      "--task-data",
      folder,
      "--details",
      `${folder}/details.jsonl`,
    ];
    const finished = await runCommand("evaluate", [...args, "--compare", `${folder}/model`, "--json"]);
    equal(finished.code, 0, finished.stderr);
    ok(finished.stderr.split("\n").every((line) => line.length <= 80 || line.includes(folder)), finished.stderr);
    match(finished.stderr, /task +items +acc \(%\) +± +acc_norm \(%\)/);
    const found = lastJson(finished) as { tasks: Record<string, Figures>; compare: { differences: Record<string, Figures> } };
    deepEqual(Object.keys(found.tasks), names);
    deepEqual(found.compare.differences.piqa, { acc: 0, accNorm: 0, accStandardError: 0, accNormStandardError: 0 });
    const lines = (await Deno.readTextFile(`${folder}/details.jsonl`)).trimEnd().split("\n").map((line) => JSON.parse(line));
    equal(lines.length, 2 * names.reduce((sum, name) => sum + madeItems[name].length, 0));
    const own = lines.filter(({ task }) => task === "arc_easy").slice(0, 2);
    deepEqual(Object.keys(own[0]), [
      "task",
      "index",
      "logLikelihoods",
      "tokens",
      "greedy",
      "gold",
      "predicted",
      "predictedNorm",
      "model",
    ]);
    equal(found.tasks.arc_easy.acc, own.filter(({ gold, predicted }) => gold === predicted).length / 2);
    equal(found.tasks.arc_easy.items, 2);
    equal(found.tasks.boolq.accStandardError, null);
  }));

Deno.test("deno task evaluate --tasks reads Parquet files, and the first items alone", () =>
  withModelFolder(model, async (folder) => {
    const args = ["--model", `${folder}/model`, "--task-data", files, "--tasks", "arc_easy,piqa", "--json"];
    const found = lastJson(await runCommand("evaluate", args)) as { tasks: Record<string, Figures> };
    deepEqual(Object.values(found.tasks).map(({ items }) => items), [2, 2]);
    const first = lastJson(await runCommand("evaluate", [...args, "--limit", "1"])) as { tasks: Record<string, Figures> };
    deepEqual(Object.values(first.tasks).map(({ items }) => items), [1, 1]);
    await Deno.writeTextFile(`${folder}/piqa.jsonl`, '{"goal":"g","sol1":"a","sol2":"b","label":0}\n{"goal":"g"}\n');
    const cases: [string[], RegExp][] = [
      [["--tasks", "arc_eazy"], /^error: unknown task "arc_eazy" \(did you mean "arc_easy"\?\); there are /],
      [["--tasks", "boolq", "--task-data", folder], /^error: cannot evaluate boolq: no boolq\.jsonl or boolq\.parquet in /],
      [
        ["--tasks", "piqa", "--task-data", folder],
        /^error: cannot evaluate piqa: in row 2 the field "sol1" is missing, wanted text\n$/,
      ],
      [
        ["--tasks", "piqa", "--task-data", files, "--compare", "/nowhere"],
        /^error: cannot open the model \/nowhere: no such file/,
      ],
      [["--tasks", "piqa", "--stride", "3"], /^error: --stride does not go with --tasks/],
      [["--limit", "3"], /^error: --limit goes with --tasks/],
    ];
    for (const [more, message] of cases) {
      const { code, stderr } = await runCommand("evaluate", ["--model", `${folder}/model`, ...more]);
      match(stderr, message);
      equal(code, 2);
    }
  }));

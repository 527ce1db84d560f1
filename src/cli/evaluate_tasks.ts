/**
 * `deno task evaluate --tasks`: accuracy on multiple-choice tasks, of one model or of two, item by item.
 *
 * @module
 */

import { readRows } from "../data/rows.ts";
import { evaluateTask, type ItemResult, taskItems, type TaskResult } from "../evaluation/evaluate_task.ts";
import { type Mean, meanOfMeans, pairedDifference } from "../evaluation/statistics.ts";
import { type TaskName, tasks } from "../evaluation/tasks.ts";
import type { Task, TaskRow } from "../evaluation/tasks/task.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import type { LanguageModel } from "../llama/checkpoint.ts";
import type { Option } from "./args.ts";
import { didYouMean, UsageError } from "./errors.ts";
import { makeWritableFolder } from "./files.ts";
import { localSources } from "./hub.ts";
import type { Context } from "./main.ts";
import { openModel, refusing, statOf } from "./models.ts";
import { reportedProgress } from "./progress.ts";
import { table } from "./table.ts";

const allTasks = Object.keys(tasks) as TaskName[];

/** Options of the tasks. */
export const taskOptions = {
  tasks: {
    type: "string",
    value: "NAMES",
    several: true,
    description: `Measure accuracy on tasks, with commas between: ${allTasks.join(", ")}`,
  },
  taskData: {
    type: "string",
    value: "DIR",
    description:
      "Folder with NAME.jsonl or NAME.parquet for each task, or dataset:OWNER/NAME that holds them (default: each data set on the Hub)",
  },
  limit: { type: "integer", minimum: 1, description: "Items of each task, the first ones (default: all)" },
  compare: { type: "string", value: "OTHER", description: "Evaluate this model too, and print the differences, paired by item" },
  details: { type: "string", value: "FILE", description: "Write what was found of each item, one JSON object a line" },
} as const satisfies Readonly<Record<string, Option>>;

/** What was typed. */
export interface TaskFlags {
  readonly model: string;
  readonly tasks: string;
  readonly taskData?: string;
  readonly limit?: number;
  readonly compare?: string;
  readonly details?: string;
  readonly allowUnknown?: boolean;
}

/** A task and its rows. */
interface Loaded {
  readonly task: Task;
  readonly rows: readonly TaskRow[];
}

/** Evaluates one model or two, and prints tables. @returns What `--json` prints. */
export async function runTasks(flags: TaskFlags, { signal, print }: Context): Promise<unknown> {
  const names = taskNames(flags.tasks);
  const models = flags.compare === undefined ? [flags.model] : [flags.model, flags.compare];
  for (const path of models) await statOf(path);
  if (flags.details !== undefined) await makeWritableFolder(flags.details.replace(/[^/\\]*$/, "") || ".");
  const loaded: Loaded[] = [];
  for (const name of names) loaded.push({ task: tasks[name] as Task, rows: await rowsOf(name, flags) });
  const lines: string[] = [];
  const results: TaskResult[][] = [];
  for (const path of models) {
    const { model } = await openModel(path, flags);
    results.push(
      await evaluated(model, loaded, {
        signal,
        finished: async ({ items }) => {
          if (flags.details === undefined) return;
          lines.push(...items.map((item) => detailLine(item, flags.compare === undefined ? undefined : path)));
          await writeFileAtomic(flags.details, lines.join("")); // after each task, so that what is done is kept
        },
      }),
    );
  }
  const [first, second] = results;
  print(resultTable(first));
  if (second === undefined) return { model: flags.model, tasks: taskSummary(first) };
  print(`\n${flags.compare}:\n${resultTable(second)}\n\nDifferences, ${flags.model} less ${flags.compare}, paired by item:`);
  print(differenceTable(first, second));
  const compare = { model: flags.compare, tasks: taskSummary(second), differences: differenceSummary(first, second) };
  return { model: flags.model, tasks: taskSummary(first), compare };
}

function taskNames(typed: string): TaskName[] {
  return [...new Set(typed.split(",").map((name) => name.trim()))].map((name) => {
    if (Object.hasOwn(tasks, name)) return name as TaskName;
    throw new UsageError(`unknown task "${name}"${didYouMean(name, allTasks)}; there are ${allTasks.join(", ")}`);
  });
}

/** The rows of a task, from the folder that was typed or from the Hub. */
async function rowsOf(name: TaskName, { taskData, limit }: TaskFlags): Promise<TaskRow[]> {
  const rows = await refusing(async () => readRows(await placeOf(name, taskData), { limit }));
  await refusing(() => taskItems<unknown>(tasks[name], rows)); // before any work is spent
  if (rows.length === 0) throw new UsageError(`there is no item of ${name}: its file is empty`);
  return rows;
}

async function placeOf(name: TaskName, taskData: string | undefined): Promise<string> {
  if (taskData === undefined || taskData.startsWith("dataset:")) {
    const [{ path }] = await localSources([{ path: taskData === undefined ? tasks[name].data : `${taskData}/${name}.*` }]);
    return path;
  }
  const folder = taskData.replace(/[/\\]+$/, "");
  for (const ending of ["jsonl", "parquet", "jsonl.gz", "jsonl.zst"]) {
    const path = `${folder}/${name}.${ending}`;
    if (await Deno.stat(path).then(({ isFile }) => isFile, () => false)) return path;
  }
  throw new UsageError(`cannot evaluate ${name}: no ${name}.jsonl or ${name}.parquet in ${taskData}`);
}

async function evaluated(
  model: LanguageModel,
  loaded: readonly Loaded[],
  { signal, finished }: { signal: AbortSignal; finished: (result: TaskResult) => Promise<void> },
): Promise<TaskResult[]> {
  const results: TaskResult[] = [];
  for (const { task, rows } of loaded) {
    using shown = reportedProgress({ title: task.name, unit: "tokens" });
    const result = await refusing(() => evaluateTask(model, { task, rows }, { signal, onProgress: shown.update }));
    shown.done();
    results.push(result);
    await finished(result);
  }
  return results;
}

function detailLine(item: ItemResult, model: string | undefined): string {
  return JSON.stringify(model === undefined ? item : { ...item, model }) + "\n";
}

/** "47.71 ± 0.50": shares as percentages. */
function percent({ mean, standardError }: Mean): string[] {
  return [(100 * mean).toFixed(2), Number.isNaN(standardError) ? "–" : (100 * standardError).toFixed(2)];
}

function resultTable(results: readonly TaskResult[]): string {
  const rows = results.map(({ task, items, acc, accNorm }) => [task, items.length, ...percent(acc), ...percent(accNorm)]);
  if (results.length > 1) {
    const average = (which: "acc" | "accNorm") => percent(meanOfMeans(results.map((each) => each[which])));
    rows.push(["average", "", ...average("acc"), ...average("accNorm")]);
  }
  return table(["task", "items", "acc (%)", "±", "acc_norm (%)", "± "], rows);
}

interface Difference {
  readonly task: string;
  readonly acc: Mean;
  readonly accNorm: Mean;
}

function differences(first: readonly TaskResult[], second: readonly TaskResult[]): Difference[] {
  const right = ({ items }: TaskResult, which: "predicted" | "predictedNorm") =>
    items.map((item) => Number(item[which] === item.gold));
  const paired = (index: number, which: "predicted" | "predictedNorm") =>
    pairedDifference(right(first[index], which), right(second[index], which));
  return first.map(({ task }, index) => ({ task, acc: paired(index, "predicted"), accNorm: paired(index, "predictedNorm") }));
}

function differenceTable(first: readonly TaskResult[], second: readonly TaskResult[]): string {
  const each = differences(first, second);
  const rows = each.map(({ task, acc, accNorm }) => [task, ...percent(acc), ...percent(accNorm)]);
  if (each.length > 1) {
    rows.push([
      "average",
      ...(["acc", "accNorm"] as const).flatMap((which) => percent(meanOfMeans(each.map((one) => one[which])))),
    ]);
  }
  return table(["task", "acc (points)", "±", "acc_norm (points)", "± "], rows);
}

function figures({ acc, accNorm }: Pick<TaskResult, "acc" | "accNorm">) {
  return {
    acc: acc.mean,
    accNorm: accNorm.mean,
    accStandardError: acc.standardError,
    accNormStandardError: accNorm.standardError,
  };
}

function taskSummary(results: readonly TaskResult[]): Record<string, unknown> {
  return Object.fromEntries(results.map((result) => [result.task, { ...figures(result), items: result.items.length }]));
}

function differenceSummary(first: readonly TaskResult[], second: readonly TaskResult[]): Record<string, unknown> {
  return Object.fromEntries(differences(first, second).map((each) => [each.task, figures(each)]));
}

/**
 * Accuracy of a model on a task.
 *
 * @module
 */

import { type ContinuationScore, logLikelihood, type LogLikelihoodOptions, type TextModel } from "./log_likelihood.ts";
import { type Mean, meanOf } from "./statistics.ts";
import type { Task, TaskRow } from "./tasks/task.ts";

/** What a model says of one item. Lists have an entry for each choice. */
export interface ItemResult {
  /** Name of the task. */
  readonly task: string;
  /** Row of the data, from 0. */
  readonly index: number;
  /** Of each continuation, in nats. */
  readonly logLikelihoods: readonly number[];
  /** Number of tokens of each context, and of each continuation. */
  readonly tokens: { readonly context: readonly number[]; readonly continuation: readonly number[] };
  /** Whether each continuation is what the model itself would say. */
  readonly greedy: readonly boolean[];
  /** The right choice. */
  readonly gold: number;
  /** The likeliest choice, the first where several are. */
  readonly predicted: number;
  /** The choice whose log-likelihood is largest for its length in characters. */
  readonly predictedNorm: number;
}

/** How well a model does. */
export interface TaskResult {
  /** Name of the task. */
  readonly task: string;
  /** In the order of the rows. */
  readonly items: readonly ItemResult[];
  /** Share of items whose likeliest choice is right. */
  readonly acc: Mean;
  /** The same by log-likelihood over characters. */
  readonly accNorm: Mean;
}

/**
 * Evaluates a model on rows of a task, as lm-evaluation-harness does without examples.
 *
 * @param model any, packed ones too
 * @throws RangeError that names the row which is not as the task wants it
 *
 * @example
 * ```ts
 * import { byteTokenizer, evaluateTask, initialModel, tasks } from "@hestia/hestia";
 * const model = initialModel({ vocabularySize: 256, hiddenSize: 16, layers: 1, heads: 2, keyValueHeads: 1, intermediateSize: 32 }, { seed: 1 });
 * const rows = [{ goal: "Boil water", sol1: "Heat it.", sol2: "Freeze it, then look at it.", label: 0 }];
 * const { acc } = await evaluateTask({ ...model, tokenizer: byteTokenizer }, { task: tasks.piqa, rows });
 * console.log(acc.mean); // 1: before training all bytes are as likely, so the shorter solution is
 * ```
 */
export async function evaluateTask<Item>(
  model: TextModel,
  { task, rows }: { readonly task: Task<Item>; readonly rows: readonly TaskRow[] },
  options: LogLikelihoodOptions = {},
): Promise<TaskResult> {
  const items = taskItems(task, rows);
  const pairs = items.map((item) => task.pairs(item));
  const scores = await logLikelihood(model, pairs.flat(), options);
  let start = 0;
  const results = items.map((item, index) =>
    itemResult(task, item, { index, scores: scores.slice(start, start += pairs[index].length) })
  );
  const accuracy = (which: "predicted" | "predictedNorm") => meanOf(results.map((each) => Number(each[which] === each.gold)));
  return { task: task.name, items: results, acc: accuracy("predicted"), accNorm: accuracy("predictedNorm") };
}

/** The items of rows. Throws a RangeError that names the row which is none. */
export function taskItems<Item>({ name, item }: Pick<Task<Item>, "name" | "item">, rows: readonly TaskRow[]): Item[] {
  return rows.map((row, index) => {
    try {
      return item(row);
    } catch (cause) {
      throw new RangeError(`Cannot evaluate ${name}: in row ${index + 1} ${(cause as Error).message}`, { cause });
    }
  });
}

function itemResult<Item>(
  task: Task<Item>,
  item: Item,
  { index, scores }: { index: number; scores: readonly ContinuationScore[] },
): ItemResult {
  const logLikelihoods = scores.map(({ logLikelihood }) => logLikelihood);
  const lengths = task.lengths(item);
  return {
    task: task.name,
    index,
    logLikelihoods,
    tokens: {
      context: scores.map(({ contextTokens }) => contextTokens),
      continuation: scores.map(({ continuationTokens }) => continuationTokens),
    },
    greedy: scores.map(({ isGreedy }) => isGreedy),
    gold: task.gold(item),
    predicted: firstLargest(logLikelihoods),
    predictedNorm: firstLargest(logLikelihoods.map((nats, choice) => nats / lengths[choice])),
  };
}

function firstLargest(values: readonly number[]): number {
  return values.reduce((best, value, index) => value > values[best] ? index : best, 0);
}

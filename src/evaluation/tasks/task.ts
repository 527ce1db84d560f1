/**
 * What a multiple-choice task is: rows of a data set, and four functions of them.
 *
 * @module
 */

import { isJsonObject } from "../../io/json.ts";
import type { TextPair } from "../log_likelihood.ts";

/** A row of a data set: its columns by name. */
export type TaskRow = Readonly<Record<string, unknown>>;

/** Multiple choice, as lm-evaluation-harness asks it without examples. `Item` is what matters of a row. */
export interface Task<Item = unknown> {
  /** Its name in lm-evaluation-harness. */
  readonly name: string;
  /** The data set on the Hub, and the files of the split that counts. */
  readonly data: string;
  /** What matters of a row. Throws a RangeError that names the field which is missing or wrong. */
  readonly item: (row: TaskRow) => Item;
  /** For each choice a context and a continuation. */
  readonly pairs: (item: Item) => readonly TextPair[];
  /** What log-likelihoods are divided by for `acc_norm`: code points of each choice. */
  readonly lengths: (item: Item) => readonly number[];
  /** Number of the right choice. */
  readonly gold: (item: Item) => number;
}

/** A question and its answers. */
export interface Question {
  /** What is asked, as the model reads it. */
  readonly context: string;
  /** The answers, without the space before them. */
  readonly choices: readonly string[];
  /** Number of the right one. */
  readonly gold: number;
}

/** A context followed by each choice, with a space between. */
export function spacedPairs({ context, choices }: Question): TextPair[] {
  return choices.map((choice) => ({ context, continuation: ` ${choice}` }));
}

/** The text of a field. */
export function textOf(row: TaskRow, field: string): string {
  const value = row[field];
  if (typeof value === "string") return value;
  throw new RangeError(`the field "${field}" is ${shown(value)}, wanted text`);
}

/** The texts of a field, one at least. */
export function textsOf(row: TaskRow, field: string): readonly string[] {
  const value = row[field];
  if (Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string")) return value;
  throw new RangeError(`the field "${field}" is ${shown(value)}, wanted a list of texts`);
}

/** The number of a choice, counted from `first`, as a number or as text: from 0. */
export function labelOf(row: TaskRow, field: string, { choices, first = 0 }: { choices: number; first?: number }): number {
  const value = row[field];
  const isNumber = typeof value === "number" || typeof value === "bigint" ||
    typeof value === "string" && /^\s*\d+\s*$/.test(value);
  const label = isNumber ? Number(value) - first : NaN;
  if (Number.isInteger(label) && label >= 0 && label < choices) return label;
  throw new RangeError(`the field "${field}" is ${shown(value)}, wanted a number from ${first} to ${first + choices - 1}`);
}

/** The choices of a row that lists their texts and labels, and the number of the one that `answerKey` names. */
export function labelledChoices(row: TaskRow, answer: string): Pick<Question, "choices" | "gold"> {
  const { choices } = row;
  if (!isJsonObject(choices)) throw new RangeError(`the field "choices" is ${shown(choices)}, wanted texts and labels`);
  const [texts, labels] = [textsOf(choices, "text"), textsOf(choices, "label")];
  const gold = labels.indexOf(answer);
  if (gold >= 0 && gold < texts.length) return { choices: texts, gold };
  throw new RangeError(`the field "answerKey" is ${shown(answer)}, wanted one of ${labels.join(", ")}`);
}

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value, (_, each) => typeof each === "bigint" ? Number(each) : each) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

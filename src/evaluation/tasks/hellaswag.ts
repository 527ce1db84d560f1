/**
 * HellaSwag: how a scene goes on (Zellers et al., 2019).
 *
 * @module
 */

import { capitalized, lengthOf, trimmed } from "../python_text.ts";
import { labelOf, type Question, spacedPairs, type Task, textOf, textsOf } from "./task.ts";

/** Text without the marks of the pages that it was taken from. */
function plain(text: string): string {
  return trimmed(text).replaceAll(" [title]", ". ").replaceAll(/\[[^\n]*?\]/g, "").replaceAll("  ", " ");
}

/** Endings of scenes, of which one is right. */
export const hellaswag: Task<Question> = {
  name: "hellaswag",
  data: "dataset:Rowan/hellaswag/data/validation-*.parquet",
  item: (row) => {
    const [activity, first, second] = ["activity_label", "ctx_a", "ctx_b"].map((field) => textOf(row, field));
    const choices = textsOf(row, "endings").map(plain);
    const gold = labelOf(row, "label", { choices: choices.length });
    return { context: plain(`${activity}: ${first} ${capitalized(second)}`), choices, gold };
  },
  pairs: spacedPairs,
  lengths: ({ choices }) => choices.map(lengthOf),
  gold: ({ gold }) => gold,
};

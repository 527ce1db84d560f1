/**
 * BoolQ: whether a passage answers a question with yes (Clark et al., 2019), as SuperGLUE has it.
 *
 * @module
 */

import { lengthOf } from "../python_text.ts";
import { labelOf, type Question, spacedPairs, type Task, textOf } from "./task.ts";

const choices = ["no", "yes"];

/** Passages with a question each. */
export const boolq: Task<Question> = {
  name: "boolq",
  data: "dataset:aps/super_glue/boolq/validation-*.parquet",
  item: (row) => ({
    context: `${textOf(row, "passage")}\nQuestion: ${textOf(row, "question")}?\nAnswer:`,
    choices,
    gold: labelOf(row, "label", { choices: 2 }),
  }),
  pairs: spacedPairs,
  lengths: ({ choices }) => choices.map(lengthOf),
  gold: ({ gold }) => gold,
};

/**
 * OpenBookQA: sentences of elementary science to complete (Mihaylov et al., 2018).
 *
 * @module
 */

import { lengthOf, trimmedStart } from "../python_text.ts";
import { labelledChoices, type Question, spacedPairs, type Task, textOf } from "./task.ts";

/** Beginnings with four ends each. */
export const openbookqa: Task<Question> = {
  name: "openbookqa",
  data: "dataset:allenai/openbookqa/main/test-*.parquet",
  item: (row) => ({
    context: textOf(row, "question_stem"),
    ...labelledChoices(row, trimmedStart(textOf(row, "answerKey"))),
  }),
  pairs: spacedPairs,
  lengths: ({ choices }) => choices.map(lengthOf),
  gold: ({ gold }) => gold,
};

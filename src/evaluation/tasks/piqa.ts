/**
 * PIQA: which of two ways reaches a goal (Bisk et al., 2020).
 *
 * @module
 */

import { lengthOf } from "../python_text.ts";
import { labelOf, type Question, spacedPairs, type Task, textOf } from "./task.ts";

/** Goals and two ways each. */
export const piqa: Task<Question> = {
  name: "piqa",
  data: "dataset:baber/piqa/**/validation*.parquet",
  item: (row) => ({
    context: `Question: ${textOf(row, "goal")}\nAnswer:`,
    choices: [textOf(row, "sol1"), textOf(row, "sol2")],
    gold: labelOf(row, "label", { choices: 2 }),
  }),
  pairs: spacedPairs,
  lengths: ({ choices }) => choices.map(lengthOf),
  gold: ({ gold }) => gold,
};

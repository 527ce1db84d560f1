/**
 * ARC: questions of science at school (Clark et al., 2018), the easy ones and the others.
 *
 * @module
 */

import { lengthOf } from "../python_text.ts";
import { labelledChoices, type Question, spacedPairs, type Task, textOf } from "./task.ts";

const arc = (name: string, folder: string): Task<Question> => ({
  name,
  data: `dataset:allenai/ai2_arc/${folder}/test-*.parquet`,
  item: (row) => ({
    context: `Question: ${textOf(row, "question")}\nAnswer:`,
    ...labelledChoices(row, textOf(row, "answerKey")),
  }),
  pairs: spacedPairs,
  lengths: ({ choices }) => choices.map(lengthOf),
  gold: ({ gold }) => gold,
});

/** The easy questions. */
export const arcEasy: Task<Question> = arc("arc_easy", "ARC-Easy");

/** Those that looking up and counting words do not answer. */
export const arcChallenge: Task<Question> = arc("arc_challenge", "ARC-Challenge");

/**
 * WinoGrande: which of two words a gap stands for (Sakaguchi et al., 2019). The choices are contexts; what follows is one and the same.
 *
 * @module
 */

import { lengthOf, trimmed } from "../python_text.ts";
import { labelOf, type Task, textOf } from "./task.ts";

/** A sentence in two ways up to its gap, and its end. */
export interface GapSentence {
  /** Up to the gap, with each option in it. */
  readonly contexts: readonly string[];
  /** What follows, behind a space. */
  readonly end: string;
  /** Number of the right option. */
  readonly gold: number;
}

/** Sentences with a gap. */
export const winogrande: Task<GapSentence> = {
  name: "winogrande",
  data: "dataset:allenai/winogrande/winogrande_xl/validation-*.parquet",
  item: (row) => {
    const sentence = textOf(row, "sentence");
    const gap = sentence.indexOf("_");
    if (gap < 0) throw new RangeError(`the field "sentence" is ${JSON.stringify(sentence)}, wanted a gap "_" in it`);
    return {
      contexts: ["option1", "option2"].map((option) => sentence.slice(0, gap) + textOf(row, option)),
      end: ` ${trimmed(sentence.slice(gap + 1))}`,
      gold: labelOf(row, "answer", { choices: 2, first: 1 }),
    };
  },
  pairs: ({ contexts, end }) => contexts.map((context) => ({ context, continuation: end })),
  lengths: ({ contexts, end }) => contexts.map(() => lengthOf(end)), // equal ones, so that acc_norm is acc
  gold: ({ gold }) => gold,
};

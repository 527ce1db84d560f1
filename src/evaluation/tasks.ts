/**
 * All tasks, by name.
 *
 * @module
 */

import { arcChallenge, arcEasy } from "./tasks/arc.ts";
import { boolq } from "./tasks/boolq.ts";
import { hellaswag } from "./tasks/hellaswag.ts";
import { openbookqa } from "./tasks/openbookqa.ts";
import { piqa } from "./tasks/piqa.ts";
import type { Question, Task } from "./tasks/task.ts";
import { type GapSentence, winogrande } from "./tasks/winogrande.ts";

/** The tasks of the published tables, by their names in lm-evaluation-harness. */
export const tasks: {
  readonly arc_easy: Task<Question>;
  readonly arc_challenge: Task<Question>;
  readonly hellaswag: Task<Question>;
  readonly piqa: Task<Question>;
  readonly winogrande: Task<GapSentence>;
  readonly boolq: Task<Question>;
  readonly openbookqa: Task<Question>;
} = { arc_easy: arcEasy, arc_challenge: arcChallenge, hellaswag, piqa, winogrande, boolq, openbookqa };

/** Name of a task. */
export type TaskName = keyof typeof tasks;

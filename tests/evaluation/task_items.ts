/**
 * Rows in the data sets' own schemas, awkward ones among them, each with the prompts that the published rules make of it, written by hand.
 *
 * @module
 */

import type { TaskName, TaskRow } from "../../mod.ts";

/** A row, and what it means. */
export interface MadeItem {
  readonly row: TaskRow;
  /** Context and continuation of each choice. */
  readonly pairs: readonly (readonly [context: string, continuation: string])[];
  /** What `acc_norm` divides by. */
  readonly lengths: readonly number[];
  readonly gold: number;
}

const long = "The whale rose, and the boat went round it. ".repeat(9);

/** Items of each task. */
export const madeItems: Readonly<Record<TaskName, readonly MadeItem[]>> = {
  arc_easy: [
    {
      row: {
        id: "a",
        question: "Which is a metal?",
        choices: { text: ["wood", "iron", "café ☕", "air 🎈"], label: ["A", "B", "C", "D"] },
        answerKey: "B",
      },
      pairs: ["wood", "iron", "café ☕", "air 🎈"].map((text) => ["Question: Which is a metal?\nAnswer:", ` ${text}`] as const),
      lengths: [4, 4, 6, 5],
      gold: 1,
    },
    {
      row: {
        question: "Two  spaces stay,  here ",
        choices: { text: ["one", " two ", "three"], label: ["1", "2", "3"] },
        answerKey: "3",
      },
      pairs: ["one", " two ", "three"].map((text) => ["Question: Two  spaces stay,  here \nAnswer:", ` ${text}`] as const),
      lengths: [3, 5, 5],
      gold: 2,
    },
  ],
  arc_challenge: [
    {
      row: { question: "Five?", choices: { text: ["a", "b", "c", "d", "e"], label: ["1", "2", "3", "4", "5"] }, answerKey: "5" },
      pairs: ["a", "b", "c", "d", "e"].map((text) => ["Question: Five?\nAnswer:", ` ${text}`] as const),
      lengths: [1, 1, 1, 1, 1],
      gold: 4,
    },
  ],
  hellaswag: [
    {
      row: {
        activity_label: "Removing ice",
        ctx_a: "[header] How to go [title] A man  is   outside.",
        ctx_b: "ÉTÉ the Man [substeps] runs",
        endings: [" he goes [step] home. ", "she\u00a0stays [title] Now", "[a] [b\n] c", "they  go."],
        label: "3",
      },
      // "ÉTÉ the Man" gets one capital; what is in brackets goes, but not across lines; two spaces become one, in one pass
      pairs: [" he goes home.", " she\u00a0stays. Now", "  [b\n] c", " they go."].map((ending) =>
        ["Removing ice: How to go. A man is  outside. Été the man runs", ending] as const
      ),
      lengths: [13, 14, 7, 8],
      gold: 3,
    },
    {
      row: { activity_label: "ß", ctx_a: "x", ctx_b: "ßA ΟΔΟΣ", endings: ["a", "b", "c", "d"], label: 0 },
      pairs: ["a", "b", "c", "d"].map((text) => ["ß: x Ssa οδος", ` ${text}`] as const),
      lengths: [1, 1, 1, 1],
      gold: 0,
    },
    {
      row: { activity_label: "End", ctx_a: "Nothing follows.", ctx_b: "", endings: ["a b", "b", "c", "d"], label: "1" },
      pairs: ["a b", "b", "c", "d"].map((text) => ["End: Nothing follows.", ` ${text}`] as const),
      lengths: [3, 1, 1, 1],
      gold: 1,
    },
  ],
  piqa: [
    {
      row: { goal: "Boil water", sol1: "Heat it.", sol2: "Heat it. Then wait.", label: 1 },
      pairs: [["Question: Boil water\nAnswer:", " Heat it."], ["Question: Boil water\nAnswer:", " Heat it. Then wait."]],
      lengths: [8, 19],
      gold: 1,
    },
    {
      row: { goal: long, sol1: "yes", sol2: "no", label: 0 }, // longer than the model's context
      pairs: [[`Question: ${long}\nAnswer:`, " yes"], [`Question: ${long}\nAnswer:`, " no"]],
      lengths: [3, 2],
      gold: 0,
    },
  ],
  winogrande: [
    {
      row: { sentence: "The cup fits not in the bag, as the _ is too large.", option1: "cup", option2: "bag", answer: "1" },
      pairs: ["cup", "bag"].map((option) => [`The cup fits not in the bag, as the ${option}`, " is too large."] as const),
      lengths: [14, 14],
      gold: 0,
    },
    {
      row: { sentence: "_'s hat \x1c", option1: "Zoë ", option2: "Al", answer: "2" },
      pairs: ["Zoë ", "Al"].map((option) => [option, " 's hat"] as const), // and the space of "Zoë " belongs to what follows
      lengths: [7, 7],
      gold: 1,
    },
  ],
  boolq: [
    {
      row: { passage: "Whales -- Whales are mammals. ", question: "are whales fish", label: 0 },
      pairs: ["no", "yes"].map((text) =>
        ["Whales -- Whales are mammals. \nQuestion: are whales fish?\nAnswer:", ` ${text}`] as const
      ),
      lengths: [2, 3],
      gold: 0,
    },
  ],
  openbookqa: [
    {
      row: {
        question_stem: "The sun is",
        choices: { text: ["hot", "cold", "a star", "near"], label: ["A", "B", "C", "D"] },
        answerKey: " C",
      },
      pairs: ["hot", "cold", "a star", "near"].map((text) => ["The sun is", ` ${text}`] as const),
      lengths: [3, 4, 6, 4],
      gold: 2,
    },
    {
      row: { question_stem: "Ends in space \t", choices: { text: ["ing", "er"], label: ["A", "B"] }, answerKey: "A" },
      pairs: ["ing", "er"].map((text) => ["Ends in space \t", ` ${text}`] as const),
      lengths: [3, 2],
      gold: 0,
    },
  ],
};

/**
 * Kinds of fields of a configuration, and what is said of a field that is none of its kind.
 *
 * @module
 */

import * as v from "valibot";
import { didYouMean } from "./errors.ts";
import { isJsonObject } from "../io/json.ts";

/** Message of a field that "must be" something; the issue knows what was there. */
export const must = (wanted: string) => (issue: v.BaseIssue<unknown>): string =>
  `must be ${wanted}, got ${JSON.stringify(issue.input)}`;

export const count = (minimum = 1) => {
  const message = must(`an integer of at least ${minimum}`);
  return v.pipe(v.number(message), v.safeInteger(message), v.minValue(minimum, message));
};

export const between = (minimum: number, maximum: number) => {
  const message = must(`a number from ${minimum} to ${maximum}`);
  return v.pipe(v.number(message), v.minValue(minimum, message), v.maxValue(maximum, message));
};

export const finite = () => v.pipe(v.number(must("a number")), v.finite(must("a number")));

export const positive = () =>
  v.pipe(v.number(must("a number above 0")), v.finite(must("a number above 0")), v.gtValue(0, must("a number above 0")));

export const notNegative = () => v.pipe(finite(), v.minValue(0, must("a number of at least 0")));

export const text = () => v.pipe(v.string(must("text")), v.nonEmpty(must("text that is not empty")));

export const oneOf = <const T extends readonly string[]>(choices: T) => {
  const message = must(`one of ${choices.map((choice) => `"${choice}"`).join(", ")}`);
  return v.picklist(choices, (issue) => message(issue) + didYouMean(String(issue.input), choices));
};

/** An object with these fields and no others. */
export const section = <T extends v.ObjectEntries>(entries: T) => {
  const fields = Object.keys(entries);
  return v.pipe(
    v.custom<Record<string, unknown>>(isJsonObject, must("an object")),
    v.strictObject(entries, ({ input }) => `is not a field${didYouMean(String(input), fields)}; there are ${fields.join(", ")}`),
  );
};

export const flag = () => v.boolean(must("true or false"));

/**
 * Options, checked where they enter: a number that is none, or the name of nothing, would else be computed with.
 *
 * @module
 */

import { atCaller } from "./errors.ts";

/** What an option may be. */
export interface OptionRule {
  /** In words. */
  readonly wanted: string;
  readonly holds: (value: unknown) => boolean;
}

/** One of some names. */
export function oneOf(...names: readonly string[]): OptionRule {
  return { wanted: names.map((name) => `"${name}"`).join(" or "), holds: (value) => names.includes(value as string) };
}

/** Finite in float32 too. */
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(Math.fround(value));

export const flag: OptionRule = { wanted: "true or false", holds: (value) => typeof value === "boolean" };
export const finite: OptionRule = { wanted: "a finite number", holds: isNumber };
export const positive: OptionRule = { wanted: "a finite number above 0", holds: (value) => isNumber(value) && value > 0 };
export const notNegative: OptionRule = {
  wanted: "a finite number of at least 0",
  holds: (value) => isNumber(value) && value >= 0,
};
export const share: OptionRule = {
  wanted: "a number from 0 to 1",
  holds: (value) => isNumber(value) && value >= 0 && value <= 1,
};

/** A whole number. */
export function whole(minimum: number): OptionRule {
  return {
    wanted: `a whole number of at least ${minimum}`,
    holds: (value) => Number.isSafeInteger(value) && (value as number) >= minimum,
  };
}

/** What generators of random numbers are given. */
export const seed: OptionRule = {
  wanted: `an integer from 0 to ${2 ** 32 - 1}`,
  holds: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32,
};

/**
 * Throws a RangeError that points at the caller's line unless every option that is there is what it may be.
 *
 * @param action what cannot be done otherwise, up to the option's name: `Cannot train with the`
 */
export function checkOptions<O extends object>(
  action: string,
  options: O,
  rules: { readonly [K in keyof O]?: OptionRule },
): void {
  for (const [name, rule] of Object.entries(rules) as [keyof O & string, OptionRule][]) {
    const value = options[name];
    if (value === undefined || rule.holds(value)) continue;
    throw atCaller(new RangeError(`${action} ${name} ${value}: wanted ${rule.wanted}`));
  }
}

/**
 * What the tests use of `node:assert/strict`, for a page, which has no Node.
 *
 * @module
 */

/** What a failed assertion throws. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

const shown = (value: unknown) => {
  const text = JSON.stringify(value, (_, part) => {
    if (ArrayBuffer.isView(part)) return [...part as Float32Array];
    if (part instanceof Map || part instanceof Set) return [...part];
    return typeof part === "bigint" || (typeof part === "number" && !isFinite(part)) ? String(part) : part;
  });
  return (text ?? String(value)).slice(0, 800);
};

function isEqual(actual: unknown, expected: unknown): boolean {
  if (Object.is(actual, expected)) return true;
  if (typeof actual !== "object" || typeof expected !== "object" || !actual || !expected) return false;
  if (Object.getPrototypeOf(actual) !== Object.getPrototypeOf(expected)) return false;
  if (actual instanceof Map && expected instanceof Map) {
    return actual.size === expected.size &&
      [...actual].every(([key, value]) => expected.has(key) && isEqual(value, expected.get(key)));
  }
  if (actual instanceof Set && expected instanceof Set) return isEqual([...actual], [...expected]);
  if (actual instanceof Error && expected instanceof Error && actual.message !== expected.message) return false;
  const [own, others] = [actual, expected] as Record<string, unknown>[];
  const names = Object.keys(own);
  return names.length === Object.keys(others).length &&
    names.every((name) => Object.hasOwn(others, name) && isEqual(own[name], others[name]));
}

type Says = string | Error;

function check(holds: boolean, says: Says | undefined, fallback: string): asserts holds {
  if (holds) return;
  throw says instanceof Error ? says : new AssertionError(says === undefined ? fallback : `${says}: ${fallback}`);
}

export function ok(value: unknown, says?: Says): asserts value {
  check(Boolean(value), says, `wanted something true, got ${shown(value)}`);
}

export function fail(says?: Says): never {
  throw says instanceof Error ? says : new AssertionError(says ?? "Failed");
}

export function strictEqual(actual: unknown, expected: unknown, says?: Says): void {
  check(Object.is(actual, expected), says, `wanted ${shown(expected)}, got ${shown(actual)}`);
}

export function notStrictEqual(actual: unknown, other: unknown, says?: Says): void {
  check(!Object.is(actual, other), says, `wanted another value than ${shown(other)}`);
}

export function deepStrictEqual(actual: unknown, expected: unknown, says?: Says): void {
  check(isEqual(actual, expected), says, `wanted ${shown(expected)}, got ${shown(actual)}`);
}

export function notDeepStrictEqual(actual: unknown, other: unknown, says?: Says): void {
  check(!isEqual(actual, other), says, `wanted another value than ${shown(other)}`);
}

export function match(text: string, pattern: RegExp, says?: Says): void {
  check(pattern.test(text), says, `wanted ${pattern}, got ${shown(text)}`);
}

export function doesNotMatch(text: string, pattern: RegExp, says?: Says): void {
  check(!pattern.test(text), says, `wanted no ${pattern}, got ${shown(text)}`);
}

export function ifError(value: unknown): void {
  if (value !== null && value !== undefined) throw value;
}

/** What an error must be: a pattern of its text, a class, what a function says is right, or the fields that it has. */
type Wanted = RegExp | (new (...values: never[]) => unknown) | ((error: unknown) => boolean) | Readonly<Record<string, unknown>>;

function checkError(error: unknown, wanted: Wanted | string | undefined): void {
  if (wanted === undefined || typeof wanted === "string") return;
  if (wanted instanceof RegExp) return match(String(error), wanted);
  if (typeof wanted === "function") {
    const isRight = wanted.prototype ? error instanceof wanted : (wanted as (error: unknown) => boolean)(error);
    return check(isRight, undefined, `wanted ${wanted.name || wanted}, got ${String(error)}`);
  }
  for (const [name, value] of Object.entries(wanted)) {
    const actual = (error as Record<string, unknown>)[name];
    if (value instanceof RegExp) match(String(actual), value);
    else deepStrictEqual(actual, value, name);
  }
}

export function throws(work: () => unknown, wanted?: Wanted | string): void {
  let error: unknown;
  try {
    work();
  } catch (caught) {
    return checkError(error = caught, wanted);
  }
  fail(`wanted an error, got none${error ?? ""}`);
}

export function doesNotThrow(work: () => unknown): void {
  work();
}

const promiseOf = (work: Promise<unknown> | (() => Promise<unknown>)) => typeof work === "function" ? work() : work;

export async function rejects(work: Promise<unknown> | (() => Promise<unknown>), wanted?: Wanted | string): Promise<void> {
  const outcome = await promiseOf(work).then(() => undefined, (error: unknown) => ({ error }));
  if (outcome === undefined) fail("wanted an error, got none");
  checkError(outcome.error, wanted);
}

export async function doesNotReject(work: Promise<unknown> | (() => Promise<unknown>)): Promise<void> {
  await promiseOf(work);
}

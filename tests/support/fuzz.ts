/**
 * Damaged files, and what opening them may do: throw an error about the file, in little time and memory.
 *
 * @module
 */

import { ok } from "../assert.ts";
import { randoms } from "./ternary.ts";

/** Numbers that counts, lengths and offsets are overwritten with. */
const hard = [
  0n,
  1n,
  3n,
  0xffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 33n,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Milliseconds that one file may take, and bytes that the process may grow by over all. */
const limits = { milliseconds: 5000, bytes: 600e6 };

/** A copy with one to four damages, most of them where the header is. */
export function damaged(bytes: Uint8Array<ArrayBuffer>, headerBytes: number, random: () => number): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit);
  let copy = bytes.slice();
  for (let count = 1 + below(4); count > 0; count--) {
    const at = below(random() < 0.8 ? Math.min(headerBytes, copy.length) : copy.length);
    const kind = below(10);
    if (kind < 4) copy[at] = below(256);
    else if (kind < 6) copy[at] ^= 1 << below(8);
    else if (kind < 8 && at + 8 <= copy.length) new DataView(copy.buffer).setBigUint64(at, hard[below(hard.length)], true);
    else if (kind === 8) copy = copy.slice(0, at);
    else copy = Uint8Array.of(...copy.subarray(0, at), ...copy.subarray(at + below(9)));
    if (copy.length === 0) return copy;
  }
  return copy;
}

/** Whether an error is one of ours, about the file. */
function isAboutTheFile(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === "UsageError") return true;
  return error.message.startsWith("Cannot ") && !error.message.startsWith("Cannot read properties");
}

/** Opens so many damaged files. Returns how many were refused. */
export async function fuzz<T>(
  { runs, make }: { readonly runs: number; readonly make: (random: () => number) => T },
  open: (file: T) => unknown,
): Promise<number> {
  const random = randoms(runs);
  const before = Deno.memoryUsage().rss;
  let refused = 0;
  for (let run = 0; run < runs; run++) {
    const file = make(random);
    const start = performance.now();
    try {
      await open(file);
    } catch (error) {
      refused++;
      ok(isAboutTheFile(error), `file ${run}: ${(error as Error)?.stack ?? error}`);
    }
    ok(performance.now() - start < limits.milliseconds, `file ${run} took ${performance.now() - start} ms`);
  }
  const grown = Deno.memoryUsage().rss - before;
  ok(grown < limits.bytes, `grown by ${grown} bytes`);
  return refused;
}

/** What values of JSON are replaced by. */
const hostile = [
  ...[null, true, -1, 0.5, 0, 1, 2 ** 31, 2 ** 32, 1e9, 1e308, "", "x", "\ud800", "__proto__", "a".repeat(5000)],
  ...[[], [[]], {}, { type: "none" }, Array(300).fill(0), JSON.parse("[".repeat(500) + "]".repeat(500))],
];

/** A copy with one to three values replaced, taken away, or put elsewhere. */
export function damagedJson<T>(value: T, random: () => number): T {
  const below = (limit: number) => Math.floor(random() * limit);
  const copy = structuredClone(value);
  for (let count = 1 + below(3); count > 0; count--) {
    const places: [Record<string, unknown>, string][] = [];
    const walk = (node: unknown): void => {
      if (typeof node !== "object" || node === null) return;
      const keys = Object.keys(node);
      for (const key of keys.length > 40 ? Array.from({ length: 40 }, () => keys[below(keys.length)]) : keys) {
        places.push([node as Record<string, unknown>, key]);
        walk((node as Record<string, unknown>)[key]);
      }
    };
    walk(copy);
    if (places.length === 0) break;
    const [[node, key], [other, otherKey]] = [places[below(places.length)], places[below(places.length)]];
    const kind = below(10);
    if (kind < 6) node[key] = structuredClone(hostile[below(hostile.length)]);
    else if (kind < 7) delete node[key];
    else if (kind < 8) node[`${key}x`] = node[key];
    else node[key] = structuredClone(other[otherKey]);
  }
  return copy;
}

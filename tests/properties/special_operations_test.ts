/** Every operation and kernel on NaN, infinities, zeros of both signs, subnormals and the largest numbers, held against float64. */

import { type TensorData, useBackend } from "../../mod.ts";
import { registerVariants } from "../../src/kernels/attention.ts";
import { deepEqual } from "../assert.ts";
import { read } from "../support/backends.ts";
import { runLowered, type Variation } from "../support/lowered.ts";
import { magnitude } from "../support/numbers.ts";
import { headDim, layers, positions, primitives, slopes, specials, type Table } from "../support/special_operations.ts";

/** What may differ, and why. */
interface Exception {
  readonly which: RegExp;
  readonly because: string;
  readonly allows: (got: number, wanted: number, index: number) => boolean;
}
const smallest = 2 ** -126;
const isSubnormal = (index: number) => specials[index] !== 0 && Math.abs(specials[index]) < smallest;

const exceptions: readonly Exception[] = [
  {
    which: /^(less|lessEqual|equal)$/,
    because: "drivers may take subnormal numbers for zero",
    allows: (_, __, index) => isSubnormal(index % specials.length) || isSubnormal(Math.floor(index / specials.length)),
  },
  {
    which: /^(less|lessEqual|equal) .*\d[e]-4\d/,
    because: "drivers may take subnormal numbers for zero",
    allows: () => true,
  },
  {
    which: /^(log$|less|lessEqual|equal)/,
    because: "drivers may take subnormal numbers for zero",
    allows: (_, __, index) => isSubnormal(index),
  },
  {
    which: /five a byte/,
    because: "codes are stored with one added, which is taken away again: an infinity then gives NaN",
    allows: (got, wanted) => Number.isNaN(got) && !Number.isFinite(wanted),
  },
  {
    which: /^attention, operand \d, gradient 1/,
    because: "kernels do not read a query that does not see a key; their composition multiplies it by zero",
    allows: (_, wanted, index) => Number.isNaN(wanted) && Math.floor(index / headDim) % positions > 0,
  },
  {
    which: /^hestia-2025, hard of \d+, gradient/,
    because: "of a weight that is NaN or infinite, its group has no gradient, and training refuses it by name",
    allows: (_, __, index) => index >= 36,
  },
];

/** Where two lists differ by more than the last digits, in words. */
function differencesOf(name: string, got: TensorData, wanted: TensorData): string[] {
  if (got.length !== wanted.length) return [`${name}: ${got.length} elements, wanted ${wanted.length}`];
  const scale = Object.hasOwn(layers, name) || / in the (left|right) of /.test(name) ? magnitude(wanted) : 0; // sums cancel
  const found = [...wanted].flatMap((exact, index) => {
    const [actual, expected] = [got[index], Math.fround(exact)];
    if (Object.is(actual, expected) || actual === expected) return [];
    if (Number.isFinite(expected) && Math.abs(actual - expected) <= smallest + 2e-5 * Math.max(scale, Math.abs(expected))) {
      return [];
    }
    const isAllowed = exceptions.some(({ which, allows }) => which.test(name) && allows(actual, expected, index));
    return isAllowed ? [] : [`${index}: ${actual}, wanted ${expected}`];
  });
  return found.length > 0
    ? [`${name}: ${found.slice(0, 6).join("; ")}${found.length > 6 ? `; ${found.length} in all` : ""}`]
    : [];
}

const all: Table = { ...Object.assign({}, ...Object.values(primitives)), ...slopes, ...layers };

async function expected(): Promise<TensorData[]> {
  await useBackend("reference");
  return await read(Object.values(all).map((build) => build()));
}

const settings: Readonly<Record<string, Variation & { readonly only?: RegExp }>> = {
  "as the device prefers": {},
  "from buffers": { texelReads: false },
  "float16 as rounded float32": { only: /cast to float16|of halves/, float16: false },
  "attention in registers": { only: /^attention/, variant: registerVariants },
};

let known: Promise<TensorData[]> | undefined;

for (const [says, { only = /./, ...variation }] of Object.entries(settings)) {
  Deno.test(`every operation and kernel does with special numbers as in float64 (${says})`, async () => {
    const wanted = await (known ??= expected());
    const some = Object.keys(all).flatMap((name, index) => only.test(name) ? [{ name, wanted: wanted[index] }] : []);
    const got = await runLowered(some.map(({ name }) => all[name]()), variation);
    deepEqual(some.flatMap(({ name, wanted }, index) => differencesOf(name, got[index], wanted)), []);
  });
}

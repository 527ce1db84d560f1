/**
 * `deno task inspect`: what a file holds.
 *
 * @module
 */

import { sizeOf } from "../core/shape.ts";
import type { TernaryMatrix } from "../pack/format.ts";
import type { Command } from "./args.ts";
import { UsageError } from "./errors.ts";
import { main } from "./main.ts";
import { visible } from "./output.ts";
import { refusing } from "./models.ts";
import { schemaMarkdown } from "./schema.ts";
import { openStored, storedSizes, type StoredTensor } from "./stored.ts";
import { formatBytes, table } from "./table.ts";

const command = {
  name: "inspect",
  summary: "Prints what a model file holds: metadata, tensors, their types, and of ternary weights the shares of -1, 0 and +1.",
  positionals: {
    file: { description: "GGUF or safetensors file, dense file, or folder of a model or run" },
  },
  options: {
    schema: { type: "boolean", description: "Print instead what model files may hold, and what is refused, as Markdown" },
  },
} as const satisfies Command;

/** What is printed of ternary weights. */
interface TernaryFacts {
  /** Shares of -1, 0 and 1. */
  readonly shares: readonly [number, number, number];
  /** Number of different groups, and the smallest, mean and largest scale of those that are not all zero. */
  readonly scales: { readonly count: number; readonly least: number; readonly mean: number; readonly most: number };
}

function ternaryFacts({ codes, scales }: TernaryMatrix): TernaryFacts {
  const counts = [0, 0, 0];
  for (const code of codes) counts[code + 1]++;
  const used = scales.filter((scale) => scale !== 0);
  const sum = used.reduce((total, scale) => total + scale, 0);
  const shares = counts.map((count) => count / codes.length) as [number, number, number];
  const [least, most] = [Math.min, Math.max].map((pick) => used.reduce((a, b) => pick(a, b), used[0] ?? 0));
  return { shares, scales: { count: scales.length, least, mean: used.length === 0 ? 0 : sum / used.length, most } };
}

/** Characters of a value of metadata that are printed. */
const mostShown = 200;

function shortened(value: string): string {
  const rest = value.length - mostShown;
  return visible(value.slice(0, mostShown), { isLine: true }) + (rest > 0 ? ` … and ${rest} characters more` : "");
}

/** What ternary weights would take where a bit says whether a weight is zero, and one more the sign of each that is not: 2 - z bits. */
interface PresenceBitmaps {
  /** Ternary weights of the file. */
  readonly ternaryWeights: number;
  /** Share of them that is zero, z. */
  readonly zeroShare: number;
  /** Bits a weight, without scales. */
  readonly presenceBitmapBits: number;
}

function presenceBitmaps(counted: readonly { readonly size: number; readonly zeros: number }[]): PresenceBitmaps {
  const sum = (which: "size" | "zeros") => counted.reduce((total, each) => total + each[which], 0);
  const zeroShare = sum("zeros") / sum("size");
  return { ternaryWeights: sum("size"), zeroShare, presenceBitmapBits: 2 - zeroShare };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

function zeroText({ zeroShare, presenceBitmapBits }: PresenceBitmaps): string {
  return `zeros z: ${percent(zeroShare)}; as presence bitmaps, 2 - z = ${presenceBitmapBits.toFixed(4)} bits a ternary weight`;
}

const heading = ["tensor", "type", "shape", "bytes", "bits per weight"];

function tensorRow({ name, type, shape, bytes }: StoredTensor): string[] {
  const size = sizeOf(shape);
  return [
    visible(name, { isLine: true }),
    type,
    shape.join("×") || "scalar",
    formatBytes(bytes),
    size === 0 ? "–" : (8 * bytes / size).toFixed(3),
  ];
}

const ternaryHeading = ["ternary weights", "-1", "0", "+1", "scales", "least", "mean", "most"];

function ternaryRow(name: string, { shares, scales: { count, least, mean, most } }: TernaryFacts): (string | number)[] {
  return [
    visible(name, { isLine: true }),
    ...shares.map(percent),
    count,
    ...[least, mean, most].map((scale) => scale.toPrecision(3)),
  ];
}

if (import.meta.main) {
  await main(command, async ({ file, schema }, { print, signal }) => {
    if (schema) return print(schemaMarkdown());
    if (file === undefined) throw new UsageError("FILE is missing; see deno task inspect --help");
    using stored = await openStored(file);
    const { kind, fileBytes, metadata, tensors } = stored;
    print(`${file}: ${kind}, ${formatBytes(fileBytes)}, ${tensors.length} tensors`);
    for (const [key, value] of Object.entries(metadata)) print(`  ${visible(key, { isLine: true })} = ${shortened(value)}`);
    const facts = new Map<string, TernaryFacts>();
    const counted: { size: number; zeros: number }[] = [];
    for (const { name } of tensors) {
      signal.throwIfAborted();
      const matrix = await refusing(() => stored.ternary(name));
      if (!matrix) continue;
      facts.set(name, ternaryFacts(matrix));
      counted.push({ size: matrix.codes.length, zeros: matrix.codes.reduce((sum, code) => sum + Number(code === 0), 0) });
    }
    print(table(heading, tensors.map(tensorRow)));
    if (facts.size > 0) print(`\n${table(ternaryHeading, Array.from(facts, ([name, each]) => ternaryRow(name, each)))}\n`);
    const zeros = counted.length > 0 ? presenceBitmaps(counted) : undefined;
    if (zeros) print(zeroText(zeros));
    const sizes = storedSizes(stored);
    print(`${sizes.quantizedWeights} weights of layers at ${sizes.bitsPerWeight.toFixed(4)} bits each`);
    const listed = tensors.map((tensor) => ({ ...tensor, ...facts.get(tensor.name) }));
    return { summary: { file, kind, fileBytes, metadata, ...sizes, ...zeros, tensors: listed } };
  });
}

/**
 * Which formats, with which groups of weights that share a scale, hold the matrices of a model.
 *
 * @module
 */

import type { Shape } from "../core/shape.ts";
import { type PackedFormatName, packedFormats } from "./formats.ts";

/** A packed format, or half precision, which holds any groups. */
export type StorageName = PackedFormatName | "f16";

/** Every way to store ternary weights. */
export const storageNames = [...Object.keys(packedFormats), "f16"] as StorageName[];

/** Groups finer than this are not proposed: their scales would weigh more than the codes. */
const finestProposed = 16;

/** The group size that is taken where it fits and nobody asks for another. */
const preferredGroup = 128;

/** Why a format has no place for matrices `[rows, columns]`, whatever their groups: a few words. Undefined where it has. */
export function misfit(name: StorageName, shapes: readonly Shape[]): string | undefined {
  if (name === "f16") return undefined;
  const { blockSize, rowMultiple = 1 } = packedFormats[name];
  const rows = distinct(shapes.map(([, columns]) => columns).filter((columns) => columns % blockSize !== 0));
  if (rows.length > 0) return `takes rows that are multiples of ${blockSize}, and some have ${rows.join(", ")}`;
  const counts = distinct(shapes.map(([count]) => count).filter((count) => count % rowMultiple !== 0));
  return counts.length > 0 ? `takes a multiple of ${rowMultiple} rows, and matrices have ${counts.join(", ")}` : undefined;
}

const distinct = (values: readonly number[]) => [...new Set(values)];

/**
 * Group sizes with which a format holds every scale of matrices of these shapes: from the finest that is worth proposing to whole
 * channels (-1) and tensors (0). None where it holds them in no way.
 */
export function fittingGroups(name: StorageName, shapes: readonly Shape[]): number[] {
  if (misfit(name, shapes) !== undefined) return [];
  const holds = (size: number) => name === "f16" || packedFormats[name].holdsExactly(size);
  const divisor = shapes.map(([, columns]) => columns).reduce(greatestCommonDivisor);
  const sizes = Array.from({ length: divisor }, (_, index) => index + 1);
  return [...sizes.filter((size) => size >= finestProposed && divisor % size === 0), -1, 0].filter(holds);
}

/** Whether matrices of these shapes can be trained in groups of this size, and packed so. */
export function fits(name: StorageName, shapes: readonly Shape[], groupSize: number): boolean {
  const divides = groupSize <= 0 || shapes.every(([, columns]) => columns % groupSize === 0);
  return divides && misfit(name, shapes) === undefined && (name === "f16" || packedFormats[name].holdsExactly(groupSize));
}

/** The group size for a format: the largest up to 128, else whole channels, else whole tensors. Undefined where none fits. */
export function groupFor(name: StorageName, shapes: readonly Shape[]): number | undefined {
  const sizes = fittingGroups(name, shapes);
  return sizes.findLast((size) => size > 0 && size <= preferredGroup) ?? sizes.find((size) => size <= 0);
}

/** Formats and group sizes that fit, for people: "q2_0 with 64, -1 or 0; dense with …". With a group size, the formats that hold that one. */
export function whatFits(shapes: readonly Shape[], groupSize?: number): string {
  const known = groupSize !== undefined;
  const names = storageNames.filter((name) => known ? fits(name, shapes, groupSize) : fittingGroups(name, shapes).length > 0);
  if (known) return names.join(", ");
  return names.map((name) => `${name} with ${alternatives(fittingGroups(name, shapes))}`).join("; ");
}

function alternatives(sizes: readonly number[]): string {
  const positive = sizes.filter((size) => size > 0);
  const shown = [...positive.slice(-mostShown), ...sizes.filter((size) => size <= 0)].map(String);
  return shown.length === 1 ? shown[0] : `${shown.slice(0, -1).join(", ")} or ${shown.at(-1)}`;
}

const mostShown = 3;

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/**
 * Hestia with fewer and with more codes than three.
 *
 * @module
 */

import { codebookOf } from "../release.ts";
import { hestiaOver } from "./hestia.ts";
import type { Quantizer } from "./quantizer.ts";

/** Name of a Hestia quantizer whose codes are not the ternary ones. */
export type HestiaCodebookName = "hestia_1bit" | "hestia_2bit";

const over = (bits: number, codebook: readonly number[]) =>
  hestiaOver(codebook, {
    name: `hestia_${bits}bit`,
    summary: `Softmax over the ${bits}-bit codes ${codebook.join(", ")}, hardened by a falling temperature`,
  });

/**
 * Hestia at 1 and at 2 bits, by name, as released: codes -1, 1 and -2, -1, 0, 1, the two's complement numbers, in units of the mean
 * magnitude of a group.
 */
export const hestiaCodebookQuantizers: Readonly<Record<HestiaCodebookName, Quantizer>> = {
  hestia_1bit: over(1, codebookOf("binary")),
  hestia_2bit: over(2, codebookOf("int2")),
};

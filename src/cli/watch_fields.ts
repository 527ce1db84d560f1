/**
 * Fields of a configuration that say what is measured and told while a run trains. None of them changes what is trained, but for `patience`.
 *
 * @module
 */

import * as v from "valibot";
import { count, flag, must, section, text } from "./fields.ts";

/** By section. */
export const watchFields = {
  /** Held-out text behind each reported loss. */
  evaluation: v.optional(
    section({
      batches: v.optional(count(), 16),
      /** Steps between two evaluations while training; none in between where absent. */
      everySteps: v.optional(count()),
      /** A phase ends, with its best model, once so many evaluations in a row were no better; never where absent. */
      patience: v.optional(count()),
      /** Tokens that the model writes at each evaluation in between; 0 for none. */
      sampleTokens: v.optional(count(0), 32),
    }),
    {},
  ),
  /** Of each tensor: shares of codes, flips, weights near a border, scale, temperature, gradient norm. */
  statistics: v.optional(
    section({
      /** Steps between two; none where 0. */
      everySteps: v.optional(count(0), 20),
    }),
    {},
  ),
  /** Where a run is told of besides its folder. */
  trackers: v.optional(
    section({
      /** Event files for TensorBoard, in `tensorboard/`. */
      tensorboard: v.optional(flag(), false),
      /** Address that is sent each record by POST, as Trackio's servers take it. */
      trackio: v.optional(
        v.pipe(text(), v.check((value) => URL.canParse(value), must("an address such as http://localhost:7860"))),
      ),
      /** Name of the project there. */
      project: v.optional(text(), "hestia"),
    }),
    {},
  ),
} as const;

/**
 * The progress of a calibration, which ends early where its result is known well enough.
 *
 * @module
 */

import type { CalibrationProgress } from "../pipeline/calibrate.ts";
import { type Progress, progress, type ProgressStream } from "./progress.ts";

/** Shows a calibration; `using` ends it. */
export interface ShownCalibration extends Disposable {
  update(news: Pick<CalibrationProgress, "probes" | "of" | "scaleError">): void;
}

/** Show a calibration that ends at a standard error of `tolerance`, 0.01 as `calibrate` has it where it is absent. */
export function showCalibration(
  { tolerance = 0.01, stream }: { readonly tolerance?: number; readonly stream?: ProgressStream },
): ShownCalibration {
  const shown: Progress = progress({ title: "calibration", unit: "probes", stream });
  return {
    update({ probes, of, scaleError }) {
      const known = Number.isFinite(scaleError);
      shown.expect(expectedProbes({ probes, of, scaleError }, tolerance));
      shown.update(probes, known ? `scales known to ${scaleError.toFixed(4)}` : "");
    },
    [Symbol.dispose]: () => shown.done(),
  };
}

/** Probes that it will take: a standard error falls with the root of their number. */
export function expectedProbes(
  { probes, of, scaleError }: { readonly probes: number; readonly of: number; readonly scaleError: number },
  tolerance: number,
): number {
  if (!Number.isFinite(scaleError) || tolerance <= 0) return of;
  return Math.min(of, Math.max(probes, Math.ceil(probes * (scaleError / tolerance) ** 2)));
}

import { estimate, gapClosed, median, pairedDifference, smoothed } from "../../src/experiment/statistics.ts";
import { standardErrorsBelow, summarize } from "../../src/experiment/summary.ts";
import { armNamed } from "../../src/experiment/arms.ts";
import type { ArmResult } from "../../src/experiment/run.ts";
import { formatEstimate, markdown } from "../../src/experiment/tables.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";

const close = (actual: number | null | undefined, wanted: number) =>
  ok(actual != null && Math.abs(actual - wanted) < 1e-12, `${actual} is not ${wanted}`);

Deno.test("means and standard errors, by hand", () => {
  // deviations -2, 0, 2: variance 8 / 2 = 4, standard error sqrt(4 / 3)
  const { mean, standardError, count } = estimate([1, 3, 5]);
  close(mean, 3);
  close(standardError, 2 / Math.sqrt(3));
  equal(count, 3);
  deepEqual(estimate([7]), { mean: 7, standardError: null, count: 1 });
  throws(() => estimate([]), RangeError);
  throws(() => estimate([1, NaN]), /Cannot average \[1,NaN\]: wanted at least one value, all of them finite/);
});

Deno.test("paired differences cancel what seeds share, and leave out seeds that one side lacks", () => {
  const a = new Map([[1, 10], [2, 21], [3, 33], [4, 0]]);
  const b = new Map([[1, 9], [2, 19], [3, 30], [5, 0]]);
  const { mean, standardError, count } = pairedDifference(a, b)!; // 1, 2, 3
  close(mean, 2);
  close(standardError, 1 / Math.sqrt(3));
  equal(count, 3);
  equal(pairedDifference(new Map([[1, 1]]), new Map([[2, 1]])), undefined);
  close(standardErrorsBelow({ mean: -0.3, standardError: 0.1, count: 3 }), 3);
  equal(standardErrorsBelow({ mean: -0.3, standardError: null, count: 1 }), null);
});

Deno.test("shares of gaps, medians and trailing means, by hand", () => {
  close(gapClosed({ arm: 2, rounded: 3, fullPrecision: 1 }), 0.5);
  close(gapClosed({ arm: 1, rounded: 3, fullPrecision: 1 }), 1);
  close(gapClosed({ arm: 4, rounded: 3, fullPrecision: 1 }), -0.5);
  equal(median([3, 1, 2]), 2);
  equal(median([4, 1, 3, 2]), 2.5);
  deepEqual(smoothed([1, 3, 5, 7], 2), [1, 2, 4, 6]);
});

const result = (arm: string, seed: number, lossNats: number): ArmResult => ({
  arm,
  seed,
  heldOut: { lossNats, perplexity: Math.exp(lossNats) },
  trainingLosses: [],
  pressures: [],
  temperatures: [],
  curve: [],
  weights: [],
  histogram: { limit: 1, counts: [1] },
  secondsPerStep: null,
});

Deno.test("summaries compare arms with equal seeds, and say nothing where an arm to compare with is missing", () => {
  const losses = { "full-precision": [1, 2], rounded: [3, 4], ste: [2, 3.2], hestia: [1.5, 2.5] };
  const results = Object.entries(losses).flatMap(([arm, values]) => values.map((loss, seed) => result(arm, seed, loss)));
  const arms = Object.keys(losses).map(armNamed);
  const [, rounded, ste, hestia] = summarize(results, arms);
  close(hestia.lossNats.mean, 2);
  close(hestia.gapClosed?.mean, 0.75);
  close(ste.gapClosed?.mean, 0.45);
  close(rounded.gapClosed?.mean, 0);
  close(hestia.difference?.mean, -0.6);
  close(hestia.difference?.standardError, 0.1);
  equal(ste.difference, null);
  const [, , compared, itself] = summarize(results, arms, "hestia");
  close(compared.difference?.mean, 0.6);
  equal(itself.difference, null);
  const [alone] = summarize([result("hestia", 1, 2)], [armNamed("ste"), armNamed("hestia")]);
  deepEqual([alone.arm, alone.gapClosed, alone.difference, alone.lossNats.standardError], ["hestia", null, null, null]);
});

Deno.test("numbers and tables as people read them", () => {
  equal(formatEstimate({ mean: 1.23456, standardError: 0.0123, count: 3 }, { digits: 3 }), "1.235 ± 0.012");
  equal(formatEstimate({ mean: 0.5, standardError: null, count: 1 }, { digits: 1, scale: 100 }), "50.0");
  equal(formatEstimate(null, { digits: 1 }), "–");
  equal(markdown({ heading: ["a", "b"], rows: [["x", "1"]] }), "| a | b |\n| --- | --: |\n| x | 1 |\n");
});

Deno.test("an unknown arm is refused with the list of arms", () => {
  throws(() => armNamed("stee"), /^RangeError: Cannot run the arm "stee": wanted one of full-precision, rounded, ste, /);
});

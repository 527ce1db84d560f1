import { learningRateMultiplier, type ScheduleOptions, scheduleStyles } from "../../src/optim/schedule.ts";
import { ok, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";

const at = (steps: readonly number[], options: ScheduleOptions) => steps.map((step) => learningRateMultiplier(step, options));
const base = { totalSteps: 103, warmupSteps: 13, minRatio: 0.2 };

Deno.test("learningRateMultiplier() rises along a line in every style, from the least multiplier or from zero", () => {
  const rise = (first: number) => [0, 1, 5, 12].map((step) => first + (1 - first) * step / 13);
  for (const style of scheduleStyles) {
    close(at([0, 1, 5, 12], { ...base, style }), rise(0.2), { absolute: 1e-12 });
    close(at([0, 1, 5, 12], { ...base, style, warmupStart: "zero" }), rise(0), { absolute: 1e-12 });
    close(at([0, 1, 5, 12], { ...base, style, recipe: "hestia-2025" }), rise(0), { absolute: 1e-12 });
    close(at([13], { ...base, style, stageBoundary: 0.9 }), [1], { absolute: 1e-12 });
  }
});

Deno.test("learningRateMultiplier() ends where it is told to", () => {
  const cosine = (share: number) => 0.2 + 0.4 * (1 + Math.cos(Math.PI * share));
  // a tenth of 103 steps, rounded down, is 10
  close(at([50, 92, 93, 97, 102, 103], { ...base, style: "wsd" }), [1, 1, 1, cosine(0.4), cosine(0.9), 0.2], { absolute: 1e-12 });
  close(at([92, 97], { ...base, style: "wsd", decaySteps: 17 }), [cosine(6 / 17), cosine(11 / 17)], { absolute: 1e-12 });
  close(at([54, 103], { ...base, style: "cosine" }), [cosine(41 / 90), 0.2], { absolute: 1e-12 });
  close(at([54, 103, 104], { ...base, style: "linear" }), [1 - 0.8 * 41 / 90, 0.2, 0.2], { absolute: 1e-12 });
  close(at([14, 102], { ...base, style: "constant" }), [1, 1], { absolute: 1e-12 });
  // half of 103 steps, rounded down, is 51; `twoStageLinear` does not round
  const halves = { ...base, firstScale: 0.9, secondScale: 0.5 };
  close(at([50, 51], { ...halves, style: "twoStage" }), [0.9 * cosine(37 / 90), 0.5 * cosine(38 / 90)], { absolute: 1e-12 });
  const rise = (first: number) => first + (1 - first) * 5 / 13; // the warm-up of a first stage is scaled as it is, a line's is not
  close(at([5], { ...halves, style: "twoStage" }), [0.9 * rise(0.2)], { absolute: 1e-12 });
  close(at([5], { ...halves, style: "twoStageLinear" }), [rise(0.2)], { absolute: 1e-12 });
  close(at([51, 52], { ...halves, style: "twoStageLinear" }), [0.9 * (1 - 38 / 103), 0.5 * (1 - 52 / 103)], { absolute: 1e-12 });
});

Deno.test("learningRateMultiplier() makes shares whole as each release does", () => {
  const shares = { totalSteps: 100, warmupRatio: 0.07, decayRatio: 0.29, minRatio: 0 };
  close(at([7, 8, 72, 73], shares), [7 / 8, 1, 1, (1 + Math.cos(Math.PI / 28)) / 2], { absolute: 1e-12 }); // up, and 28.999… down
  close(at([6, 7], { ...shares, recipe: "hestia-2025" }), [6 / 7, 1], { absolute: 1e-12 });
  close(at([6, 7], { ...shares, warmupRounding: "down" }), [6 / 7, 1], { absolute: 1e-12 });
  // a decay that would begin within the warm-up: the rate jumps into it, or it begins later and is shorter
  const crowded = { totalSteps: 53, warmupSteps: 50, decayRatio: 0.25, minRatio: 0.1 };
  const cosine = (share: number) => 0.1 + 0.45 * (1 + Math.cos(Math.PI * share));
  close(at([50, 52], crowded), [cosine(10 / 13), cosine(12 / 13)], { absolute: 1e-12 });
  close(at([50, 52], { ...crowded, decayAfterWarmup: true }), [1, cosine(2 / 3)], { absolute: 1e-12 });
  // shorter than a step
  close(at([6, 7], { totalSteps: 7, decayRatio: 0.1 }), [1, 0.1]);
});

Deno.test("learningRateMultiplier() stays from 0 to 1 where phases are empty or overlap", () => {
  for (const style of scheduleStyles) {
    for (
      const options of [{ totalSteps: 1 }, { totalSteps: 5, warmupSteps: 5 }, { totalSteps: 7, decayRatio: 0 }, {
        totalSteps: 7,
        decayRatio: 1,
      }]
    ) {
      const multipliers = at([0, 1, 3, 4, 5, 6, 7], { ...options, style });
      ok(multipliers.every((value) => value >= 0 && value <= 1), `${style} ${JSON.stringify(options)}: ${multipliers}`);
    }
  }
});

Deno.test("learningRateMultiplier() refuses numbers that are none, and rules that there are not", () => {
  const wrong: [ScheduleOptions, RegExp][] = [
    [{ totalSteps: NaN }, /totalSteps NaN: wanted a finite number of at least 0/],
    [{ ...base, warmupSteps: -1 }, /warmupSteps -1/],
    [{ ...base, decaySteps: Infinity }, /decaySteps Infinity/],
    [{ ...base, minRatio: NaN }, /minRatio NaN/],
    [{ totalSteps: 7, warmupRatio: 1.5 }, /warmupRatio 1\.5: wanted a number from 0 to 1/],
    [{ totalSteps: 7, decayRatio: -0.1 }, /decayRatio -0\.1/],
    [{ ...base, stageBoundary: 51 }, /stageBoundary 51/],
    [{ ...base, firstScale: NaN }, /firstScale NaN/],
    [{ ...base, warmupRounding: "even" as "up" }, /rule warmupRounding even: wanted "up" or "down"/],
    [{ ...base, warmupStart: "end" as "zero" }, /rule warmupStart end: wanted "minimum" or "zero"/],
  ];
  for (const [options, message] of wrong) throws(() => learningRateMultiplier(0, options), message);
  for (const step of [-1, NaN, Infinity]) {
    throws(() => learningRateMultiplier(step, base), /at the step .*: wanted a finite number/);
  }
});

Deno.test("learningRateMultiplier() refuses an unknown style", () => {
  throws(
    () => learningRateMultiplier(0, { totalSteps: 1, style: "step" as "wsd" }),
    /in the style "step": wanted one of wsd, cosine/,
  );
});

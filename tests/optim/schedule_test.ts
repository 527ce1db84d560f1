import { learningRateMultiplier, type ScheduleOptions, scheduleStyles } from "../../src/optim/schedule.ts";
import { ok, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";

const at = (steps: readonly number[], options: ScheduleOptions) => steps.map((step) => learningRateMultiplier(step, options));
const base = { totalSteps: 100, warmupSteps: 10, minRatio: 0.2 };

Deno.test("learningRateMultiplier() rises along a line in every style", () => {
  for (const style of scheduleStyles) close(at([0, 1, 5, 9, 10], { ...base, style }), [0, 0.1, 0.5, 0.9, 1], { absolute: 1e-12 });
});

Deno.test("learningRateMultiplier() ends where it is told to", () => {
  close(at([50, 89, 90, 95, 100], { ...base, style: "wsd" }), [1, 1, 1, 0.6, 0.2], { absolute: 1e-12 });
  close(at([55, 100], { ...base, style: "cosine" }), [0.6, 0.2], { absolute: 1e-12 });
  close(at([55, 100, 101], { ...base, style: "linear" }), [0.6, 0.2, 0.2], { absolute: 1e-12 });
  close(at([11, 99], { ...base, style: "constant" }), [1, 1], { absolute: 1e-12 });
  close(at([55, 100], { ...base, style: "twoStage", secondScale: 0.5 }), [0.3, 0.1], { absolute: 1e-12 });
  close(at([49, 50, 100], { ...base, style: "twoStageLinear", secondScale: 0.5 }), [0.61, 0.25, 0], { absolute: 1e-12 });
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

Deno.test("learningRateMultiplier() refuses an unknown style", () => {
  throws(
    () => learningRateMultiplier(0, { totalSteps: 1, style: "step" as "wsd" }),
    /in the style "step": wanted one of wsd, cosine/,
  );
});

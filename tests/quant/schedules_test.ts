/** Annealing, the initial temperature, and Hessian guidance: what the host computes. */

import { annealing } from "../../src/quant/annealing.ts";
import { temperatureScaleOf, temperatureScales } from "../../src/quant/guidance.ts";
import { expectedError, initialTemperature, optimalTemperature, softQuantize } from "../../src/quant/temperature.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";

Deno.test("annealing() compresses in the first fifth and cools in the rest", () => {
  const schedule = annealing({ totalSteps: 1000, initialTemperature: 0.4 });
  deepEqual(schedule.at(0), { temperature: 0.4, pressure: 0, hard: false });
  deepEqual(schedule.at(100), { temperature: 0.4, pressure: 0.5, hard: false });
  deepEqual(schedule.at(200), { temperature: 0.4, pressure: 1, hard: false });
  close([schedule.at(600).temperature], [0.2], { absolute: 1e-12 });
  deepEqual(schedule.at(1000), { temperature: 0, pressure: 1, hard: true });
  deepEqual(schedule.at(2000), { temperature: 0, pressure: 1, hard: true });
});

Deno.test("annealing() keeps a tensor's scale at every step, so that no temperature jumps", () => {
  for (const style of ["cosine", "linear"] as const) {
    const schedule = annealing({ totalSteps: 1000, style, endTemperature: 0.05 });
    for (let step = 0; step < 1000; step++) {
      close([schedule.at(step, { scale: 0.7 }).temperature], [0.7 * schedule.at(step).temperature], { relative: 1e-14 });
      ok(Math.abs(schedule.at(step, { scale: 0.7 }).temperature - schedule.at(step + 1, { scale: 0.7 }).temperature) < 1e-3);
    }
    close([schedule.at(1000).temperature], [0.05], { relative: 1e-12 });
  }
});

Deno.test("annealing() ends in the hard steps that it is told to", () => {
  const schedule = annealing({ totalSteps: 100, hardSteps: 10, endTemperature: 0.01 });
  deepEqual(schedule.at(89).hard, false);
  ok(schedule.at(89).temperature > 0.01);
  for (let step = 90; step < 100; step++) deepEqual(schedule.at(step, { scale: 2 }), { temperature: 0, pressure: 1, hard: true });
  equal(annealing({ totalSteps: 10, compressRatio: 0 }).at(0).pressure, 1);
  equal(annealing({ totalSteps: 10, annealRatio: 0 }).at(10).temperature, initialTemperature);
});

Deno.test("annealing() refuses settings outside of their ranges", () => {
  throws(() => annealing({ totalSteps: 10, compressRatio: 2 }), /Cannot anneal with compressRatio 2: wanted 0 to 1/);
  throws(() => annealing({ totalSteps: NaN }), /Cannot anneal over totalSteps NaN: wanted an integer of at least 0/);
  throws(() => annealing({ totalSteps: -5 }), /Cannot anneal over totalSteps -5/);
  throws(() => annealing({ totalSteps: 10, hardSteps: 11 }), /hardSteps 11: wanted 0 to 10/);
  throws(() => annealing({ totalSteps: 10, initialTemperature: NaN }), /initialTemperature NaN: wanted a finite number/);
  throws(() => annealing({ totalSteps: 10, style: "step" as "linear" }), /style "step": wanted one of cosine, linear/);
});

Deno.test("optimalTemperature() finds the temperature that theory names", () => {
  close([optimalTemperature()], [initialTemperature], { absolute: 1e-11 });
  close([optimalTemperature({ bounds: [0.3, 0.4] })], [0.3508852511], { absolute: 1e-9 });
  close([expectedError(initialTemperature), expectedError(0)], [0.3675947463, 0.4137191179], { absolute: 1e-10 });
  for (const offset of [-1e-3, 1e-3]) ok(expectedError(initialTemperature + offset) > expectedError(initialTemperature));
  throws(() => optimalTemperature({ bounds: [0.5, 2] }), /no minimum inside/);
  throws(() => expectedError(-1), /temperature -1: wanted a finite number of at least 0/);
});

Deno.test("expectedError() is accurate at low temperatures, where the integrand is steep", () => {
  for (const temperature of [1e-3, 0.02, 0.35, 3]) {
    const deviation = Math.sqrt(Math.PI / 2);
    const [step, count] = [1e-4, 140_000];
    let sum = 0; // the trapezoidal rule, which is exact enough for so smooth an integrand
    for (let index = -count; index <= count; index++) {
      const z = index * step;
      sum += (softQuantize(z, { temperature }) - z) ** 2 * Math.exp(-0.5 * (z / deviation) ** 2);
    }
    close([expectedError(temperature)], [sum * step / (deviation * Math.sqrt(2 * Math.PI))], { absolute: 1e-10 });
  }
  close([expectedError(1e-9)], [expectedError(0)], { absolute: 1e-8 });
});

Deno.test("temperatureScales() gives curved tensors lower temperatures, by name", () => {
  const { scores, temperatureScales: scales, clamped } = temperatureScales({ flat: 1, middle: 10, sharp: 100 }, { alpha: 0.4 });
  close([scores.middle, scales.middle], [0.5, Math.exp(-0.2)], { relative: 1e-12 });
  const sigmoid = 1 / (1 + Math.exp(-Math.sqrt(1.5)));
  close([scores.sharp, scores.flat], [sigmoid, 1 - sigmoid], { relative: 1e-7 });
  ok(scales.sharp < scales.middle && scales.middle < scales.flat);
  deepEqual(clamped, []);
  ok(temperatureScales({ flat: 1, sharp: 100 }, { alpha: -0.4 }).temperatureScales.sharp > 1);
});

Deno.test("temperatureScales() counts negative traces as flat, says so, and refuses what is no number", () => {
  const { clamped, temperatureScales: scales } = temperatureScales({ a: -3, b: 2, c: 1e-9 });
  deepEqual(clamped, ["a", "c"]);
  equal(scales.a, scales.c);
  throws(() => temperatureScales({ a: NaN }), /Cannot guide the temperature of "a" by a trace of NaN/);
  throws(() => temperatureScales({}), /wanted at least one trace/);
});

Deno.test("temperatureScaleOf() refuses a tensor that was not calibrated", () => {
  equal(temperatureScaleOf({ a: 0.7 }, "a"), 0.7);
  throws(
    () => temperatureScaleOf({ a: 0.7 }, "toString"),
    /Cannot scale the temperature of "toString": there are scales for a; calibrate again/,
  );
});

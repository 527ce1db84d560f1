/** Annealing, the initial temperature, and Hessian guidance: what the host computes. */

import { annealing } from "../../src/quant/annealing.ts";
import { temperatureScaleOf, temperatureScales } from "../../src/quant/guidance.ts";
import { expectedError, initialTemperature, optimalTemperature, softQuantize } from "../../src/quant/temperature.ts";
import { deepEqual, equal, ok, throws } from "../assert.ts";
import { close } from "../support/numbers.ts";

Deno.test("annealing() compresses in the first fifth and cools in the rest", () => {
  const schedule = annealing({ totalSteps: 1009 });
  deepEqual(schedule.at(0), { temperature: 0.3, pressure: 0, hard: false });
  close([schedule.at(101).pressure, schedule.at(201).pressure, schedule.at(202).pressure], [101 / 201.8, 201 / 201.8, 1], {
    relative: 1e-14,
  });
  equal(schedule.at(201).temperature, 0.3);
  for (const step of [202, 605, 1008]) {
    const wanted = 0.15 * (1 + Math.cos(Math.PI * (step - 201.8) / (1009 - 201.8)));
    close([schedule.at(step).temperature], [wanted], { absolute: 1e-14 });
  }
  for (const step of [1009, 2000]) deepEqual(schedule.at(step), { temperature: 0, pressure: 1, hard: true });
});

Deno.test("annealing() of 2025 cools in the last share of the steps, however long it compresses", () => {
  const options = { recipe: "hestia-2025", totalSteps: 211, compressRatio: 0.13 } as const;
  equal(annealing(options).at(0).temperature, 0.3508855607);
  const first = (schedule: ReturnType<typeof annealing>) =>
    Array.from({ length: 211 }, (_, step) => step).find((step) => schedule.at(step).temperature < schedule.at(0).temperature);
  equal(first(annealing(options)), 43); // after 0.2 of the steps, 42.2
  equal(first(annealing({ ...options, recipe: "hestia-2026" })), 28); // after compression, 27.43
  equal(first(annealing({ ...options, annealRatio: 0.37 })), 133); // after 0.63, 132.93
});

Deno.test("annealing() keeps a tensor's scale at every step, so that no temperature jumps", () => {
  for (const style of ["cosine", "linear"] as const) {
    const schedule = annealing({ totalSteps: 997, style, endTemperature: 0.05 });
    for (let step = 0; step < 997; step++) {
      close([schedule.at(step, { scale: 0.7 }).temperature], [0.7 * schedule.at(step).temperature], { relative: 1e-14 });
      ok(Math.abs(schedule.at(step, { scale: 0.7 }).temperature - schedule.at(step + 1, { scale: 0.7 }).temperature) < 1e-3);
    }
    close([schedule.at(997).temperature], [0.05], { relative: 1e-12 });
  }
});

Deno.test("annealing() ends in the hard steps that it is told to", () => {
  const schedule = annealing({ totalSteps: 103, hardSteps: 11, endTemperature: 0.01 });
  deepEqual(schedule.at(91).hard, false);
  ok(schedule.at(91).temperature > 0.01);
  for (let step = 92; step < 103; step++) deepEqual(schedule.at(step, { scale: 2 }), { temperature: 0, pressure: 1, hard: true });
  equal(annealing({ totalSteps: 13, compressRatio: 0 }).at(0).pressure, 1);
  equal(annealing({ totalSteps: 13, annealRatio: 0 }).at(13).temperature, 0.3);
});

Deno.test("annealing() refuses settings outside of their ranges", () => {
  throws(() => annealing({ totalSteps: 10, compressRatio: 2 }), /Cannot anneal with compressRatio 2: wanted 0 to 1/);
  throws(() => annealing({ totalSteps: 10, compressRatio: 1 }), /compressRatio 1: wanted less, or an annealRatio/);
  throws(() => annealing({ totalSteps: NaN }), /Cannot anneal over totalSteps NaN: wanted an integer of at least 0/);
  throws(() => annealing({ totalSteps: -5 }), /Cannot anneal over totalSteps -5/);
  throws(() => annealing({ totalSteps: 10, hardSteps: 11 }), /hardSteps 11: wanted 0 to 10/);
  throws(() => annealing({ totalSteps: 10, initialTemperature: NaN }), /initialTemperature NaN: wanted a finite number/);
  throws(() => annealing({ totalSteps: 10, style: "step" as "linear" }), /style "step": wanted one of cosine, linear/);
});

Deno.test("annealing() refuses steps and scales that are none, and guidance rules", () => {
  const schedule = annealing({ totalSteps: 7 });
  for (const step of [-1, NaN]) throws(() => schedule.at(step), /Cannot anneal at the step (-1|NaN): wanted a finite number/);
  for (const scale of [-1, NaN, Infinity]) throws(() => schedule.at(1, { scale }), /at the scale .*: wanted a finite number/);
  const traces = { a: 1, b: 2 };
  for (const minimumTrace of [0, NaN]) {
    throws(() => temperatureScales(traces, { minimumTrace }), /rule minimumTrace (0|NaN): wanted/);
  }
  throws(() => temperatureScales(traces, { alpha: NaN }), /rule alpha NaN: wanted a finite number/);
  throws(() => temperatureScales(traces, { kappa: Infinity }), /rule kappa Infinity/);
  throws(() => temperatureScales(traces, { statistics: "some" as "all" }), /rule statistics some: wanted "quantized" or "all"/);
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

Deno.test("temperatureScales() gives curved tensors higher temperatures, or lower ones as the code of 2025 does", () => {
  const traces = { flat: 1, middle: 10, sharp: 100 };
  const { scores, temperatureScales: scales, clamped } = temperatureScales(traces);
  close([scores.middle, scales.middle], [0.5, Math.exp(0.2)], { relative: 1e-12 });
  const sigmoid = 1 / (1 + Math.exp(-Math.sqrt(1.5)));
  close([scores.sharp, scores.flat], [sigmoid, 1 - sigmoid], { relative: 1e-7 });
  ok(scales.sharp > scales.middle && scales.middle > scales.flat);
  deepEqual(clamped, []);
  close([temperatureScales(traces, { recipe: "hestia-2025" }).temperatureScales.sharp], [Math.exp(-0.5 * sigmoid)], {
    relative: 1e-7,
  });
  close([temperatureScales(traces, { sensitive: "cooler" }).temperatureScales.sharp], [Math.exp(-0.4 * sigmoid)], {
    relative: 1e-7,
  });
  close([temperatureScales(traces, { alpha: -0.4 }).temperatureScales.sharp], [Math.exp(-0.4 * sigmoid)], { relative: 1e-7 });
  throws(() => temperatureScales(traces, { sensitive: "warmer" as "hotter" }), /sensitive warmer: wanted "hotter" or "cooler"/);
});

Deno.test("temperatureScales() counts the quantized tensors alone, or all that have a trace, and names those without", () => {
  const traces = { a: 1, b: 100, head: 1e9 };
  const names = ["a", "b", "c"];
  const own = temperatureScales(traces, { names });
  deepEqual(own.missing, ["c"]);
  deepEqual([own.scores.c, own.temperatureScales.c, Object.keys(own.temperatureScales)], [undefined, 1, names]);
  close([own.logMean], [Math.log(100) / 2], { relative: 1e-14 });
  close([temperatureScales(traces, { names, statistics: "all" }).logMean], [Math.log(1e11) / 3], { relative: 1e-14 });
});

Deno.test("temperatureScales() counts negative traces as flat, says so, and refuses what is no number", () => {
  for (const [recipe, least, more] of [["hestia-2026", 1e-13, 1e-9], ["hestia-2025", 1e-9, 1e-7]] as const) {
    const { clamped, temperatureScales: scales } = temperatureScales({ a: -3, b: 2, c: least, d: more }, { recipe });
    deepEqual(clamped, ["a", "c"]);
    equal(scales.a, scales.c);
    ok(scales.d !== scales.c);
  }
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

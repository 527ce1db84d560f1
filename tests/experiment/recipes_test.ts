import { loadExperimentConfig, settingsOf } from "../../src/cli/experiment_config.ts";
import { armNamed } from "../../src/experiment/arms.ts";
import { armOptions, guidanceOf } from "../../src/experiment/settings.ts";
import { scaleOfScore } from "../../src/quant/guidance.ts";
import { rulesOf } from "../../src/recipes.ts";
import { deepEqual, equal } from "../assert.ts";
import { close } from "../support/numbers.ts";

Deno.test("an arm that follows a release does so in all that its recipe says, and keeps the rest of the configuration", async () => {
  const path = new URL("../../configs/experiment.json", import.meta.url).pathname;
  const settings = settingsOf(await loadExperimentConfig(path));
  const of = (name: string) => {
    const arm = armNamed(name);
    const options = armOptions(arm, settings);
    return {
      weights: rulesOf("weights", options),
      temperature: rulesOf("annealing", { recipe: options.recipe, ...options.annealing }).initialTemperature,
      warmup: rulesOf("schedule", { recipe: options.recipe, ...options.schedule }).warmupStart,
      divisor: rulesOf("objective", { recipe: options.recipe, ...options.objective }).divisor,
      scale: scaleOfScore(1, guidanceOf(arm, settings)),
      options,
    };
  };
  const [own, then, now] = ["hestia-0.4", "hestia-2025", "hestia-2026"].map(of);
  deepEqual([own.weights, now.weights === then.weights], [then.weights, false]);
  deepEqual([then, now].map(({ temperature, warmup, divisor }) => [temperature, warmup, divisor]), [
    [0.3508855607, "zero", "predicted"],
    [0.3, "minimum", "labels"],
  ]);
  deepEqual([own.temperature, own.warmup, own.divisor], [0.350885250959, "zero", "predicted"]);
  deepEqual([now.weights.scaleRule, now.weights.scaleGradient], ["offset", false]);
  close([own.scale, then.scale, now.scale], [Math.exp(-0.4), Math.exp(-0.5), Math.exp(0.4)], { relative: 1e-14 });
  for (const { options } of [then, now]) {
    deepEqual([options.steps, options.groupSize, options.schedule?.warmupSteps], [300, 64, 10]);
    equal(options.learningRate, 0.002);
  }
  deepEqual(armOptions(armNamed("hestia-detached"), settings).scaleGradient, false);
});

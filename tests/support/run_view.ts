/**
 * A run as its page shows it, made of numbers of no training.
 *
 * @module
 */

import type { RunView } from "../../src/report/run_page.ts";
import { columnsOf, tensorColumnsOf, thinned } from "../../src/report/thinned.ts";

/** Lines of `metrics.jsonl` of one phase. */
export function exampleSteps(count: number) {
  return Array.from({ length: count }, (_, index) => ({
    step: index + 1,
    lossNats: 3 + Math.sin(index * 1.7) / (1 + index / 50) + 2 / (1 + index / 20),
    learningRate: 1e-3 * Math.min(1, (index + 1) / 20),
    gradientNorm: 1.5 + Math.cos(index),
    pressure: Math.min(1, index / 30),
    tokensPerSecond: 900 + 100 * Math.sin(index / 9),
  }));
}

/** A run of so many quantized steps behind ten in full precision. */
export function exampleRun(name: string, count: number): RunView {
  const steps = exampleSteps(count);
  const evaluated = steps.filter(({ step }) => step % 20 === 0);
  const weights = ["q_proj", "v_proj"].flatMap((part) => [0, 1].map((layer) => `model.layers.${layer}.self_attn.${part}.weight`));
  const statistics = (step: number) => ({
    ...{ gradientNorm: 0.5, shares: [0.3, 0.4 - 1e-4 * step, 0.3 + 1e-4 * step], nearBorder: 0.05, scale: 0.02 },
    ...{ flips: 1 / step, temperature: 1 - step / count },
  });
  return {
    ...{ name, state: "finished", started: "2026-11-29T00:00:00Z", pretrainSteps: 10 },
    config: { seed: name, "quantize.steps": `${count}` },
    metrics: { pretrain: columnsOf(exampleSteps(10)), quantize: columnsOf(thinned(steps, 2000, "lossNats")) },
    heldOut: {
      quantize: columnsOf(evaluated.map(({ step, lossNats }) => ({
        ...{ step, heldOutLossNats: lossNats + 0.2, latentLossNats: lossNats + 0.1, sample: `<b>text of ${step}</b>` },
      }))),
    },
    tensors: {
      quantize: tensorColumnsOf(
        evaluated.slice(0, 150).map(({ step }) => ({
          step,
          tensors: Object.fromEntries(weights.map((weight) => [weight, statistics(step)])),
        })),
      ),
    },
    calibration: { traces: Object.fromEntries(weights.map((weight, at) => [weight, 10 ** at])) },
    losses: [{ model: "packed", lossNats: 3.25, perplexity: Math.exp(3.25) }],
    sample: "</script><script>globalThis.broken = true</script>",
    checkpoints: [{ folder: "quantize/step-00000020", step: 20, bytes: 1e6 }],
    ...{ seconds: { quantize: 12 }, memoryBytes: { quantize: 5e6 } },
  };
}

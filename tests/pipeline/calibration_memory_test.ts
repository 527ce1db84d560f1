/** What probes need of a device's memory, as planned, against what the documentation of `calibrate` says. */

import { initialModel, llama, type Tensor, tensor, useBackend } from "../../mod.ts";
import { lower } from "../../src/compile/lower.ts";
import { quantizedNames } from "../../src/llama/parameters.ts";
import { languageModelLoss } from "../../src/pipeline/data.ts";
import { squaredGradients } from "../../src/quant/gauss_newton.ts";
import { jointProducts } from "../../src/quant/traces.ts";
import { ok } from "../assert.ts";
import { flat, smallTarget } from "../support/compiler.ts";

const sizes = { vocabularySize: 64, hiddenSize: 64, heads: 4, keyValueHeads: 2, intermediateSize: 192 };
const target = { ...smallTarget, limits: { ...smallTarget.limits, maxStorageBuffers: 16 } };
type Curvature = "hessian" | "gauss-newton";

/** Bytes of scratch memory that each further layer adds to a probe, and the weights that it adds. */
function perLayer(curvature: Curvature, { tokens, recomputeEvery }: { tokens: number; recomputeEvery: number }) {
  const [one, two] = [1, 2].map((layers) => {
    const { config, parameters } = initialModel({ ...sizes, layers }, { seed: 1 });
    const names = quantizedNames(config);
    const ids = () => tensor(new Uint32Array(tokens), { shape: [1, tokens] });
    const batch = { inputs: ids(), targets: ids() };
    const seeds = Object.fromEntries(names.map((name, seed) => [name, tensor(Uint32Array.of(seed), { shape: [] })]));
    const lengths = Object.fromEntries(names.map((name) => [name, tensor(Float32Array.of(2), { shape: [] })]));
    const loss = (each: typeof parameters, of: Record<string, Tensor>) => languageModelLoss(config, each, of, { recomputeEvery });
    const logits = (each: typeof parameters, of: Record<string, Tensor>) =>
      llama({ config, parameters: each }, of.inputs, { recomputeEvery });
    const outputs = curvature === "hessian"
      ? jointProducts(loss, { parameters, batch, seeds, lengths }, names)
      : squaredGradients(logits, { parameters, batch, seed: seeds[names[0]] }, names);
    const bytes = lower(flat(outputs), target).scratchBytes.reduce((sum, each) => sum + each, 0);
    return { bytes, weights: names.reduce((sum, name) => sum + parameters[name].size, 0) };
  });
  return { bytes: two.bytes - one.bytes, weights: two.weights - one.weights };
}

Deno.test("a probe of the Hessian holds at most eight bytes a weight, and less of activations where they are computed again", async () => {
  await useBackend("webgpu");
  const { bytes: few, weights } = perLayer("hessian", { tokens: 1, recomputeEvery: 0 });
  ok(few > 4 * weights && few < 9 * weights, `${few / weights} bytes for each weight`);
  const activations = (recomputeEvery: number) => perLayer("hessian", { tokens: 64, recomputeEvery }).bytes - 8 * weights;
  const kept = activations(0) / (64 * (7 * sizes.hiddenSize + 3 * sizes.intermediateSize));
  ok(kept > 15 && kept < 27, `${kept} bytes for each token and element of a layer`);
  ok(activations(1) < 0.7 * activations(0), `${activations(1)} against ${activations(0)} bytes of activations`);
});

Deno.test("a probe of the Gauss-Newton matrix holds activations alone, and nothing for each weight", async () => {
  await useBackend("webgpu");
  const { bytes, weights } = perLayer("gauss-newton", { tokens: 1, recomputeEvery: 0 });
  ok(bytes < 0.2 * weights, `${bytes} bytes for ${weights} weights`);
  const [kept, again] = [0, 1].map((recomputeEvery) => perLayer("gauss-newton", { tokens: 64, recomputeEvery }).bytes);
  const perElement = kept / (64 * (7 * sizes.hiddenSize + 3 * sizes.intermediateSize));
  ok(perElement > 3 && perElement < 5, `${perElement} bytes for each token and element of a layer`);
  ok(again < 0.4 * kept, `${again} against ${kept} bytes`);
});

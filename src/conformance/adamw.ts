/**
 * Cases of the optimizer.
 *
 * @module
 */

import { adamw, type AdamWOptions, initialMoments, type Moments } from "../optim/adamw.ts";
import type { Tensor } from "../tensor.ts";
import { compile } from "../trace.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

interface Inputs {
  readonly parameters: Record<string, Tensor>;
  readonly gradients: Record<string, Tensor>;
  readonly moments: { first: Record<string, Tensor>; second: Record<string, Tensor> };
  readonly step: Tensor;
  readonly learningRate: Tensor;
}

/** `adamw`: several steps of one compiled update, whose learning rate and step are inputs. */
export function adamwCase(recorded: Case): Computed[] {
  const update = compile(({ learningRate, ...state }: Inputs) => adamw(state, { ...settingsOf(recorded), learningRate }));
  const rates = recorded.parameter("lr");
  let parameters = recorded.inputsUnder("p0.");
  let moments: Moments = initialMoments(parameters);
  const computed: Computed[] = [];
  const norms: Tensor[] = [];
  for (let step = 1; step <= recorded.number("steps"); step++) {
    const learningRate = Array.isArray(rates) ? Number(rates[step - 1]) : recorded.number("lr");
    const gradients = recorded.inputsUnder(`g${step}.`);
    const result = update({ parameters, gradients, moments, step, learningRate });
    ({ parameters, moments } = result);
    norms.push(result.gradientNorm);
    for (const [name, value] of Object.entries(parameters)) computed.push({ role: `p${step}.${name}`, value });
  }
  if (recorded.hasOutput("grad_norms")) computed.push({ role: "grad_norms", value: norms });
  return computed;
}

function settingsOf(recorded: Case): Omit<AdamWOptions, "learningRate"> {
  const [beta1, beta2] = recorded.parameter("betas") as [number, number];
  const undecayed = recorded.texts("no_decay");
  return {
    beta1,
    beta2,
    epsilon: recorded.number("eps"),
    weightDecay: recorded.number("weight_decay"),
    clipNorm: recorded.number("clip_norm"),
    decays: (name) => !undecayed.includes(name),
  };
}

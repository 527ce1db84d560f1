/**
 * Cases of single operations of a model, with their gradients.
 *
 * @module
 */

import { gradients } from "../autodiff/gradients.ts";
import { llamaConfig } from "../llama/config.ts";
import { swiglu } from "../nn/activation.ts";
import { crossEntropy } from "../nn/loss.ts";
import { rmsNorm } from "../nn/normalization.ts";
import { rotaryTable } from "../nn/rotary.ts";
import type { Tensor } from "../tensor.ts";
import type { Case } from "./case.ts";
import type { Computed } from "./compare.ts";

/** An output `y` and the gradients of the sum of `y * g` for the named inputs. */
function withGradients(recorded: Case, y: Tensor, names: readonly string[]): Computed[] {
  const slopes = gradients(y.mul(recorded.input("g")).sum(), names.map((name) => recorded.input(name)));
  return [{ role: "y", value: y }, ...names.map((name, index) => ({ role: `d${name}`, value: slopes[index] }))];
}

/** `rmsnorm` */
export function rmsNormCase(recorded: Case): Computed[] {
  const y = rmsNorm(recorded.input("x"), recorded.input("weight"), { epsilon: recorded.number("eps") });
  return withGradients(recorded, y, ["x", "weight"]);
}

/** `swiglu` */
export function swigluCase(recorded: Case): Computed[] {
  return withGradients(recorded, swiglu(recorded.input("gate"), recorded.input("up")), ["gate", "up"]);
}

/** `cross_entropy` */
export function crossEntropyCase(recorded: Case): Computed[] {
  const logits = recorded.input("logits");
  const loss = crossEntropy(logits, recorded.input("labels"), { ignoreIndex: recorded.number("ignore_index", -100) });
  return [{ role: "loss", value: loss }, { role: "dlogits", value: gradients(loss, [logits])[0] }];
}

/** `rope_table` */
export function ropeTableCase(recorded: Case): Computed[] {
  const headDim = recorded.number("head_dim");
  const { ropeTheta, ropeScaling } = llamaConfig({
    vocab_size: 1,
    hidden_size: headDim,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    head_dim: headDim,
    intermediate_size: 1,
    rope_theta: recorded.number("rope_theta"),
    rope_scaling: recorded.parameter("rope_scaling") as undefined,
  });
  const positions = recorded.values("positions");
  const { cos, sin, inverseFrequencies } = rotaryTable({ headDim, theta: ropeTheta, scaling: ropeScaling, positions });
  const computed: Computed[] = [
    { role: "inv_freq", value: inverseFrequencies },
    { role: "inv_freq_hf_f32", value: inverseFrequencies, tolerance: "float32Arithmetic" },
    { role: "cos", value: cos },
    { role: "sin", value: sin },
  ];
  return computed.filter(({ role }) => recorded.hasOutput(role));
}

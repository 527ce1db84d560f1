/**
 * One Llama block, with its derivatives: the work by which kernels and fusion are judged.
 *
 * @module
 */

import { gradients, hessianVectorProduct, ones, randomNormal, realize, rotaryTable, type Shape, type Tensor } from "../mod.ts";
import { llamaConfig } from "../src/llama/config.ts";
import { llamaBlock, plainProject } from "../src/llama/model.ts";
import { parameterShapes } from "../src/llama/parameters.ts";

const tokens = 128;
const config = llamaConfig({
  model_type: "llama",
  vocab_size: 1,
  hidden_size: 256,
  num_hidden_layers: 1,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  intermediate_size: 768,
});
const shapes = Object.entries(parameterShapes(config)).filter(([name]) => name.startsWith("model.layers."));

/** What the work is done on. */
export interface BlockInputs {
  /** `[1, tokens, hidden]`. */
  readonly h: Tensor;
  readonly parameters: Readonly<Record<string, Tensor>>;
  /** One tensor of the shape of `h`, then of each parameter. */
  readonly directions: readonly Tensor[];
  readonly rotary: { readonly cos: Tensor; readonly sin: Tensor };
}

/** Inputs of a usual size: 128 tokens, 256 wide, 8 heads, 768 in the middle. */
export function blockInputs(): BlockInputs {
  const { headDim, ropeTheta: theta, hiddenSize } = config;
  const all: Shape[] = [[1, tokens, hiddenSize], ...shapes.map(([, shape]) => shape)];
  const random = (shape: Shape, seed: number) => randomNormal(shape, { seed }).mul(0.05);
  const directions = realize(all.map((shape, k) => random(shape, k)));
  const [h, ...weights] = realize(all.map((shape, k) => shape.length === 1 ? ones(shape) : random(shape, 100 + k)));
  const { cos, sin } = rotaryTable({ headDim, theta, length: tokens });
  return {
    h,
    parameters: Object.fromEntries(weights.map((weight, k) => [shapes[k][0], weight])),
    directions,
    rotary: { cos, sin },
  };
}

function output({ h, parameters, rotary }: BlockInputs): Tensor {
  return llamaBlock(h, 0, { config, parameters, project: plainProject(parameters), rotary }).output;
}

const loss = (inputs: BlockInputs): Tensor => output(inputs).square().mean();
const differentiated = ({ h, parameters }: BlockInputs): Tensor[] => [h, ...Object.values(parameters)];

/** Each piece of work as a function of the inputs. Derivatives are those of the mean square, over the input and all weights. */
export const blockWorks: Readonly<Record<string, (inputs: BlockInputs) => Tensor[]>> = {
  "forward": (inputs) => [output(inputs)],
  "forward and backward": (inputs) => {
    const value = loss(inputs);
    return [value, ...gradients(value, differentiated(inputs))];
  },
  "Hessian-vector product": (inputs) => hessianVectorProduct(loss(inputs), differentiated(inputs), inputs.directions),
};

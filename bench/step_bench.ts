/** Whole steps of a Llama model: what replaying costs the host, and what the steps of the quickstart cost. */

import {
  adamw,
  batchAt,
  type BatchSize,
  compile,
  gradients,
  hessianVectorProduct,
  initialModel,
  initialMoments,
  type LlamaModel,
  type Moments,
  type NamedTensors,
  quantizedNames,
  randomSigns,
  realize,
  type Tensor,
} from "../mod.ts";
import quickstart from "../configs/quickstart.json" with { type: "json" };
import { languageModelLoss, tokenTensors } from "../src/pipeline/data.ts";
import { disposeAll } from "../src/train/trainer.ts";
import { benchAll, runner, type Work } from "./measure.ts";

const tokensPerStep = quickstart.batchSize * quickstart.sequenceLength;
const smallSizes = { vocabularySize: 256, hiddenSize: 16, layers: 2, heads: 2, keyValueHeads: 1, intermediateSize: 32 };

const quickstartModel = () => initialModel({ vocabularySize: 256, ...quickstart.model }, { seed: 1 });
const smallModel = () => initialModel(smallSizes, { seed: 1 });

function randomBatch({ batchSize, sequenceLength }: BatchSize): NamedTensors {
  const text = Uint8Array.from({ length: 4096 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 24);
  return tokenTensors(batchAt(text, { batchSize, sequenceLength, seed: 1, step: 0 }));
}

/** Loss and gradients of all parameters. */
function derive({ config }: LlamaModel, parameters: NamedTensors, batch: NamedTensors): { loss: Tensor; slopes: NamedTensors } {
  const loss = languageModelLoss(config, parameters, batch);
  const names = Object.keys(parameters);
  const slopes = gradients(loss, names.map((name) => parameters[name]));
  return { loss, slopes: Object.fromEntries(names.map((name, index) => [name, slopes[index]])) };
}

/** The step is so small that what is left is the host's own work. */
const replayed: Work = {
  name: "host: a small step, replayed",
  hostOnly: true,
  prepare() {
    const model = smallModel();
    const step = compile((inputs: { parameters: NamedTensors; batch: NamedTensors }) =>
      derive(model, inputs.parameters, inputs.batch)
    );
    const inputs = { parameters: model.parameters, batch: randomBatch({ batchSize: 1, sequenceLength: 16 }) };
    return Promise.resolve(runner(() => disposeAll(step(inputs))));
  },
};

const rebuilt: Work = {
  name: "host: the same, its graph built anew",
  hostOnly: true,
  prepare() {
    const model = smallModel();
    const batch = randomBatch({ batchSize: 1, sequenceLength: 16 });
    return Promise.resolve(runner(() => {
      const { loss, slopes } = derive(model, model.parameters, batch);
      disposeAll(realize([loss, ...Object.values(slopes)]));
    }));
  },
};

/** Multiply-adds of the products of one step: forward, and twice that backward, for each weight and token. */
function productFlop({ config, parameters }: LlamaModel): number {
  const names = [...quantizedNames(config), "model.embed_tokens.weight"]; // the tied head
  return 6 * tokensPerStep * names.reduce((sum, name) => sum + parameters[name].size, 0);
}

function trainingStep(): Work {
  const model = quickstartModel();
  return {
    name: "training step of the quickstart",
    amount: { flop: productFlop(model) },
    prepare() {
      const step = compile(
        (inputs: { parameters: NamedTensors; moments: Moments; batch: NamedTensors; step: Tensor; learningRate: Tensor }) => {
          const { loss, slopes } = derive(model, inputs.parameters, inputs.batch);
          const state = { ...inputs, gradients: slopes };
          return { loss, ...adamw(state, { learningRate: inputs.learningRate }) };
        },
        { donate: ["parameters", "moments"] },
      );
      const batch = randomBatch(quickstart);
      let state: { parameters: NamedTensors; moments: Moments } = {
        parameters: model.parameters,
        moments: initialMoments(model.parameters),
      };
      return Promise.resolve(runner(() => {
        const { loss, gradientNorm, ...next } = step({ ...state, batch, step: 1, learningRate: 1e-3 });
        disposeAll([loss, gradientNorm]);
        state = next;
      }));
    },
  };
}

const curvature: Work = {
  name: "Hessian-vector product of the quickstart",
  amount: { tokens: tokensPerStep },
  prepare() {
    const model = quickstartModel();
    const names = quantizedNames(model.config);
    const product = compile((inputs: { parameters: NamedTensors; batch: NamedTensors }) => {
      const weights = names.map((name) => inputs.parameters[name]);
      const signs = weights.map(({ shape }, seed) => randomSigns(shape, { seed }));
      const products = hessianVectorProduct(languageModelLoss(model.config, inputs.parameters, inputs.batch), weights, signs);
      return products.map((each, index) => each.mul(signs[index]).sum());
    });
    const inputs = { parameters: model.parameters, batch: randomBatch(quickstart) };
    return Promise.resolve(runner(() => disposeAll(product(inputs))));
  },
};

benchAll("steps", [replayed, rebuilt, trainingStep(), curvature]);

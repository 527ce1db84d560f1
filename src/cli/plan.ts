/**
 * `deno task plan`: what training a model takes of memory, disk and time, before anything is allocated.
 *
 * @module
 */

import { randomNormal } from "../create.ts";
import type { LlamaConfig } from "../llama/config.ts";
import { backendInfo } from "../runtime.ts";
import { realize } from "../trace.ts";
import type { Plan } from "../pipeline/plan.ts";
import type { Command } from "./args.ts";
import type { RunConfig } from "./config.ts";
import { type Alternative, alternatives, deviceMemory, type DiskPlan, planDisk, planRun } from "./memory_plan.ts";
import { main } from "./main.ts";
import { formatSeconds, table } from "./table.ts";
import { command as train, modelConfigOf, runConfig } from "./train_options.ts";

const { fresh: _fresh, serve: _serve, host: _host, tensorboard: _tensorboard, trackio: _trackio, ...training } = train.options;
const whole = { type: "integer", value: "N", minimum: 1 } as const;

const command = {
  name: "plan",
  summary: "Says what training a model takes of memory, disk and time, before anything is allocated.\n" +
    "It compiles each phase as it will run, so its figures are exact on this adapter.\n" +
    "It takes the options of deno task train, and reads no data.",
  options: {
    ...training,
    batchSize: { ...training.batchSize, also: "batch" },
    sequenceLength: { ...training.sequenceLength, also: "sequence" },
    recomputeEvery: { ...training.recomputeEvery, also: "recompute" },
    precision: { type: "string", value: "TYPE", choices: ["float32"], default: "float32", description: "Of the computation" },
    adapterMemory: { ...training.adapterMemory, description: "Memory of the adapter, to say what fits" },
    tokens: { ...whole, description: "Tokens to train on, for an estimate of the time" },
  },
} as const satisfies Command;

/** Seconds that training on so many tokens takes, by the rate of one product of the model's own width. */
async function trainingSeconds(
  tokens: number,
  { parameters }: Plan,
  { hiddenSize, intermediateSize }: LlamaConfig,
  config: RunConfig,
) {
  const rows = Math.min(512, config.batchSize * config.sequenceLength);
  const [width, out] = [Math.min(1024, hiddenSize), Math.min(2048, intermediateSize)];
  const [x, w] = realize([randomNormal([rows, width], { seed: 1 }), randomNormal([width, out], { seed: 2 })]);
  const run = async () => {
    const started = performance.now();
    const [product] = realize([x.matmul(w)]);
    await product.sum().item();
    product.dispose();
    return (performance.now() - started) / 1000;
  };
  await run(); // compiles
  const seconds = Math.min(await run(), await run(), await run());
  const rate = 2 * rows * width * out / seconds;
  const operations = (config.recomputeEvery > 0 ? 8 : 6) * parameters * tokens; // forward 2, backward 4, once more forward 2
  return { seconds: operations / rate, operationsPerSecond: rate };
}

/** Bytes in one unit for all of a plan: the one that suits its peak. */
function unitOf(peak: number): { readonly unit: string; readonly text: (bytes: number) => string } {
  const [unit, size] = peak < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return { unit, text: (bytes) => (bytes / size).toFixed(2) };
}

function memoryTable({ phases, parameters, quantized, parameterBytes, momentBytes, gradientBytes, peak }: Plan): string {
  const { unit, text } = unitOf(peak);
  const rows = phases.map(({ phase, program, total }) => [
    phase,
    ...[program.arguments, program.scratch + program.results, program.textures, total].map(text),
  ]);
  return [
    `${parameters.toLocaleString("en")} parameters, ${quantized.toLocaleString("en")} of them quantized`,
    `parameters ${text(parameterBytes)} ${unit}, moments ${text(momentBytes)} ${unit}, all gradients ${
      text(gradientBytes)
    } ${unit}`,
    "",
    table([`phase (${unit})`, "arguments", "scratch", "textures", "peak"], rows),
    "",
    "arguments: parameters, moments, batch; scratch: gradients, activations",
  ].join("\n");
}

function savingsTable(peak: number, others: readonly Alternative[]): string {
  const { unit, text } = unitOf(peak);
  const rows = others.filter(({ alone }) => alone < peak)
    .map(({ option, alone, together }) => [option, text(alone), text(peak - alone), text(together)]);
  return table([`option of train (${unit})`, "peak", "saves", "with those above"], rows);
}

function diskText({ checkpoint, packed, states }: DiskPlan, peak: number): string {
  const { unit, text } = unitOf(peak);
  return `on disk: checkpoint ${text(checkpoint)} ${unit}, packed ${text(packed)} ${unit}, states to go on from ${
    text(states)
  } ${unit}`;
}

if (import.meta.main) {
  await main(
    command,
    async ({ adapterMemory, tokens, json: _json, precision: _precision, ...flags }, { print }) => {
      const { config } = await runConfig(flags);
      const model = await modelConfigOf(config);
      const plan = await planRun(config, model);
      const others = await alternatives(config, model);
      const disk = planDisk(config, plan, model);
      const time = tokens === undefined ? undefined : await trainingSeconds(tokens, plan, model, config);
      const memory = adapterMemory === undefined ? await deviceMemory() : adapterMemory * 1e9;
      const { description } = await backendInfo();
      const fits = memory === undefined ? undefined : plan.peak <= memory;
      print([
        `${config.batchSize} × ${config.sequenceLength} tokens a step on ${description}`,
        "",
        memoryTable(plan),
        "",
        savingsTable(plan.peak, others),
        "",
        diskText(disk, plan.peak),
        ...(time
          ? [
            `${tokens!.toLocaleString("en")} tokens: about ${formatSeconds(time.seconds)} at ${
              (time.operationsPerSecond / 1e9).toFixed(1)
            } GFLOP/s`,
          ]
          : []),
        ...(memory === undefined ? [] : [`${fits ? "fits" : "does not fit"} the ${(memory / 1e9).toFixed(1)} GB of the adapter`]),
      ].join("\n"));
      return {
        summary: {
          ...plan,
          alternatives: others,
          disk,
          ...(time ? { time } : {}),
          ...(memory === undefined ? {} : { memory, fits }),
        },
      };
    },
  );
}

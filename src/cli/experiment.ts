/**
 * `deno task experiment`: does a method work? Every arm from the same bases, with seeds and error bars, and a report.
 *
 * @module
 */

import process from "node:process";
import { type Arm, arms } from "../experiment/arms.ts";
import { type Clock, type StepCost, stepCosts } from "../experiment/cost.ts";
import { experimentPage, reportOf } from "../experiment/page.ts";
import { partsLeft, secondsLeft } from "../experiment/plan.ts";
import { runExperiment } from "../experiment/run.ts";
import type { Experiment } from "../experiment/settings.ts";
import { openStore, type Store } from "../experiment/store.ts";
import { costTable, markdown, outcomeNotes, outcomeTable, type Table } from "../experiment/tables.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { byteTokenizer } from "../tokenizer/bytes.ts";
import { backendInfo } from "../runtime.ts";
import { splitTokens } from "../train/data.ts";
import type { Command } from "./args.ts";
import { checkCorpusLength, loadCorpus } from "./corpus.ts";
import { didYouMean, UsageError } from "./errors.ts";
import {
  armsOf,
  type ExperimentConfig,
  loadExperimentConfig,
  settingsOf,
  shortened,
  withDistillation,
} from "./experiment_config.ts";
import { makeWritableFolder, nameOf } from "./files.ts";
import { openLog, openOverallLog } from "./log.ts";
import { main } from "./main.ts";
import { closing, shellWord } from "./summary.ts";
import { formatSeconds, table } from "./table.ts";

const share = { type: "number", minimum: 0, maximum: 1 } as const;

const command = {
  name: "experiment",
  summary: "Trains ternary models by several methods from the same bases, and reports which is better, with error bars.",
  options: {
    arms: {
      type: "string",
      value: "A,B,C",
      description: `Arms (default: those of the configuration), or "all": ${arms.map(({ name }) => name).join(", ")}`,
    },
    seeds: {
      type: "integer",
      value: "N",
      default: 3,
      minimum: 1,
      maximum: 1000,
      description: "Number of seeds, from that of the configuration on",
    },
    config: { type: "string", value: "FILE", default: "configs/experiment.json", description: "Configuration of the experiment" },
    output: { type: "string", value: "DIR", description: "Folder of the results (default: runs/ and the configuration's name)" },
    fresh: {
      type: "boolean",
      description: "Run everything again; otherwise results in the folder with the same settings are kept",
    },
    maxSteps: { type: "integer", value: "N", minimum: 2, description: "Cut each phase of training to so many steps" },
    distill: {
      ...share,
      value: "WEIGHT",
      description: "Quantized arms learn from the base too: share of the divergence in the loss",
    },
    distillTemperature: { type: "number", value: "T", minimum: 0.01, description: "Temperature of the distillation (1)" },
    distillTopK: {
      type: "integer",
      value: "K",
      minimum: 1,
      description: "Likeliest tokens that count in the distillation (all)",
    },
    cost: { type: "boolean", description: "Only time the steps of the arms" },
  },
} as const satisfies Command;

/** Arms of a list of names; those that the configuration lists where there is none. */
function chosenArms(list: string | undefined, config: ExperimentConfig): readonly Arm[] {
  const arms = armsOf(config);
  const known = arms.map(({ name }) => name);
  const names = list === "all" ? known : list?.split(",").map((name) => name.trim()) ?? config.experiment.arms;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UsageError(
      `--arms: there is no arm "${unknown}"${didYouMean(unknown, known)}; wanted all, or some of ${known.join(", ")}`,
    );
  }
  return arms.filter(({ name }) => names.includes(name));
}

const clock: Clock = {
  wall: () => performance.now() / 1000,
  cpu: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  },
};

/** Times the steps of arms, at each number of tokens of the configuration. */
async function timeSteps(
  experiment: Experiment,
  { tokens, rounds }: ExperimentConfig["experiment"]["cost"],
): Promise<StepCost[]> {
  const costs: StepCost[] = [];
  for (const count of tokens) {
    console.error(`timing steps of ${count} tokens`);
    costs.push(...await stepCosts(experiment, { tokens: count, rounds, clock }));
  }
  return costs;
}

/** Runs what is not stored, and writes `results.json`, `results.md` and `report.html`. */
async function wholeExperiment(experiment: Experiment, config: ExperimentConfig, store: Store) {
  const parts = await partsLeft(experiment, store);
  const left = await secondsLeft(experiment, parts);
  console.error(left > 0 ? `about ${formatSeconds(left)} to go` : "everything is there already");
  using log = openOverallLog(parts);
  const results = await runExperiment({ ...experiment, log }, store);
  log.complete();
  const { arms, settings, seeds } = experiment;
  const { learningRates: _, distillation: __, evaluation: ___, ...timed } = settings;
  const costs = await store.result(
    "cost",
    { ...timed, cost: config.experiment.cost, arms },
    () => timeSteps(experiment, config.experiment.cost),
  );
  const { description } = await backendInfo();
  const baseline = armsOf(config).find(({ name }) => name === config.experiment.baseline)!;
  const report = reportOf({ settings, arms, baseline, seeds, backend: description, costs, results });
  const tables = [outcomeTable(report.summaries, baseline), costTable(costs)];
  await writeFileAtomic(`${store.folder}/results.json`, JSON.stringify(report) + "\n");
  await writeFileAtomic(`${store.folder}/results.md`, tables.map(markdown).join("\n"));
  await writeFileAtomic(`${store.folder}/report.html`, experimentPage(report));
  return { report, tables };
}

const forTerminal = ({ heading, rows }: Table): string => table(heading, rows);

if (import.meta.main) {
  await main(
    command,
    async ({ arms: list, seeds: count, config: path, output, fresh, maxSteps, cost, ...flags }, { signal, print }) => {
      const cut = shortened(withDistillation(await loadExperimentConfig(path), flags), maxSteps);
      const chosen = chosenArms(list, cut);
      const tokens = splitTokens(byteTokenizer.encode(await loadCorpus(cut.data.corpus)), cut.data.heldOutFraction);
      checkCorpusLength(tokens, { corpus: cut.data.corpus, sequenceLength: cut.sequenceLength });
      const seeds = Array.from({ length: count }, (_, index) => cut.seed + index);
      using log = openLog();
      const experiment: Experiment = { settings: settingsOf(cut), arms: chosen, seeds, tokens, log, tell: console.error, signal };
      if (cost) {
        const costs = await timeSteps(experiment, cut.experiment.cost);
        print(forTerminal(costTable(costs)));
        return { summary: { costs } };
      }
      const folder = output ?? `runs/${nameOf(path).replace(/\.json$/, "")}`;
      await makeWritableFolder(folder);
      const onKept = (name: string) =>
        console.error(`${name}: kept from an earlier run; remove ${folder}/${name}.json to have it made again`);
      const { report, tables } = await wholeExperiment(experiment, cut, openStore(folder, { fresh, onKept })).catch((error) => {
        if (signal.aborted) console.error(`Interrupted. What is finished is in ${folder}; the same command goes on from there.`);
        throw error;
      });
      print(
        [
          "",
          ...tables.map(forTerminal).flatMap((text) => [text, ""]),
          ...outcomeNotes,
          "",
          closing({
            written: ["report.html", "results.md", "results.json"].map((name) => `${folder}/${name}`),
            next: [`open ${shellWord(folder)}/report.html in a browser`],
          }),
        ].join("\n"),
      );
      const { summaries, costs, backend } = report;
      return { summary: { output: folder, backend, seeds, summaries, costs } };
    },
  );
}

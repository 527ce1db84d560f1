/**
 * The report of an experiment: a page for people.
 *
 * @module
 */

import { curvatureTitles, probeNames } from "../pipeline/calibrate.ts";
import { annealing } from "../quant/annealing.ts";
import { barChart, histogramChart, type Interval, intervalChart, type Line, lineChart } from "../report/charts.ts";
import { figure, htmlTable, page, type Section } from "../report/page.ts";
import { traceHeatMap } from "../report/heat_map.ts";
import { legend, quietColor, type Series, seriesColors } from "../report/plot.ts";
import { type Arm, armNamed, fullPrecisionArm, roundedArm } from "./arms.ts";
import type { StepCost } from "./cost.ts";
import { type ArmResult, type ExperimentResults, scalesOf } from "./run.ts";
import { armOptions, curvatureOf, type ExperimentSettings, guidanceOf } from "./settings.ts";
import { estimate, smoothed } from "./statistics.ts";
import { type ArmSummary, summarize } from "./summary.ts";
import { costTable, outcomeTable } from "./tables.ts";
import { borderWidth } from "./weights.ts";

/** All that a report is made from: the content of `results.json`. */
export interface ExperimentReport {
  readonly settings: ExperimentSettings;
  readonly arms: readonly Arm[];
  /** What the others are compared with. */
  readonly baseline: Arm;
  readonly seeds: readonly number[];
  /** What it ran on. */
  readonly backend: string;
  readonly summaries: readonly ArmSummary[];
  readonly costs: readonly StepCost[];
  readonly results: ExperimentResults;
}

/** Puts together what results say. */
export function reportOf(parts: Omit<ExperimentReport, "summaries">): ExperimentReport {
  return { ...parts, summaries: summarize(parts.results.arms, parts.arms, parts.baseline.name) };
}

/** Full precision and rounding are there to compare with; the others have a colour each, and dashes where there are no more colours. */
function seriesOf(name: string, arms: readonly Arm[]): Series {
  const { label } = arms.find((arm) => arm.name === name) ?? armNamed(name);
  const isQuiet = (arm: string) => arm === fullPrecisionArm || arm === roundedArm;
  if (isQuiet(name)) return { label, color: quietColor };
  const place = arms.filter((arm) => !isQuiet(arm.name)).findIndex((arm) => arm.name === name);
  return { label, color: seriesColors[place % seriesColors.length], dashed: place >= seriesColors.length };
}

/** The page, in HTML. */
export function experimentPage(report: ExperimentReport): string {
  const { settings: { model, arm, pretrain, batchSize, sequenceLength }, seeds, backend } = report;
  const size = `${model.layers} layers of ${model.hiddenSize}`;
  const withSeeds = seeds.length === 1 ? "one seed" : `${seeds.length} seeds`;
  const begin = pretrain.steps > 0
    ? `Bases of ${size} were trained for ${pretrain.steps} steps in full precision with ${withSeeds}, then every arm went on from ` +
      `them for ${arm.steps} steps`
    : `Models of ${size} were drawn at random with ${withSeeds}, then every arm trained them from scratch for ${arm.steps} steps`;
  const lead =
    `${begin} of ${batchSize} × ${sequenceLength} tokens, all with the same batches in the same order. Losses are those ` +
    `of the model as it would be packed, in nats a token, on text that was held out. Run on ${backend}.`;
  const sections = [
    outcome(report),
    ...differences(report),
    learning(report),
    ...schedules(report),
    ...traces(report),
    histograms(report),
    deadZone(report),
    ...costs(report),
  ];
  return page("Ternary training, arm by arm", { lead, sections });
}

/** Trained arms that have results, with their label and colour. */
function trainedArms({ arms, results }: ExperimentReport) {
  return arms.flatMap((arm) => {
    const own = results.arms.filter((result) => result.arm === arm.name);
    return arm.untrained || own.length === 0 ? [] : [{ own, ...seriesOf(arm.name, arms) }];
  });
}

function outcome({ arms, summaries, results, baseline }: ExperimentReport): Section {
  const { heading, rows } = outcomeTable(summaries, baseline);
  const intervals = summaries.filter(({ arm }) => arm !== roundedArm).map(({ arm, lossNats }): Interval => ({
    ...seriesOf(arm, arms),
    mean: lossNats.mean,
    standardError: lossNats.standardError,
    values: results.arms.filter((result) => result.arm === arm).map(({ heldOut }) => heldOut.lossNats),
  }));
  const chart = intervalChart(intervals, { title: "Held-out loss of each arm", x: "held-out loss (nats)" });
  return {
    title: "What each arm reaches",
    text: "Means over the seeds with their standard errors." +
      (summaries.every(({ gapClosed }) => gapClosed === null)
        ? ""
        : " The gap is that between rounding the base without training and training it on in full precision; an arm that closes " +
          "100 % of it costs nothing in loss."),
    body: htmlTable(heading, rows) + figure(chart, "Dot: mean; bar: one standard error to each side; rings: seeds."),
  };
}

function differences({ arms, summaries, results, baseline }: ExperimentReport): Section[] {
  const losses = (name: string) =>
    new Map(results.arms.filter(({ arm }) => arm === name).map(({ seed, heldOut }) => [seed, heldOut.lossNats]));
  const compared = losses(baseline.name);
  const intervals = summaries.flatMap(({ arm, difference }): Interval[] => {
    if (!difference || arm === roundedArm) return [];
    const values = [...losses(arm)].flatMap(([seed, loss]) => compared.has(seed) ? [loss - compared.get(seed)!] : []);
    return [{ ...seriesOf(arm, arms), mean: difference.mean, standardError: difference.standardError, values }];
  });
  if (intervals.length === 0) return [];
  const title = `Difference to ${baseline.label}`;
  return [{
    title,
    text:
      `Loss less that of ${baseline.label} with the same seed, base and batches: what seeds share cancels. Left of the line is better.`,
    body: figure(intervalChart(intervals, { title, x: "difference in held-out loss (nats)", reference: 0 })),
  }];
}

/** Mean over seeds, position by position. */
function meanOf(rows: readonly (readonly number[])[]): number[] {
  const length = Math.min(...rows.map((row) => row.length));
  return Array.from({ length }, (_, at) => estimate(rows.map((row) => row[at])).mean);
}

function learning(report: ExperimentReport): Section {
  const trained = trainedArms(report);
  const { results, settings: { arm }, baseline } = report;
  const width = Math.max(1, Math.round(arm.steps / 15));
  const line = (losses: readonly (readonly number[])[]) =>
    smoothed(meanOf(losses), width).map((loss, index) => [index + 1, loss] as const).slice(width - 1);
  const ofTraining = trained.map(({ own, ...series }): Line => ({
    ...series,
    points: line(own.map(({ trainingLosses }) => trainingLosses)),
  }));
  const ofHeldOut = trained.map(({ own, ...series }): Line => ({
    ...series,
    points: meanOf(own.map(({ curve }) => curve.map(({ lossNats }) => lossNats)))
      .map((loss, index) => [own[0].curve[index].step, loss]),
  }));
  const compared = ofTraining.find(({ label }) => label === baseline.label)?.points;
  const ofDifference = !compared
    ? []
    : ofTraining.flatMap(({ points, ...series }): Line[] =>
      points === compared ? [] : [{ ...series, points: points.map(([step, loss], at) => [step, loss - compared[at][1]]) }]
    );
  const base: Line = {
    label: "base",
    color: quietColor,
    points: line(results.bases.map(({ trainingLosses }) => trainingLosses)),
  };
  const chart = (title: string, lines: readonly Line[], options: { dots?: boolean; reference?: number } = {}) =>
    figure(lineChart(lines, { title, x: "step", y: "loss (nats)", ...options }), title);
  return {
    title: "Learning curves",
    text:
      `Means over the seeds; training losses are smoothed over ${width} steps. While pressure and temperature are on their way, the ` +
      "training loss is that of the relaxed model, and the held-out loss that of the model rounded at that step.",
    body: legend(trained) + chart("Training loss of each arm", ofTraining) +
      chart("Held-out loss of each arm on the way, rounded; fewer batches than the final figures", ofHeldOut, { dots: true }) +
      (ofDifference.length > 0
        ? chart(`Training loss of each arm less that of ${baseline.label}`, ofDifference, { reference: 0 })
        : "") +
      (base.points.length > 0 ? chart("Training loss of the base", [base]) : ""),
  };
}

function schedules(report: ExperimentReport): Section[] {
  const own = report.arms.filter(({ name }) =>
    report.results.arms.some(({ arm, temperatures }) => arm === name && temperatures.length > 0)
  );
  if (own.length === 0) return [];
  const differ = own.some(({ annealing }) => annealing !== undefined);
  return [{
    title: "Temperature and pressure",
    text:
      "The temperature of the softmax over the codes falls, and in the end weights are rounded. Guidance gives tensors with a more " +
      "curved loss another temperature than the others.",
    body: (differ && !own.some(({ alpha }) => alpha !== undefined) ? "" : tensorTemperatures(report, own)) +
      (differ ? armSchedules(report) : commonPressure(report)),
  }];
}

/** Value of each step, counted from 1. */
const byStep = (values: readonly number[]): Line["points"] => values.map((value, index) => [index + 1, value] as const);

/** Temperatures of the first guided arm, tensor by tensor; of an arm without guidance they are all the same. */
function tensorTemperatures({ results, settings }: ExperimentReport, own: readonly Arm[]): string {
  const guided = own.find(({ alpha }) => alpha !== undefined);
  const [calibrations = {}] = Object.values(results.calibrations);
  const calibration = guided && calibrations[curvatureOf(guided, settings)];
  const scales = calibration ? scalesOf(calibration, guidanceOf(guided, settings)) : { every: 1 };
  const { steps, recipe, annealing: options } = armOptions(guided ?? own[0], settings);
  const schedule = annealing({ recipe, ...options, totalSteps: steps });
  const lines = Object.entries(scales).map(([label, scale]): Line => ({
    label,
    color: seriesColors[(layerOf(label) ?? 0) % seriesColors.length],
    points: byStep(Array.from({ length: steps }, (_, step) => schedule.at(step, { scale }).temperature)),
  }));
  const layers = [...new Set(Object.keys(scales).flatMap((name) => layerOf(name) ?? []))];
  const title = calibration ? `Temperature of each tensor, ${guided.label}, first seed` : "Temperature of every tensor";
  return legend(layers.map((layer) => ({ label: `layer ${layer}`, color: seriesColors[layer % seriesColors.length] }))) +
    figure(lineChart(lines, { title, x: "step", y: "temperature", zero: true }), title);
}

function commonPressure({ settings: { arm: { annealing: options, steps, recipe } } }: ExperimentReport): string {
  const schedule = annealing({ recipe, ...options, totalSteps: steps });
  const points = byStep(Array.from({ length: steps }, (_, step) => schedule.at(step).pressure));
  const title = "Pressure of every tensor: share of the relaxed weight in the weight that is used";
  const line = { label: "pressure", color: seriesColors[0], points };
  return figure(lineChart([line], { title, x: "step", y: "pressure", zero: true, height: 180 }), title);
}

/** Where arms have schedules of their own: those, as they were recorded with the first seed. */
function armSchedules(report: ExperimentReport): string {
  const annealed = trainedArms(report).filter(({ own: [result] }) => result.temperatures.length > 0);
  const chart = (title: string, y: string, read: (result: ArmResult) => readonly number[]): string => {
    const lines = annealed.map(({ own: [result], ...series }): Line => ({ ...series, points: byStep(read(result)) }));
    return figure(lineChart(lines, { title, x: "step", y, zero: true, height: 240 }), title);
  };
  return legend(annealed) +
    chart("Temperature of each arm, mean over its tensors", "temperature", ({ temperatures }) => temperatures) +
    chart(
      "Pressure of each arm: share of the relaxed weight in the weight that is used",
      "pressure",
      ({ pressures }) => pressures,
    );
}

/** Number of the layer in a tensor's name. */
const layerOf = (name: string): number | undefined => {
  const found = /\.layers\.(\d+)\./.exec(name);
  return found ? Number(found[1]) : undefined;
};

function traces({ results: { calibrations } }: ExperimentReport): Section[] {
  const [first] = Object.entries(calibrations);
  const measured = first ? Object.values(first[1]) : [];
  if (measured.length === 0) return [];
  const probes = measured.map(({ curvature, probes }) => `${curvatureTitles[curvature]} by ${probes} ${probeNames[curvature]}`);
  return [{
    title: "Curvature of the loss",
    text: `Of each tensor of the base with seed ${first[0]}, as estimated: ${probes.join(", ")}.`,
    body: measured.map(({ traces, standardErrors, curvature }) =>
      figure(traceHeatMap(traces, { standardErrors, title: curvatureTitles[curvature] }))
    ).join(""),
  }];
}

function histograms(report: ExperimentReport): Section {
  const charts = trainedArms(report).flatMap(({ own: [result], label, color }) => {
    const before = report.results.bases.find(({ seed }) => seed === result.seed)?.histogram;
    if (!before) return [];
    const { limit, counts: after } = result.histogram;
    return [figure(histogramChart({ title: `Weights, ${label}`, limit, before: before.counts, after, color }), label)];
  });
  return {
    title: "Weights before and after",
    text:
      "Latent weights in units of the mean magnitude of their group, all quantized tensors together, with the first seed. Outline: the " +
      "base. Dashed: the borders at ±½, between which a weight rounds to zero.",
    body: `<div class="row">${charts.join("")}</div>`,
  };
}

function deadZone(report: ExperimentReport): Section {
  const trained = trainedArms(report).filter(({ own }) => own.every(({ weights }) => weights.length > 0));
  const lines = (read: (statistics: ArmResult["weights"][number]) => number) =>
    trained.map(({ own, ...series }): Line => ({
      ...series,
      points: meanOf(own.map(({ weights }) => weights.map(read))).map((
        value,
        index,
      ) => [own[0].weights[index].step, 100 * value]),
    }));
  const chart = (title: string, y: string, all: readonly Line[]) =>
    figure(lineChart(all, { title, x: "step", y, dots: true, zero: true, height: 240 }), title);
  return {
    title: "The dead zone",
    text:
      "A weight near the border of two codes can be trapped there: with a straight-through gradient it swings, in the limit of a cold " +
      "softmax nothing else still moves. Flips count weights whose code is another one than a step before.",
    body: legend(trained) +
      chart(`Weights with |w / s| within ${borderWidth} of ½`, "% of weights", lines(({ nearBorder }) => nearBorder)) +
      chart("Weights that change their code in a step", "% of weights", lines(({ flips }) => flips ?? 0)) +
      chart("Weights with code zero", "% of weights", lines(({ zeros }) => zeros)),
  };
}

function costs({ costs, arms }: ExperimentReport): Section[] {
  if (costs.length === 0) return [];
  const { heading, rows } = costTable(costs);
  const charts = [...new Set(costs.map(({ tokens }) => tokens))].map((tokens) => {
    const title = `CPU time over full precision at ${tokens} tokens a step (%)`;
    const bars = costs.filter((cost) => cost.tokens === tokens).map(({ arm, cpuOverhead }) => ({
      ...seriesOf(arm, arms),
      value: 100 * cpuOverhead,
    }));
    return figure(barChart(bars, { title, x: "% of a step" }), title);
  });
  return [{
    title: "What a step costs",
    text:
      "Each arm was timed in turns with full precision; medians of the ratios of neighbouring turns. On a software driver CPU time is the " +
      "work itself; on a GPU read the wall time.",
    body: htmlTable(heading, rows) + charts.join(""),
  }];
}

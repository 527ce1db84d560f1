/**
 * The page of runs: one HTML file with their numbers and the program that draws them.
 *
 * @module
 */

import { traceHeatMap } from "./heat_map.ts";
import { htmlTable, pageStyle } from "./page.ts";
import { escaped } from "./svg_document.ts";
import type { Columns, TensorColumns } from "./thinned.ts";

/** What the page shows of one run. */
export interface RunView {
  readonly name: string;
  /** "unfinished", "finished". */
  readonly state: string;
  /** When it began: a date in ISO 8601. */
  readonly started: string;
  /** Steps of the first phase: those of the second follow them on the axis. */
  readonly pretrainSteps: number;
  /** Of the resolved configuration: values as JSON by dotted name. */
  readonly config: Readonly<Record<string, string>>;
  /** Lines of `metrics.jsonl` by phase: those of steps, and those of held-out losses. */
  readonly metrics: Readonly<Record<string, Columns>>;
  readonly heldOut: Readonly<Record<string, Columns>>;
  /** Lines of `tensors.jsonl` by phase. */
  readonly tensors: Readonly<Record<string, TensorColumns>>;
  /** Content of `calibration.json`. */
  readonly calibration?: {
    readonly traces: Readonly<Record<string, number>>;
    readonly standardErrors?: Readonly<Record<string, number>>;
  };
  /** Held-out losses of the models at the end, by what they are called. */
  readonly losses: readonly { readonly model: string; readonly lossNats: number; readonly perplexity: number }[];
  /** What the packed model wrote. */
  readonly sample?: string;
  readonly checkpoints: readonly { readonly folder: string; readonly step: number; readonly bytes: number }[];
  /** Wall time by phase. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Most device memory of a step, by phase. */
  readonly memoryBytes: Readonly<Record<string, number>>;
}

/** What a page is made of besides numbers. */
export interface PageAssets {
  /** Programs of the page, in order. */
  readonly scripts: readonly string[];
  readonly styles: readonly string[];
}

/** A chart: the name that the page's program knows it by, a heading, and what its curve means. */
type ChartText = readonly [name: string, title: string, meaning: string];

const chartSections: readonly { readonly title: string; readonly charts: readonly ChartText[] }[] = [
  {
    title: "Loss",
    charts: [
      [
        "loss",
        "Training loss, and held-out loss",
        "Mean cross-entropy of a token, in nats. Dots: text that is not trained on, by the model as it would ship.",
      ],
      [
        "heldOut",
        "What would ship, against the latent weights",
        "Held-out loss of the rounded model, and (dashed) of the weights that are trained. Rounding costs the distance.",
      ],
    ],
  },
  {
    title: "Schedules",
    charts: [
      ["learningRate", "Learning rate", "Of each step: warm-up, then as the schedule says."],
      ["pressure", "Pressure", "Share of the quantized weight in what the model computes with: 0 full precision, 1 quantized."],
      ["temperatures", "Temperature", "Width of the transitions between codes, in scales: at 0 weights are rounded."],
    ],
  },
  {
    title: "Gradients",
    charts: [
      ["gradientNorm", "Gradient norm", "Of all gradients together, before clipping."],
      ["gradientNorms", "Gradient norm by tensor", "Running root mean square over the last steps, after clipping."],
    ],
  },
  {
    title: "Codes",
    charts: [
      ["zeros", "Share of 0", "Weights whose code is 0, now."],
      ["minus", "Share of −1", "Weights whose code is below 0."],
      ["plus", "Share of +1", "Weights whose code is above 0."],
      ["flips", "Flips", "Share of weights whose code changed since the statistics before."],
      ["nearBorder", "Near a border", "Share of weights within a twentieth of a scale of the border between 0 and ±1."],
      ["scales", "Scales", "Mean scale of the groups: what a code of 1 stands for."],
    ],
  },
  { title: "Speed", charts: [["tokensPerSecond", "Tokens a second", "Predicted tokens of a step by its wall time."]] },
];

/** One self-contained HTML file. With `live`, the page asks its server for what came after a record. */
export function runPage(
  runs: readonly RunView[],
  { scripts, styles }: PageAssets,
  live?: { readonly after: number },
): string {
  const title = runs.length === 1 ? `Run ${runs[0].name}` : `${runs.length} runs`;
  const shown = runs.map(({ name, pretrainSteps, metrics, heldOut, tensors }) => ({
    ...{ name, pretrainSteps, metrics, heldOut, tensors },
  }));
  const data = JSON.stringify({ runs: shown, live }).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'">
<title>${escaped(title)}</title>
<style>${[pageStyle, ...styles, style].join("\n")}</style>
</head>
<body class="run">
<header><h1>${escaped(title)}</h1><span id="live" role="status" hidden></span></header>
<p id="state" class="muted"></p>
${controls(runs)}
<main>
${chartSections.map(chartSection).join("\n")}
<section hidden><h2>Text as it learns</h2><ul id="samples"></ul></section>
<div id="about">${about(runs)}</div>
</main>
<script type="application/json" id="data">${data}</script>
${scripts.map((script) => `<script>${script.replaceAll("</script", "<\\/script")}</script>`).join("\n")}
</body>
</html>
`;
}

function controls(runs: readonly RunView[]): string {
  const box = ({ name }: RunView, index: number) =>
    `<label style="--own:var(--series-${index % 8 + 1})"><input type="checkbox" data-run="${index}" checked><i></i>${
      escaped(name)
    }</label>`;
  const several = runs.length > 1;
  const options = runs.map(({ name }, index) => `<option value="${index}">${escaped(name)}</option>`).join("");
  return `<form id="controls" aria-label="How charts are drawn" onsubmit="return false">
${several ? `<div class="runs">${runs.map(box).join("")}</div>` : ""}
<label>smoothing <input type="range" id="smoothing" min="0" max="0.99" step="0.01" value="0.6"> <output id="smoothing-value"></output></label>
<label><input type="checkbox" id="log-x"> log steps</label>
<label><input type="checkbox" id="log-y"> log values</label>
<label>tensors <select id="part"><option value="">mean by component</option></select></label>
${several ? `<label>of <select id="run">${options}</select></label>` : ""}
<details class="help"><summary>keys</summary>In a chart: ← → walk along the curve (shift: ten steps), + − zoom, 0 shows all. Dragging zooms too.</details>
</form>`;
}

function chartSection({ title, charts }: typeof chartSections[number]): string {
  const figures = charts.map(([name, heading, meaning]) =>
    `<figure data-chart="${name}" data-title="${escaped(heading)}" hidden><h3>${escaped(heading)}</h3>` +
    `<div class="plot" role="group" aria-label="${escaped(`${heading}. ${meaning}`)}"></div>` +
    `<figcaption>${escaped(meaning)}</figcaption></figure>`
  );
  return `<section class="charts"><h2>${escaped(title)}</h2><div class="grid">${figures.join("\n")}</div></section>`;
}

/** All that is no chart of numbers over steps. */
function about(runs: readonly RunView[]): string {
  const several = runs.length > 1;
  const named = (name: string, text: string) => several ? `${name}: ${text}` : text;
  const parts: (readonly [title: string, body: string])[] = [
    ["Models", lossTable(runs)],
    [
      "Written by the packed model",
      runs.map(({ name, sample }) => sample && `<blockquote>${escaped(named(name, sample))}</blockquote>`).join(""),
    ],
    ["Calibration", runs.map(heatMap).join("")],
    ["Differences between the configurations", several ? differences(runs) : ""],
    ["Configuration", runs.map(configuration).join("")],
    [
      "Checkpoints",
      table(
        ["checkpoint", "step", "MB"],
        runs.flatMap(({ name, checkpoints }) =>
          checkpoints.map(({ folder, step, bytes }) => [named(name, folder), `${step}`, (bytes / 1e6).toFixed(1)])
        ),
      ),
    ],
    [
      "Time and memory",
      table(
        ["phase", "seconds", "tokens a second (9 in 10 steps)", "device memory of a step, MB"],
        runs.flatMap(timeRows(named)),
      ),
    ],
  ];
  const sections = parts.filter(([, body]) => body !== "");
  return sections.map(([title, body]) => `<section><h2>${escaped(title)}</h2>${body}</section>`).join("\n");
}

const table = (heading: readonly string[], rows: readonly (readonly string[])[]) =>
  rows.length > 0 ? htmlTable(heading, rows) : "";

function lossTable(runs: readonly RunView[]): string {
  const rows = runs.flatMap(({ name, losses }) =>
    losses.map(({ model, lossNats, perplexity }) => [
      runs.length > 1 ? `${name}: ${model}` : model,
      lossNats.toFixed(4),
      perplexity.toFixed(3),
    ])
  );
  return table(["model", "held-out loss (nats)", "perplexity"], rows);
}

const timeRows = (named: (name: string, text: string) => string) => ({ name, seconds, memoryBytes, metrics }: RunView) =>
  Object.entries(seconds).map(([phase, spent]) => [
    named(name, phase),
    spent.toFixed(1),
    spreadText(metrics[phase]?.tokensPerSecond as number[] | undefined),
    memoryBytes[phase] === undefined ? "" : (memoryBytes[phase] / 1e6).toFixed(1),
  ]);

/** Median, and what nine in ten lie between. */
function spreadText(values: readonly number[] = []): string {
  const sorted = values.filter((value) => value > 0).sort((a, b) => a - b);
  if (sorted.length === 0) return "";
  const at = (share: number) => Math.round(sorted[Math.round(share * (sorted.length - 1))]);
  return `${at(0.5)} (${at(0.05)} to ${at(0.95)})`;
}

function heatMap({ name, calibration }: RunView): string {
  if (!calibration) return "";
  const svg = traceHeatMap(calibration.traces, { standardErrors: calibration.standardErrors, title: name });
  return `<div class="scroll">${svg}</div>`;
}

function configuration({ name, config }: RunView): string {
  const rows = Object.entries(config).map(([field, value]) => [field, value]);
  return `<details><summary>${escaped(name)}</summary>${htmlTable(["field", "value"], rows)}</details>`;
}

/** Fields that are not the same in all runs. */
function differences(runs: readonly RunView[]): string {
  const fields = [...new Set(runs.flatMap(({ config }) => Object.keys(config)))];
  const differing = fields.filter((field) => new Set(runs.map(({ config }) => config[field])).size > 1);
  if (differing.length === 0) return "<p>There is none.</p>";
  return htmlTable(
    ["field", ...runs.map(({ name }) => name)],
    differing.map((field) => [
      field,
      ...runs.map(({ config }) => config[field] ?? "–"),
    ]),
  );
}

const style = `
body.run { max-width: 84rem; }
header { display: flex; align-items: baseline; gap: 1rem; flex-wrap: wrap; } header h1 { margin: 0; overflow-wrap: anywhere; }
#live { font-size: .85rem; padding: .1rem .6rem; border-radius: 1rem; border: 1px solid var(--faint); color: var(--muted); }
#live[data-state=on] { color: var(--series-3); border-color: var(--series-3); }
#state { white-space: pre-line; margin: .5rem 0; font-variant-numeric: tabular-nums; }
#controls { position: sticky; top: 0; z-index: 3; background: var(--page); border-bottom: 1px solid var(--faint); padding: .5rem 0;
  display: flex; flex-wrap: wrap; gap: .4rem 1.2rem; align-items: center; font-size: .9rem; }
#controls label { display: inline-flex; gap: .4rem; align-items: center; } #controls .runs { display: contents; }
#controls i { width: 1.2em; height: .3em; background: var(--own); } #smoothing-value { min-width: 2.2em; }
#controls .help { color: var(--muted); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); gap: 1rem 2rem; }
.grid figure { min-width: 0; } figure[hidden] { display: none; } h3 { font-size: 1rem; margin: 0 0 .25rem; }
.plot { width: 100%; } .plot:focus-visible { outline: 2px solid var(--series-1); outline-offset: 2px; }
.uplot { width: 100%; } .u-legend { font-size: .8rem; text-align: left; color: var(--text); font-variant-numeric: tabular-nums; }
.u-legend th, .u-legend td { border: 0; color: inherit; padding: 0 .2rem; } .u-legend .u-value { min-width: 4.5em; text-align: left; }
.u-select { background: color-mix(in srgb, var(--text) 12%, transparent); }
.u-hz .u-cursor-x, .u-vt .u-cursor-y { border-color: var(--quiet); } .u-hz .u-cursor-y, .u-vt .u-cursor-x { border-color: var(--quiet); }
#samples { list-style: none; padding: 0; max-height: 22rem; overflow: auto; }
#samples li { padding: .35rem 0; border-bottom: 1px solid var(--faint); } #samples q { display: block; white-space: pre-wrap; quotes: none;
  overflow-wrap: anywhere; } #samples span { font-size: .8rem; } blockquote { margin: 0; padding-left: 1rem; border-left: 3px solid var(--faint);
  white-space: pre-wrap; overflow-wrap: anywhere; } details td { white-space: normal; text-align: left; overflow-wrap: anywhere; }
details th { text-align: left; } @media (max-width: 30rem) { #controls { position: static; } body { margin: 1rem auto; } }
`;

/* What the page does: charts from the numbers of the runs, controls, and what comes in while a run goes on. */

import { Chart, seriesColour, short } from "./chart.js";
import { addRecord, componentsOf, phases, pointsOf, smoothed, tensorLines } from "./run_data.js";

const data = JSON.parse(document.getElementById("data").textContent);
const { runs } = data;
const byId = (id) => document.getElementById(id);
const control = { smoothing: byId("smoothing"), logX: byId("log-x"), logY: byId("log-y"), run: byId("run"), part: byId("part") };

const share = (index) => (value) => value?.[index] ?? null;

/** Lines of each chart, by the name of its figure. */
const lineMakers = {
  loss: (settings) =>
    perRun((run, colour) => {
      const raw = pointsOf(run, "metrics", "lossNats");
      const held = pointsOf(run, "heldOut", "heldOutLossNats");
      return [
        ...settings.smoothing > 0 ? [{ label: "each step", points: raw, colour, faint: true }] : [],
        { label: "loss", points: smoothed(raw, settings.smoothing), colour },
        { label: "held out", points: held, colour: ownColour(colour), width: 0, dots: true },
      ];
    }),
  heldOut: () =>
    perRun((run, colour) => [
      { label: "as it would ship", points: pointsOf(run, "heldOut", "heldOutLossNats"), colour: ownColour(colour), dots: true },
      { label: "latent", points: pointsOf(run, "heldOut", "latentLossNats"), colour, dash: [5, 4], dots: true },
    ]),
  learningRate: scalar("learningRate"),
  pressure: scalar("pressure"),
  gradientNorm: scalar("gradientNorm", true),
  tokensPerSecond: scalar("tokensPerSecond", true),
  temperatures: tensorsOf("temperature"),
  gradientNorms: tensorsOf("gradientNorm"),
  zeros: tensorsOf("shares", share(1)),
  minus: tensorsOf("shares", share(0)),
  plus: tensorsOf("shares", share(2)),
  flips: tensorsOf("flips"),
  nearBorder: tensorsOf("nearBorder"),
  scales: tensorsOf("scale"),
};

/** Colours tell runs apart; of a single run, curves. */
const ownColour = (colour) => runs.length > 1 ? colour : seriesColour(1);

function perRun(make) {
  const several = runs.length > 1;
  return runs.flatMap((run, index) => {
    if (!run.shown) return [];
    return make(run, seriesColour(index)).map((line) => ({
      ...line,
      label: several ? `${run.name}: ${line.label}` : line.label,
    }));
  });
}

function scalar(field, smooths = false) {
  return ({ smoothing }) =>
    perRun((run, colour) => {
      const raw = pointsOf(run, "metrics", field);
      const each = { label: smooths ? "each step" : "value", points: raw, colour };
      return smooths && smoothing > 0
        ? [{ ...each, faint: true }, { label: "smoothed", points: smoothed(raw, smoothing), colour }]
        : [each];
    });
}

function tensorsOf(field, pick) {
  return ({ run, part }) =>
    tensorLines(run, field, part, pick).map((line, index) => ({
      ...line,
      colour: seriesColour(index),
      dash: index < 8 ? undefined : [6, 3],
    }));
}

const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => ({
  chart: new Chart(figure, { title: figure.dataset.title }),
  lines: lineMakers[figure.dataset.chart],
}));

function settingsNow() {
  const run = runs[Number(control.run?.value ?? 0)];
  return {
    smoothing: Number(control.smoothing.value),
    logX: control.logX.checked,
    logY: control.logY.checked,
    run,
    part: control.part.value,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    phaseSteps: [...new Set(runs.filter(({ shown }) => shown).map(({ pretrainSteps }) => pretrainSteps))],
  };
}

function drawAll() {
  const settings = settingsNow();
  byId("smoothing-value").textContent = settings.smoothing.toFixed(2);
  const known = [...control.part.options].map(({ value }) => value);
  for (const component of componentsOf(settings.run).filter((each) => !known.includes(each))) {
    control.part.append(new Option(`layers of ${component}`, component));
  }
  for (const { chart, lines } of charts) chart.take(lines(settings), settings);
  for (const section of document.querySelectorAll("section.charts")) {
    section.hidden = [...section.querySelectorAll("figure[data-chart]")].every(({ hidden }) => hidden);
  }
  for (const { chart } of charts) chart.draw(settings);
  showSamples();
  showState();
}

/** The texts that the models wrote, the newest first. */
function showSamples() {
  const list = byId("samples");
  const items = runs.filter(({ shown }) => shown).flatMap((run) =>
    phases.flatMap((phase) => {
      const { step = [], sample = [] } = run.heldOut[phase] ?? {};
      return step.map((each, at) => ({ run, phase, step: each, text: sample[at] })).filter(({ text }) => text);
    }).reverse()
  );
  list.closest("section").hidden = items.length === 0;
  list.replaceChildren(...items.map(({ run, phase, step, text }) => {
    const item = document.createElement("li");
    const place = document.createElement("span");
    place.className = "muted";
    place.textContent = `${runs.length > 1 ? `${run.name}, ` : ""}${phase} ${step}`;
    const words = document.createElement("q");
    words.textContent = text;
    item.append(place, words);
    return item;
  }));
}

/** The newest step, in words that are read out when they change slowly. */
function showState() {
  const parts = runs.map((run) => {
    const phase = phases.findLast((each) => run.metrics[each]?.step.length > 0);
    if (phase === undefined) return `${run.name}: no step yet`;
    const { step, lossNats, tokensPerSecond } = run.metrics[phase];
    return `${run.name}: ${phase}, step ${step.at(-1)} · loss ${short(lossNats.at(-1))} · ${
      short(tokensPerSecond.at(-1))
    } tokens/s`;
  });
  byId("state").textContent = parts.join("\n");
}

let waiting = false;
let drawingTook = 0;
/** Draws soon, once for all that comes until then: long runs take a fifth of the browser's time at most. */
function drawSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    const begun = performance.now();
    drawAll();
    drawingTook = performance.now() - begun;
  }, Math.max(200, 4 * drawingTook));
}

/** Takes what a run that goes on tells. */
function listen(after) {
  const live = byId("live");
  live.hidden = false;
  const source = new EventSource(`events?after=${after}`);
  const say = (text, state) => {
    live.textContent = text;
    live.dataset.state = state;
  };
  source.onopen = () => say("live", "on");
  source.onerror = () => say("the run cannot be reached", "off");
  source.addEventListener("record", ({ data: text }) => {
    addRecord(runs[0], JSON.parse(text));
    drawSoon();
  });
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("end", () => {
    source.close();
    clearInterval(refreshing);
    say("ended", "off");
    refreshAbout();
  });
  const refreshing = setInterval(refreshAbout, 15_000);
}

/** Takes what is no chart from the page as it is now. */
async function refreshAbout() {
  const response = await fetch(location.href).catch(() => undefined);
  if (!response?.ok) return;
  const next = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("about");
  const open = [...document.querySelectorAll("#about details")].map((each) => each.open);
  if (next) byId("about").replaceWith(next);
  document.querySelectorAll("#about details").forEach((each, at) => each.open = open[at] ?? false);
}

for (const run of runs) run.shown = true;
document.querySelectorAll("input[data-run]").forEach((box) =>
  box.addEventListener("change", () => {
    runs[Number(box.dataset.run)].shown = box.checked;
    drawAll();
  })
);
for (const each of Object.values(control)) each?.addEventListener("input", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new ResizeObserver(drawSoon).observe(document.body);
drawAll();
if (data.live) listen(data.live.after);

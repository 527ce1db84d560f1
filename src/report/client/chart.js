/* One chart: a plot by uPlot that follows the page's colours and width, and that the keyboard moves through. */

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const seriesColour = (index) => colour(`--series-${index % 8 + 1}`);

/** A number in a few characters. */
export function short(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e5 || size < 1e-4) return value.toExponential(2).replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** `lines` are { label, points: [xs, ys], colour, width, dash, dots, faint }. */
export class Chart {
  constructor(figure, { title }) {
    this.figure = figure;
    this.title = title;
    this.place = figure.querySelector(".plot");
    this.place.tabIndex = 0;
    this.place.addEventListener("keydown", (event) => this.key(event));
    this.place.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
  }

  /** Takes the lines, and shows the figure if there are any: all figures know that before one is drawn, since they share the width. */
  take(lines, settings) {
    this.lines = lines.map((line) => ({ ...line, points: usable(line.points, settings) })).filter(({ points }) =>
      points[0].length > 0
    );
    this.figure.hidden = this.lines.length === 0;
  }

  /** Draws the lines anew, and keeps what the reader has zoomed to. */
  draw(settings) {
    const shown = this.lines;
    if (this.figure.hidden) return;
    const data = uPlot.join(shown.map(({ points }) => points));
    const width = this.place.clientWidth;
    const key = JSON.stringify([
      settings.logX,
      settings.logY,
      settings.dark,
      width,
      shown.map((line) => [line.label, line.colour]),
    ]);
    if (key === this.drawn) {
      const { min, max } = this.plot.scales.x;
      const isZoomed = this.zoomed;
      this.plot.setData(data, !isZoomed);
      if (isZoomed) this.plot.setScale("x", { min, max });
      return;
    }
    this.plot?.destroy();
    this.drawn = key;
    this.zoomed = false;
    this.plot = new uPlot(this.options(shown, settings, width), data, this.place);
  }

  options(lines, { logX, logY, phaseSteps }, width) {
    const [text, faint] = [colour("--muted"), colour("--faint")];
    const axis = (label) => ({
      label,
      labelSize: 20,
      stroke: text,
      grid: { stroke: faint, width: 1 },
      ticks: { stroke: faint },
      font: "12px system-ui, sans-serif",
      labelFont: "12px system-ui, sans-serif",
    });
    const values = (_, all) => all.map((value) => value === null ? "" : short(value));
    return {
      width,
      height: Math.max(220, Math.min(300, Math.round(width * 0.5))),
      scales: { x: { time: false, distr: logX ? 3 : 1 }, y: { distr: logY ? 3 : 1 } },
      axes: [{ ...axis("step"), size: 34, values }, { ...axis(), size: 58, values }],
      cursor: { sync: { key: "steps", setSeries: false }, drag: { x: true, y: false }, points: { size: 6 } },
      legend: { live: true },
      series: [
        { label: "step", value: (_, value) => value === null ? "–" : String(Math.round(value)) },
        ...lines.map(({ label, colour: stroke, width = 1.5, dash, dots, faint: isFaint }) => ({
          label,
          stroke: isFaint ? `color-mix(in srgb, ${stroke} 35%, transparent)` : stroke,
          width: isFaint ? 1 : width,
          dash,
          spanGaps: true,
          points: { show: dots === true, size: 6, fill: stroke },
          value: (_, value) => short(value),
        })),
      ],
      hooks: {
        setSelect: [(plot) => this.zoomed = this.zoomed || plot.select.width > 0],
        draw: [(plot) => phaseSteps.forEach((step) => border(plot, step, faint))],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.zoomed = false)],
      },
    };
  }

  key(event) {
    const { plot } = this;
    if (!plot) return;
    const xs = plot.data[0];
    const [first, last] = [plot.valToIdx(plot.scales.x.min), plot.valToIdx(plot.scales.x.max)];
    const at = plot.cursor.idx ?? first;
    const pace = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: at - pace, ArrowRight: at + pace, Home: first, End: last };
    if (event.key in moves) {
      const next = Math.min(last, Math.max(first, moves[event.key]));
      plot.setCursor({ left: plot.valToPos(xs[next], "x"), top: plot.over.clientHeight / 2 });
    } else if (event.key === "+" || event.key === "-") {
      const half = Math.max(2, Math.round((last - first) * (event.key === "+" ? 0.25 : 1)));
      const from = Math.max(0, at - half), to = Math.min(xs.length - 1, at + half);
      this.zoomed = from > 0 || to < xs.length - 1;
      plot.setScale("x", { min: xs[from], max: xs[to] });
    } else if (event.key === "0" || event.key === "Escape") {
      this.zoomed = false;
      plot.setScale("x", { min: xs[0], max: xs.at(-1) });
    } else return;
    event.preventDefault();
  }
}

/** Points that a logarithmic axis has a place for. */
function usable([xs, ys], { logX, logY }) {
  if (!logX && !logY) return [xs, ys];
  const kept = [...xs.keys()].filter((at) => (!logX || xs[at] > 0) && (!logY || ys[at] > 0));
  return [kept.map((at) => xs[at]), kept.map((at) => ys[at])];
}

/** The line where one phase ends and the next begins. */
function border(plot, step, stroke) {
  const { min, max } = plot.scales.x;
  if (step <= min || step >= max) return;
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(step, "x", true));
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.setLineDash([4, 4]);
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

import { expectedProbes } from "../../src/cli/calibration_progress.ts";
import { type Progress, progress, type ProgressOptions, reportedProgress } from "../../src/cli/progress.ts";
import { columnsOf, cutTo, fit } from "../../src/cli/progress_line.ts";
import { TimeLeft } from "../../src/cli/time_left.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";

/** A terminal as far as the display needs one: lines wrap at its width, "\r", "up" and "erase the rest of the row" do what they do. */
class Screen {
  readonly isTerminal = true;
  readonly hasColour = false;
  rows: string[] = [""];
  #row = 0;
  #column = 0;
  constructor(public width: number) {}

  columns = (): number => this.width;

  write = (text: string): void => {
    // deno-lint-ignore no-control-regex
    for (const [piece] of text.matchAll(/\x1b\[\d*[A-Za-z]|[^]/gu)) this.#put(piece);
  };

  #put(piece: string): void {
    if (piece === "\r") this.#column = 0;
    else if (piece === "\n") [this.#row, this.#column] = [this.#row + 1, 0];
    else if (piece === "\x1b[K") this.rows[this.#row] = this.rows[this.#row].slice(0, this.#column);
    else if (piece === "\x1b[A") this.#row--;
    else {
      if (this.#column === this.width) [this.#row, this.#column] = [this.#row + 1, 0];
      this.rows[this.#row] = (this.rows[this.#row] ?? "").padEnd(this.#column).slice(0, this.#column) + piece;
      this.#column++;
    }
    this.rows[this.#row] ??= "";
  }

  /** Another width; what no longer fits is wrapped, and the cursor stays behind its character, as terminals do it. */
  resize(width: number): void {
    const wrapped = this.rows.map((row) => row.match(new RegExp(`.{1,${width}}`, "gu")) ?? [""]);
    this.#row = wrapped.slice(0, this.#row).flat().length + Math.max(0, Math.ceil(this.#column / width) - 1);
    this.#column = this.#column === 0 ? 0 : (this.#column - 1) % width + 1;
    this.rows = wrapped.flat();
    this.width = width;
  }
}

/** Calls `work` with a display whose clock is set by hand. */
function showing(options: ProgressOptions, work: (shown: Progress, at: (milliseconds: number) => void) => void): void {
  let now = 0;
  using shown = progress({ clock: () => now, ...options });
  work(shown, (milliseconds) => now = milliseconds);
}

const parts = {
  title: "full precision",
  count: "120/400",
  share: 0.3,
  details: ["loss 2.310", "4096 tokens/s"],
  time: "42 s left",
};

Deno.test("the line says what there is room for, at every width", () => {
  deepEqual([200, 80, 60, 40, 20, 8].map((columns) => fit(parts, columns, { colour: false }).text), [
    "full precision ███████░░░░░░░░░░░░░░░░░ 120/400 · loss 2.310 · 4096 tokens/s · 42 s left",
    "full precision ███░░░░░░░░░ 120/400 · loss 2.310 · 4096 tokens/s · 42 s left",
    "full precision ███░░░░░░░░░ 120/400 · loss 2.310 · 42 s left",
    "full precision 120/400 · 42 s left",
    "full precis… 120/400",
    "full pr…",
  ]);
  for (let columns = 1; columns < 120; columns++) {
    for (const title of [parts.title, "数据集 下载", "x".repeat(300)]) {
      const line = fit({ ...parts, title }, columns, { colour: false });
      ok(line.columns <= columns && columnsOf(line.text) === line.columns, `${columns}: ${line.text}`);
    }
  }
});

Deno.test("colours take no room, and only where they are welcome", () => {
  const plain = fit(parts, 80, { colour: false });
  const coloured = fit(parts, 80, { colour: true });
  // deno-lint-ignore no-control-regex
  equal(coloured.text.replace(/\x1b\[\d+m/g, ""), plain.text);
  equal(coloured.columns, plain.columns);
  ok(coloured.text.includes("\x1b[36m") && !plain.text.includes("\x1b"));
});

Deno.test("wide characters count twice, marks not at all, and what is cut off leaves a mark", () => {
  deepEqual(["abc", "数据", "e\u0301", "🙂"].map(columnsOf), [3, 4, 1, 2]);
  deepEqual([cutTo("abcdef", 6), cutTo("abcdef", 5), cutTo("数据集", 4), cutTo("abc", 0)], ["abcdef", "abcd…", "数…", ""]);
});

Deno.test("on a terminal one line is drawn over itself, and messages go above", () => {
  const screen = new Screen(80);
  showing({ title: "calibration", total: 8, unit: "probes", stream: screen }, (shown, at) => {
    shown.update(1);
    at(1000);
    shown.message("a warning");
    shown.update(4, "scales known to 0.02");
    at(2000);
    shown.update(8);
    shown.done();
  });
  deepEqual(screen.rows, ["a warning", `calibration ${"█".repeat(12)} 8/8 probes · scales known to 0.02 · took 2.0 s`, ""]);
});

Deno.test("a terminal that becomes narrower leaves no remains, one that becomes wider gets a longer line", () => {
  const screen = new Screen(80);
  showing({ title: "quantizing", total: 100, stream: screen }, (shown, at) => {
    shown.message("above");
    for (const [step, width] of [80, 33, 12, 61, 200].entries()) {
      screen.resize(width);
      at(1000 * step);
      shown.update(10 * (step + 1), "loss 2.5 · 99999 tokens/s");
      const remains = screen.rows.slice(screen.rows.indexOf("quantizing") - 1).filter((row) => row !== "");
      equal(screen.rows.filter((row) => row.includes("/100") || row.startsWith("quanti")).length, 1, remains.join("\n"));
    }
    equal(screen.rows[0], "above");
    match(screen.rows[1], /^quantizing █{12}░{12} 50\/100 · loss 2\.5 · 99999 tokens\/s · \d+ s left$/);
  });
});

Deno.test("the display that began last is seen, and the one before comes back", () => {
  const screen = new Screen(60);
  showing({ title: "outer", total: 2, stream: screen }, (outer) => {
    outer.update(1);
    showing({ title: "inner", total: 2, unit: "bytes", stream: screen }, (inner) => {
      inner.update(1);
      deepEqual(screen.rows.map((row) => row.slice(0, 5)), ["inner"]);
    });
    deepEqual(screen.rows.map((row) => row.slice(0, 5)), ["inner", "outer"]);
  });
});

Deno.test("in a pipe a line comes now and then, less often as time passes", () => {
  const lines: string[] = [];
  const stream = { isTerminal: false, hasColour: true, columns: () => 40, write: (text: string) => void lines.push(text) };
  showing({ title: "tokenizing", total: 3600 * 2 ** 20, unit: "bytes", stream }, (shown, at) => {
    for (let second = 1; second <= 3600; second++) {
      at(1000 * second);
      shown.update(second * 2 ** 20);
    }
  });
  ok(lines.length > 40 && lines.length < 120, `${lines.length} lines`);
  equal(lines[0], "tokenizing 1.0 MiB of 3.5 GiB\n");
  equal(lines.at(-1), "tokenizing 3.5 GiB of 3.5 GiB · took 1 h 00 min\n");
});

Deno.test("what nobody knows the end of is counted, and costs are told as a share", () => {
  const lines: string[] = [];
  const stream = { isTerminal: false, hasColour: false, columns: () => 40, write: (text: string) => void lines.push(text) };
  showing({ title: "reading", unit: "files", stream }, (shown) => shown.update(17));
  showing({ title: "cases", total: 0.5, unit: "%", stream }, (shown) => shown.update(0.125, "adamw"));
  deepEqual(lines, ["reading 17 files\n", "cases 25 % · adamw\n"]);
});

Deno.test("after the first tenth, the time left is right within a third: slow starts, bundles, drifting rates", () => {
  const worlds: Record<string, (unit: number) => number> = {
    even: () => 100,
    "a start that compiles": (unit) => unit === 1 ? 30_000 : 100,
    bundles: (unit) => unit % 8 === 1 ? 800 : 0,
    noise: (unit) => 50 + (unit * 7919) % 100,
    "slower by a third": (unit) => 100 + unit / 12,
  };
  for (const [name, cost] of Object.entries(worlds)) {
    const total = 400, ends: number[] = [];
    for (let unit = 1, now = 0; unit <= total; unit++) ends.push(now += cost(unit));
    const time = new TimeLeft(total, 0);
    for (const [index, at] of ends.entries()) {
      time.observe(index + 1, at);
      if (index + 1 < total / 10 || index + 1 > 0.95 * total) continue;
      const left = (ends.at(-1)! - at) / 1000;
      const said = time.secondsLeft(at)!;
      ok(Math.abs(said - left) <= left / 3, `${name}, ${index + 1} of ${total}: said ${said} s, it was ${left} s`);
    }
  }
});

Deno.test("no time is told before anything is known of the rate, and it passes while nothing happens", () => {
  const time = new TimeLeft(100, 0);
  equal(time.secondsLeft(5), undefined);
  time.observe(1, 60_000);
  equal(time.secondsLeft(60_000), undefined); // a minute of compiling says nothing of the other 99
  time.observe(2, 61_000);
  deepEqual([time.secondsLeft(61_500), time.secondsLeft(71_000), time.secondsLeft(999_000)], [97.5, 88, 0]);
  equal(new TimeLeft(undefined, 0).secondsLeft(9), undefined);
});

Deno.test("work that tells its total with its news is shown once it takes a second, each total as a piece of its own", () => {
  const lines: string[] = [];
  const stream = { isTerminal: false, hasColour: false, columns: () => 80, write: (text: string) => void lines.push(text) };
  let now = 0;
  {
    using shown = reportedProgress({ title: "packing", unit: "%", stream, clock: () => now });
    const at = (time: number, done: number, total: number) => {
      now = time;
      shown.update(done, total);
    };
    at(100, 1, 2);
    at(200, 2, 2);
    deepEqual(lines, []);
    at(2200, 1, 3);
    at(9200, 2, 3);
    at(15_200, 3, 3);
  }
  deepEqual(lines, ["packing 33 %\n", "packing 66 % · 7 s left\n", "packing 100 % · took 15 s\n"]);
});

Deno.test("a calibration is expected to end where its error will be small enough", () => {
  const news = { probes: 16, of: 256 };
  equal(expectedProbes({ ...news, scaleError: 0.02 }, 0.01), 64);
  equal(expectedProbes({ ...news, scaleError: 0.005 }, 0.01), 16);
  deepEqual([0.5, Infinity, NaN].map((scaleError) => expectedProbes({ ...news, scaleError }, 0.01)), [256, 256, 256]);
});

/**
 * The page of runs, in a page: its curves say what the files of the runs say, by keyboard too, on wide and on narrow screens.
 */

import { deepEqual, equal, ok } from "../assert.ts";
import { type PageAssets, runPage } from "../../src/report/run_page.ts";
import { exampleRun, exampleSteps } from "../support/run_view.ts";

/** What there is of the DOM here; the library is checked without its types. */
// deno-lint-ignore no-explicit-any
const { document, KeyboardEvent, Event } = globalThis as any;

/** Shows a page in a frame of so many pixels, and gives what `see` makes of it. */
// deno-lint-ignore no-explicit-any
async function shown<T>(html: string, width: number, see: (page: any, frame: any) => T | Promise<T>): Promise<T> {
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  const loaded = new Promise((resolve) => frame.onload = resolve);
  frame.srcdoc = html;
  document.body.append(frame);
  await loaded;
  await new Promise((resolve) => setTimeout(resolve, 300)); // the page draws once more when it knows its size
  try {
    return await see(frame.contentDocument, frame.contentWindow);
  } finally {
    frame.remove();
  }
}

const assets: PageAssets = await (await fetch("/page_assets.json")).json();

/** What the legend of a chart says where the cursor is. */
// deno-lint-ignore no-explicit-any
const legendOf = (page: any, chart: string): Record<string, string> =>
  // deno-lint-ignore no-explicit-any
  Object.fromEntries([...page.querySelectorAll(`[data-chart=${chart}] .u-series`)].map((row: any) => [
    row.querySelector(".u-label").textContent,
    row.querySelector(".u-value").textContent,
  ]));

// deno-lint-ignore no-explicit-any
const press = (page: any, chart: string, key: string) =>
  page.querySelector(`[data-chart=${chart}] .plot`).dispatchEvent(new KeyboardEvent("keydown", { key }));

Deno.test("curves are the lines of metrics.jsonl, step by step as the keyboard walks along them", () =>
  shown(runPage([exampleRun("one", 60)], assets), 1000, async (page, frame) => {
    equal(frame.broken, undefined, "no text of a run is a program");
    ok(page.querySelector("#samples q").textContent.startsWith("<b>text of 60"), "nor a part of the page");
    page.querySelector("#smoothing").value = 0;
    page.querySelector("#smoothing").dispatchEvent(new Event("input"));
    const wanted = exampleSteps(60);
    press(page, "loss", "End");
    await new Promise((resolve) => setTimeout(resolve, 100));
    for (let step = 60; step > 55; step--) {
      const { step: place, loss } = legendOf(page, "loss");
      deepEqual([Number(place), Number(loss)], [step + 10, Number(wanted[step - 1].lossNats.toPrecision(4))]);
      press(page, "loss", "ArrowLeft");
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    press(page, "flips", "Home");
    await new Promise((resolve) => setTimeout(resolve, 100));
    deepEqual(legendOf(page, "flips"), { step: "30", q_proj: "0.05", v_proj: "0.05" });
    page.querySelector("#part").value = "q_proj";
    page.querySelector("#part").dispatchEvent(new Event("input"));
    deepEqual(Object.keys(legendOf(page, "flips")), ["step", "layer 0", "layer 1"]);
  }));

Deno.test("runs are laid over each other, can be put away, and differ where their configurations do", () =>
  shown(runPage([exampleRun("one", 60), exampleRun("two", 80)], assets), 1000, (page) => {
    deepEqual(Object.keys(legendOf(page, "pressure")), ["step", "one: value", "two: value"]);
    const box = page.querySelector("input[data-run='0']");
    box.checked = false;
    box.dispatchEvent(new Event("change"));
    deepEqual(Object.keys(legendOf(page, "pressure")), ["step", "two: value"]);
    ok(/Differences.*quantize\.steps.*60.*80/s.test(page.querySelector("#about").textContent));
  }));

Deno.test("a telephone sees all charts, none wider than it is; logarithmic axes have a place for zeros", () =>
  shown(runPage([exampleRun("one", 60)], assets), 360, (page) => {
    const visible = () => [...page.querySelectorAll("figure[data-chart]:not([hidden]) canvas")];
    equal(visible().length, page.querySelectorAll("figure[data-chart]").length);
    ok(visible().every((canvas) => canvas.getBoundingClientRect().right <= 360));
    ok(page.documentElement.scrollWidth <= 360, `${page.documentElement.scrollWidth} pixels`);
    for (const id of ["log-x", "log-y"]) {
      page.querySelector(`#${id}`).checked = true;
      page.querySelector(`#${id}`).dispatchEvent(new Event("input"));
    }
    equal(visible().length, page.querySelectorAll("figure[data-chart]").length);
  }));

Deno.test("a hundred thousand steps are drawn again within a second", () =>
  shown(runPage([exampleRun("long", 100_000)], assets), 1000, (page) => {
    const begun = performance.now();
    page.querySelector("#smoothing").value = 0.9;
    page.querySelector("#smoothing").dispatchEvent(new Event("input"));
    ok(performance.now() - begun < 1000, `${performance.now() - begun} ms`);
  }));

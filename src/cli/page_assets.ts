/**
 * Programs and styles that the page of a run holds. They are texts to us, and run in a browser.
 *
 * @module
 */

import type { PageAssets } from "../report/run_page.ts";

/** Reads them once; uPlot draws the charts. */
export async function pageAssets(): Promise<PageAssets> {
  const [plot, plotStyle, ...own] = await Promise.all([
    import("uplot/dist/uPlot.iife.min.js", { with: { type: "text" } }),
    import("uplot/dist/uPlot.min.css", { with: { type: "text" } }),
    import("../report/client/run_data.js", { with: { type: "text" } }),
    import("../report/client/chart.js", { with: { type: "text" } }),
    import("../report/client/page.js", { with: { type: "text" } }),
  ]);
  return { scripts: [plot.default, joined(own.map((each) => each.default))], styles: [plotStyle.default] };
}

/** Modules that import from the ones before them alone, as one script. */
function joined(modules: readonly string[]): string {
  const parts = modules.map((text) => text.replace(/^import .*;$/gm, "").replace(/^export (?=const|class|function)/gm, ""));
  return `{\n${parts.join("\n")}\n}`;
}

/** The heat map of traces, as text. */

import { traceHeatMap } from "../../src/report/heat_map.ts";
import { deepEqual, equal, match, ok, throws } from "../assert.ts";

const name = (layer: number, component: string) => `model.layers.${layer}.${component}.weight`;
const traces = {
  [name(0, "self_attn.q_proj")]: 100,
  [name(1, "self_attn.q_proj")]: 10,
  [name(0, "mlp.up_proj")]: 1,
  [name(1, "mlp.up_proj")]: -0.3,
  "model.norm.weight": 7,
};
const all = (svg: string, pattern: RegExp) => [...svg.matchAll(pattern)].map(([, found]) => found);

Deno.test("traceHeatMap() draws each weight once, on a logarithmic scale", () => {
  const standardErrors = { [name(1, "mlp.up_proj")]: 1, [name(0, "mlp.up_proj")]: 0.1 };
  const svg = traceHeatMap(traces, { standardErrors, title: "a < b & c" });
  const cells = all(svg, /<g>(.+?)<\/g>/g);
  equal(cells.length, 4);
  deepEqual(all(svg, /class="value \w+">([^<]*)</g), ["100", "10.0", "1.0", "&#60;1.0"]);
  const fills = cells.map((cell) => cell.match(/fill="(.+?)"/)![1]);
  deepEqual(fills, ["rgb(253 231 37)", "rgb(33 145 140)", "rgb(68 1 84)", "rgb(68 1 84)"]);
  deepEqual(all(svg, /class="tick">([^<]*)</g), ["1.0", "10.0", "100"]);
  match(svg, />a &#60; b &#38; c</);
  const tags = [...svg.matchAll(/<[a-z][^>]*>/gi)].filter(([tag]) => !tag.endsWith("/>"));
  equal(tags.length, svg.match(/<\/[a-z]+>/gi)!.length); // every element is closed
});

Deno.test("traceHeatMap() bears equal, negative and single traces", () => {
  for (const values of [[5, 5], [-1, 0], [0, 2]]) {
    const svg = traceHeatMap({ [name(3, "mlp.up_proj")]: values[0], [name(4, "mlp.up_proj")]: values[1] });
    ok(!/NaN|Infinity|undefined/.test(svg), svg);
  }
  throws(() => traceHeatMap({ other: 1 }), /Cannot draw traces: wanted some of model.layers/);
});

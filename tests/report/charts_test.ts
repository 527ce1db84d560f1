import { barChart, histogramChart, intervalChart, lineChart } from "../../src/report/charts.ts";
import { figure, htmlTable, page } from "../../src/report/page.ts";
import { legend } from "../../src/report/plot.ts";
import { SvgDocument } from "../../src/report/svg_document.ts";
import { equal, match, ok, throws } from "../assert.ts";

const axes = { title: "a < b", x: "step", y: "loss" };
const line = (points: [number, number][]) => ({ label: "one", color: "var(--series-1)", points });
const count = (text: string, part: string) => text.split(part).length - 1;

Deno.test("a line chart draws every line in its colour, is named for those who hear it, and may lie on a level", () => {
  const svg = lineChart([line([[1, 2], [2, 3]]), {
    ...line([[1, 5], [2, 4]]),
    label: "two",
    color: "var(--quiet)",
    dashed: true,
  }], {
    ...axes,
    dots: true,
    reference: 0,
  });
  match(svg, /^<svg role="img" aria-label="a &lt; b" /);
  equal(count(svg, 'stroke="var(--series-1)"'), 1);
  equal(count(svg, 'stroke="var(--quiet)"'), 1);
  equal(count(svg, "<circle"), 4);
  match(svg, /stroke-dasharray="5/);
  match(svg, /stroke-dasharray="2/);
});

Deno.test("charts refuse what is not a number, which a viewer would leave out without a word", () => {
  const broken = line([[1, 1], [2, 2]]);
  const interval = { label: "x", color: "red", mean: NaN, standardError: 1, values: [1] };
  throws(() => intervalChart([interval], { title: "t", x: "x" }), /Cannot draw "t": one of its numbers is NaN/);
  throws(() => lineChart([{ ...broken, points: [[1, 1], [2, NaN]] }], axes), /Cannot draw "a < b"/);
});

Deno.test("intervals, bars and histograms have a mark for each value", () => {
  const intervals = [
    { label: "x", color: "red", mean: 1, standardError: 0.1, values: [0.9, 1.1] },
    { label: "y", color: "blue", mean: 2, standardError: null, values: [2] },
  ];
  equal(count(intervalChart(intervals, { title: "t", x: "x", reference: 0 }), "<circle"), 5);
  const bars = barChart([{ label: "x", color: "red", value: -2 }, { label: "y", color: "blue", value: 7.25 }], {
    title: "t",
    x: "%",
  });
  match(bars, />7\.3</);
  match(bars, />-2\.0</);
  const histogram = histogramChart({ title: "h", limit: 1, before: [1, 3], after: [2, 2], color: "red" });
  equal(count(histogram, "<rect"), 2);
});

Deno.test("a page holds all that it needs, in light and dark, and text stays text", () => {
  const html = page("Title & more", {
    lead: "lead",
    sections: [{
      title: "A",
      text: "1 < 2",
      body: htmlTable(["arm"], [["<b>"]]) + figure("<svg></svg>", "caption") +
        legend([{ label: "x", color: "red" }, { label: "y", color: "blue", dashed: true }]),
    }],
  });
  match(html, /^<!doctype html>/);
  match(html, /prefers-color-scheme: dark/);
  match(html, /<h1>Title &amp; more<\/h1>/);
  match(html, /1 &lt; 2/);
  match(html, /<td>&lt;b&gt;<\/td>/);
  match(html, /<figcaption>caption<\/figcaption>/);
  match(html, /repeating-linear-gradient/);
  ok(!/https?:|<script|<link|src=/.test(html));
});

Deno.test("a drawn document is well-formed XML: texts and attributes are escaped, children are where they were put", () => {
  const document = new SvgDocument();
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("title", 'a "b" & <c>');
  svg.style.setProperty("font-size", "12px");
  svg.append("1 < 2 & 3");
  const [first, second] = ["a", "b"].map((name) => document.createElementNS(svg.namespaceURI, name));
  svg.appendChild(second);
  svg.insertBefore(first, second);
  svg.appendChild(second).textContent = "x";
  equal(
    svg.outerHTML,
    '<svg title="a &quot;b&quot; &amp; &lt;c&gt;" style="font-size:12px">1 &lt; 2 &amp; 3<a/><b>x</b></svg>',
  );
  equal(svg.textContent, "1 < 2 & 3x");
});

/**
 * A page that needs nothing besides itself.
 *
 * @module
 */

import { escaped } from "./svg_document.ts";

/** A part of a page. Bodies are HTML. */
export interface Section {
  readonly title: string;
  /** What is seen, for people who were not there. */
  readonly text: string;
  readonly body: string;
}

/** The style sheet of all pages, light and dark; series colours follow Okabe and Ito's palette, brightened on dark. */
export const pageStyle = `
:root { color-scheme: light dark; --text: #1c1c1e; --page: #ffffff; --faint: #d9d9de; --muted: #5c5c66; --quiet: #8a8a94;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73; --series-4: #b0559a; --series-5: #8f6b00; --series-6: #2b8fc9;
  --series-7: #7a4fd0; --series-8: #4d4d4d; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececf0; --page: #16161a; --faint: #3a3a42; --muted: #a5a5b0; --quiet: #8f8f9a;
    --series-1: #56b4e9; --series-2: #ff9d4d; --series-3: #2fd6a3; --series-4: #e79bd2; --series-5: #f0d14e; --series-6: #9ad2f5;
    --series-7: #b79bff; --series-8: #c9c9c9; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
p { max-width: 44rem; } .muted { color: var(--muted); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td { white-space: nowrap; }
th, td { padding: .25rem .75rem .25rem 0; text-align: right; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; } th { vertical-align: bottom; color: var(--muted); font-weight: 600; }
.scroll { overflow-x: auto; } .row { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0 0 1rem; }
figcaption { font-size: .9rem; color: var(--muted); } svg { max-width: 100%; height: auto; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .9rem; }
.legend span { display: inline-block; width: 1.4em; height: .3em; margin-right: .4em; vertical-align: .2em; }
`;

/** The whole page. */
export function page(
  title: string,
  { lead, sections }: { readonly lead: string; readonly sections: readonly Section[] },
): string {
  const parts = sections.map(({ title, text, body }) =>
    `<section>\n<h2>${escaped(title)}</h2>\n<p>${escaped(text)}</p>\n${body}\n</section>`
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${pageStyle}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
<p>${escaped(lead)}</p>
${parts.join("\n")}
</body>
</html>
`;
}

/** A chart with a caption below it. */
export function figure(svg: string, caption?: string): string {
  return `<figure>${svg}${caption === undefined ? "" : `<figcaption>${escaped(caption)}</figcaption>`}</figure>`;
}

/** A table; the first column names the rows. */
export function htmlTable(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: "th" | "td") =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((row) => line(row, "td")).join("\n");
  return `<div class="scroll"><table><thead>${line(heading, "th")}</thead><tbody>\n${body}\n</tbody></table></div>`;
}

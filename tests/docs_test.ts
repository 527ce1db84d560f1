/** What the pages say of the repository, compared with it. */

import { deepEqual } from "./assert.ts";

const root = new URL("../", import.meta.url);
const pages = ["README.md", "CONTRIBUTING.md", ...[...Deno.readDirSync(new URL("docs", root))].map(({ name }) => `docs/${name}`)];
const textOf = (path: string): string => Deno.readTextFileSync(new URL(path, root));

Deno.test("the maps of the folders have a row for each", () => {
  const entries = [...Deno.readDirSync(new URL("src", root))];
  const folders = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  const missing = (page: string, names: readonly string[]) => names.filter((name) => !textOf(page).includes(`\`src/${name}`));
  deepEqual(missing("docs/ARCHITECTURE.md", entries.map(({ name }) => name)), []);
  deepEqual(missing("README.md", folders), []);
});

Deno.test("every task is named in the README or among those of CONTRIBUTING", () => {
  const tasks = Object.keys(JSON.parse(textOf("deno.json")).tasks);
  const said = textOf("README.md") + textOf("CONTRIBUTING.md");
  deepEqual(tasks.filter((task) => !said.includes(`deno task ${task}\``)), []);
});

Deno.test("links between the pages lead to files", () => {
  const links = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)].map(([, link]) => ({ page, link }))
  );
  const broken = links.filter(({ page, link }) => {
    try {
      Deno.statSync(new URL(link, new URL(page, root)));
      return false;
    } catch {
      return true;
    }
  });
  deepEqual([broken, links.length > 8], [[], true]);
});

/** A command for the tests of a real terminal: it asks a server what to do next, and shows that. */

import { main } from "../../src/cli/main.ts";
import { type Progress, progress } from "../../src/cli/progress.ts";

/** One thing to do. */
export type Deed =
  | { readonly begin: { readonly title: string; readonly total: number; readonly unit?: string } }
  | { readonly update: readonly [done: number, text: string] }
  | { readonly say: string }
  | { readonly print: string }
  | { readonly end: true };

if (import.meta.main) {
  await main({
    name: "progress",
    summary: "Shows progress as it is told.",
    options: {},
    positionals: { url: { required: true, description: "The server that tells" } },
  }, async ({ url }, { signal, print }) => {
    let shown: Progress | undefined;
    for (;;) {
      const deed: Deed = await (await fetch(url, { signal })).json();
      if ("begin" in deed) shown = progress(deed.begin);
      else if ("update" in deed) shown!.update(...deed.update);
      else if ("say" in deed) console.error(deed.say);
      else if ("print" in deed) print(deed.print);
      else return;
      await new Promise((resolve) => setTimeout(resolve, 110)); // the display is drawn ten times a second at most
    }
  });
}

/**
 * `deno task report`: one page of runs, finished or not.
 *
 * @module
 */

import { writeFileAtomic } from "../io/atomic.ts";
import { runPage } from "../report/run_page.ts";
import type { Command } from "./args.ts";
import { nameOf } from "./files.ts";
import { main } from "./main.ts";
import { refusing } from "./models.ts";
import { pageAssets } from "./page_assets.ts";
import { readRun } from "./run_view.ts";
import { closing } from "./summary.ts";

const command = {
  name: "report",
  summary:
    "Makes one page (HTML, with all that it needs) of the folders of runs, finished or not; several are laid over each other.",
  options: {
    output: {
      type: "string",
      value: "FILE",
      description: "The page (default: report.html in the folder of a single run, runs.html)",
    },
  },
  positionals: { dirs: { description: "Folders that deno task train has written", required: true, several: true } },
} as const satisfies Command;

/** Writes the page of runs. @throws {UsageError} Where one cannot be read, or the page cannot be written. */
export async function writeReport(folders: readonly string[], output: string): Promise<void> {
  const names = distinct(folders);
  const runs = await Promise.all(folders.map((folder, at) => readRun(folder, names[at])));
  const html = runPage(runs, await pageAssets());
  await refusing(() => writeFileAtomic(output, html));
}

/** Last parts of paths where they differ, whole paths else. */
function distinct(folders: readonly string[]): string[] {
  const whole = folders.map((folder) => folder.replace(/[/\\]+$/, ""));
  const short = whole.map(nameOf);
  return new Set(short).size === short.length ? short : whole;
}

if (import.meta.main) {
  await main(command, async ({ dirs, output: typed }, { print }) => {
    const folders = dirs.split("\n");
    const output = typed ?? (folders.length === 1 ? `${folders[0].replace(/[/\\]+$/, "")}/report.html` : "runs.html");
    await writeReport(folders, output);
    print(closing({ written: [output], next: [] }));
    return { summary: { output, runs: folders } };
  });
}

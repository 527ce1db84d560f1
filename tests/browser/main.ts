/**
 * `deno task test:browser`: tests in a headless Chromium, whose compiler of shaders is another one, and stricter, than Deno's.
 *
 * @module
 */

import { type Browser, chromium } from "playwright-core";
import type { Command, Option, Positional } from "../../src/cli/args.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { type Context, main } from "../../src/cli/main.ts";
import type { Told, Visit } from "./page.ts";
import { serve } from "./server.ts";

const command = {
  name: "test:browser",
  summary: "Run tests in a headless Chromium, on its software adapter.",
  options: {
    as: {
      type: "string",
      choices: ["fallback", "gpu"],
      value: "KIND",
      description: "Treat the adapter as the software that it is, or as a GPU; by default first one, then the other",
    },
    hardware: { type: "boolean", description: "Use the machine's GPU instead of the software adapter" },
    chromium: { type: "string", value: "FILE", description: "The browser; by default where systems usually have it" },
    verbose: { type: "boolean", description: "Print a line for each test" },
  },
  positionals: { path: { description: "A file of tests, or a folder of them", default: "tests/browser" } },
} as const satisfies Command<Record<string, Option>, Record<string, Positional>>;

const usualPaths = [
  ...["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"].map((name) => `/usr/bin/${name}`),
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:/Program Files/Google/Chrome/Application/chrome.exe",
];

/** Folders whose tests ask for processes, files and signals, which no page has. */
const withoutPage = /^tests\/(cli|experiment|hub|peers|support|golden)\//;

/** Longest that a file may take. */
const patienceMinutes = 15;

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

function browserPath(asked: string | undefined): string {
  const found = asked ?? usualPaths.find(isFile);
  if (found !== undefined && isFile(found)) return found;
  throw new UsageError(
    `there is no ${asked ?? "Chromium"}. On Debian or Ubuntu: sudo apt-get install -y chromium; --chromium FILE names another`,
  );
}

/** Files of tests under a path, those for pages alone included. */
function testFiles(path: string): string[] {
  if (isFile(path)) return [path];
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return /_(test|page)\.ts$/.test(name) ? [`${path}/${name}`] : [];
  }).filter((file) => !withoutPage.test(file)).sort();
}

function launch(
  { chromium: executable, hardware }: { readonly chromium?: string; readonly hardware: boolean },
): Promise<Browser> {
  const software = ["--use-webgpu-adapter=swiftshader", "--disable-gpu-sandbox"];
  const args = ["--no-sandbox", "--enable-unsafe-webgpu", "--disable-background-networking", ...hardware ? [] : software];
  return chromium.launch({ executablePath: browserPath(executable), args });
}

/** Runs one file in a page of its own. */
async function run(browser: Browser, origin: string, visit: Visit, tell: (told: Told) => void): Promise<void> {
  const page = await browser.newPage();
  let stop = (_: Error) => {};
  const stopped = new Promise<never>((_, reject) => stop = reject);
  const timer = setTimeout(() => stop(new Error(`took more than ${patienceMinutes} minutes`)), patienceMinutes * 60_000);
  page.on("crash", () => stop(new Error("the page crashed")));
  try {
    await page.exposeFunction("tell", tell);
    await page.goto(origin);
    const work = page.evaluate(
      `import("/tests/browser/page.ts").then(({ visit }) => visit(${JSON.stringify(visit)}, globalThis.tell))`,
    );
    await Promise.race([work, stopped]);
  } catch (error) {
    tell({ name: visit.file, verdict: "failed", reason: (error as Error).message, milliseconds: 0 });
  } finally {
    clearTimeout(timer);
    await page.close();
  }
}

/** Runs files one after another, and counts what became of their tests. */
async function runAll(
  browser: Browser,
  visits: readonly Visit[],
  { verbose, signal, print }: Pick<Context, "signal" | "print"> & { readonly verbose: boolean },
): Promise<Record<Told["verdict"], number>> {
  const counts = { passed: 0, failed: 0, "left out": 0 };
  const server = serve();
  for (const visit of visits) {
    signal.throwIfAborted();
    const begun = performance.now();
    const before = { ...counts };
    await run(browser, server.origin, visit, ({ name, verdict, reason, milliseconds }) => {
      counts[verdict]++;
      if (verbose || verdict === "failed") {
        print(`  ${verdict} ${name} (${Math.round(milliseconds)} ms)${reason === undefined ? "" : `\n    ${reason}`}`);
      }
    });
    const told = Object.entries(counts).map(([verdict, count]) => [verdict, count - before[verdict as Told["verdict"]]] as const);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    const says = told.filter(([, count]) => count > 0).map(([verdict, count]) => `${count} ${verdict}`).join(", ");
    print(`${visit.asGpu ? "as a GPU" : "as it is"}: ${visit.file}: ${says || "no tests"} (${seconds} s)`);
  }
  await server.close();
  return counts;
}

await main(command, async ({ path, as, hardware, chromium, verbose }, { signal, print }) => {
  const kinds = as !== undefined ? [as] : hardware ? ["fallback"] : ["fallback", "gpu"];
  const environment = Object.fromEntries(["HESTIA_DEEP", "HESTIA_TUNE"].map((name) => [name, Deno.env.get(name) ?? ""]));
  const files = testFiles(path);
  const visits = kinds.flatMap((kind) => files.map((file): Visit => ({ file, asGpu: kind === "gpu", environment })));
  await using browser = await launch({ chromium, hardware });
  print(`Chromium ${browser.version()}`);
  const counts = await runAll(browser, visits, { verbose, signal, print });
  print(`${counts.passed} passed, ${counts.failed} failed, ${counts["left out"]} left out`);
  return { summary: counts, exitCode: counts.failed > 0 ? 1 : 0 };
});

/**
 * The preflight before every task: is there what Hestia needs, and if not, what is to be done? Where nothing is missing it takes a fraction of
 * a second and prints one line.
 *
 * @module
 */

import { exitCodes, UsageError } from "./errors.ts";
import { report } from "./main.ts";
import { tuningFile } from "../tuning/file.ts";

/** Oldest Deno whose WebGPU and tools the project is tested with. */
const OLDEST_DENO = "2.9";

/** Debian's and Ubuntu's package with a software Vulkan driver (lavapipe) and those of AMD and Intel GPUs. */
const DRIVER_PACKAGE = "mesa-vulkan-drivers";

/** What the preflight found. */
export interface Preflight {
  /** What the WebGPU adapter calls itself; absent where there is none, and the float64 reference backend does the work. */
  readonly adapter?: string;
}

/** What can be done about the adapter. */
export type AdapterPlan = "ready" | "install" | "advise";

/** Decide what to do about the adapter: it is installed only where that needs no password and nobody has forbidden it. */
export function planAdapter(
  facts: { readonly found: boolean; readonly isRoot: boolean; readonly hasApt: boolean; readonly mayInstall: boolean },
): AdapterPlan {
  if (facts.found) return "ready";
  return facts.isRoot && facts.hasApt && facts.mayInstall ? "install" : "advise";
}

/**
 * Look for a recent Deno and a WebGPU adapter; install a software driver where that is possible
 * (see {@linkcode planAdapter}; `HESTIA_NO_INSTALL=1` forbids it). Prints to stderr.
 *
 * @throws {UsageError} Where Deno is too old. All else is a warning: the reference backend needs no adapter.
 */
export async function preflight(): Promise<Preflight> {
  checkDeno(Deno.version.deno);
  const adapter = await ensureAdapter();
  if (adapter !== undefined) console.error(`Ready: Deno ${Deno.version.deno}, WebGPU on ${adapter}`);
  const file = tuningFile();
  if (file !== undefined && isFile(file)) console.error(`Fastest kernels are remembered in ${file}`);
  return { adapter };
}

/** @throws {UsageError} Where `version` is older than {@linkcode OLDEST_DENO}. */
export function checkDeno(version: string): void {
  const [major, minor] = version.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_DENO.split(".").map(Number);
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new UsageError(
    `Hestia needs Deno ${OLDEST_DENO} or later, this is ${version}: type "deno upgrade", or run the task by "npx -y deno@latest task ..."`,
  );
}

/** Name of the adapter that the next process will have, installed if need be; absent where there is none. */
async function ensureAdapter(): Promise<string | undefined> {
  const found = await findVulkanAdapter();
  const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
  const mayInstall = Deno.env.get("HESTIA_NO_INSTALL") !== "1";
  const plan = planAdapter({ found: found !== undefined, isRoot, hasApt: isOnPath("apt-get"), mayInstall });
  if (plan === "ready") return found;
  if (plan === "install" && await installDriver()) return await adapterOfNewProcess();
  const other = await adapterOfNewProcess();
  console.error(
    (other === undefined
      ? "warning: no WebGPU adapter, so the float64 reference backend will do the work, many times slower."
      : `warning: WebGPU runs on OpenGL (${other}), which Hestia is not tested with.`) +
      ` A software driver for Vulkan is enough:\n  ${isRoot ? "" : "sudo "}apt-get install -y ${DRIVER_PACKAGE}`,
  );
  return other;
}

/** Name of the adapter that WebGPU gives this process, if any. A process that found none will not find one later. */
async function findAdapter(): Promise<string | undefined> {
  // Any value will do: without one the Vulkan loader prints two lines of complaint.
  if (Deno.env.get("XDG_RUNTIME_DIR") === undefined) Deno.env.set("XDG_RUNTIME_DIR", "/tmp");
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter ? adapter.info.description || adapter.info.device || adapter.info.vendor || "an unnamed adapter" : undefined;
}

/** As {@linkcode findAdapter}; on Linux, where Deno would settle for OpenGL, only Vulkan counts unless somebody has chosen. */
async function findVulkanAdapter(): Promise<string | undefined> {
  const variable = "DENO_WEBGPU_BACKEND";
  if (Deno.build.os !== "linux" || Deno.env.get(variable) !== undefined) return await findAdapter();
  Deno.env.set(variable, "vulkan");
  const found = await findAdapter();
  Deno.env.delete(variable); // processes started from here inherit the environment
  return found;
}

/** Name of the adapter that a process started now finds, if any. */
async function adapterOfNewProcess(): Promise<string | undefined> {
  const { success, output } = await run(Deno.execPath(), [
    "run",
    "-A",
    "--quiet",
    import.meta.filename ?? import.meta.url,
    PROBE,
  ]);
  return success ? output.trim().split("\n").at(-1) : undefined;
}

/** Install the software driver. @returns Whether that worked. */
async function installDriver(): Promise<boolean> {
  console.error(`No Vulkan adapter: installing ${DRIVER_PACKAGE} (HESTIA_NO_INSTALL=1 forbids it) ...`);
  const install = ["install", "-y", "--no-install-recommends", DRIVER_PACKAGE];
  if ((await run("apt-get", install)).success) return true;
  // The package lists of a fresh container are empty, and old ones name files that are gone: fetch them, then once more.
  const update = await run("apt-get", ["update"]);
  const { success, output } = await run("apt-get", install);
  if (!success) console.error(update.output + output);
  return success;
}

async function run(command: string, args: string[]): Promise<{ readonly success: boolean; readonly output: string }> {
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const { success, stdout, stderr } = await new Deno.Command(command, { args, env, stdin: "null" }).output();
  const decoder = new TextDecoder();
  return { success, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

function isOnPath(name: string): boolean {
  const folders = (Deno.env.get("PATH") ?? "").split(Deno.build.os === "windows" ? ";" : ":");
  return folders.some((folder) => isFile(`${folder}/${name}`));
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

/** Argument under which this file, as a process of its own, only prints the name of the adapter. */
const PROBE = "--probe";

async function probe(): Promise<number> {
  const adapter = await findAdapter();
  if (adapter === undefined) return exitCodes.failure;
  console.log(adapter);
  return exitCodes.success;
}

if (import.meta.main) {
  const work = Deno.args.includes(PROBE) ? probe() : preflight().then(() => exitCodes.success);
  Deno.exit(await work.catch(report));
}

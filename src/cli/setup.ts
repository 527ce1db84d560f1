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
export type AdapterPlan = "ready" | "install" | "ask" | "advise";

/** What is known of the machine and its user. */
export interface MachineFacts {
  /** There is an adapter. */
  readonly found: boolean;
  readonly isRoot: boolean;
  readonly hasApt: boolean;
  /** Somebody sits at the terminal. */
  readonly isTerminal: boolean;
  readonly isContainer: boolean;
  /** `HESTIA_INSTALL`, `HESTIA_NO_INSTALL` and `CI` of the environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Decide what to do about the adapter: root is asked at a terminal. Where nobody can be asked it is installed if `HESTIA_INSTALL=1` or
 * `CI=true` says so, or in a container; never where `HESTIA_NO_INSTALL=1` forbids it.
 */
export function planAdapter({ found, isRoot, hasApt, isTerminal, isContainer, environment }: MachineFacts): AdapterPlan {
  if (found) return "ready";
  if (!isRoot || !hasApt || environment.HESTIA_NO_INSTALL === "1") return "advise";
  if (environment.HESTIA_INSTALL === "1" || environment.CI === "true") return "install";
  if (isTerminal) return "ask";
  return isContainer ? "install" : "advise";
}

/**
 * Look for a recent Deno and a WebGPU adapter; install a software driver where that is possible and wanted (see
 * {@linkcode planAdapter}). Prints to stderr.
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
  const facts = { ...machine(), found: found !== undefined };
  const plan = planAdapter(facts);
  if (plan === "ready") return found;
  const isWanted = plan === "install" || plan === "ask" && isAgreedTo(`No Vulkan adapter. Install ${DRIVER_PACKAGE} by apt-get?`);
  if (isWanted && await installDriver(facts)) return await adapterOfNewProcess();
  const other = await adapterOfNewProcess();
  console.error(
    (other === undefined
      ? "warning: no WebGPU adapter, so the float64 reference backend will do the work, many times slower."
      : `warning: WebGPU runs on OpenGL (${other}), which Hestia is not tested with.`) +
      ` A software driver for Vulkan is enough:\n  ${facts.isRoot ? "" : "sudo "}apt-get install -y ${DRIVER_PACKAGE}` +
      (plan === "advise" && facts.isRoot && facts.hasApt && !facts.environment.HESTIA_NO_INSTALL
        ? "\n(HESTIA_INSTALL=1 has it installed by the task itself)"
        : ""),
  );
  return other;
}

/** What is known of the machine and its user, but for the adapter. */
function machine(): Omit<MachineFacts, "found"> {
  const names = ["HESTIA_INSTALL", "HESTIA_NO_INSTALL", "CI"];
  return {
    isRoot: Deno.build.os === "linux" && Deno.uid() === 0,
    hasApt: isOnPath("apt-get"),
    isTerminal: Deno.stdin.isTerminal() && Deno.stderr.isTerminal(),
    isContainer: isContainer(),
    environment: Object.fromEntries(names.map((name) => [name, Deno.env.get(name)])),
  };
}

/** Whether this is a container: by the files that engines leave, or since no system was started in it. */
function isContainer(): boolean {
  if (Deno.build.os !== "linux") return false;
  if (isFile("/.dockerenv") || isFile("/run/.containerenv") || Deno.env.get("KUBERNETES_SERVICE_HOST")) return true;
  try {
    return !/^(systemd|init|runit|openrc-init|s6-svscan)\n?$/.test(Deno.readTextFileSync("/proc/1/comm"));
  } catch {
    return false;
  }
}

/** Asks on stderr, since stdout belongs to the command that follows; anything but a yes is a no. */
function isAgreedTo(question: string): boolean {
  Deno.stderr.writeSync(new TextEncoder().encode(`${question} [y/N] `));
  const answer = new Uint8Array(64);
  const length = Deno.stdin.readSync(answer) ?? 0;
  return /^\s*y(es)?\s*$/i.test(new TextDecoder().decode(answer.subarray(0, length)));
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
    "--allow-env",
    "--quiet",
    import.meta.filename ?? import.meta.url,
    PROBE,
  ]);
  return success ? output.trim().split("\n").at(-1) : undefined;
}

/** Install the software driver. @returns Whether that worked. */
async function installDriver({ isTerminal, environment }: Pick<MachineFacts, "isTerminal" | "environment">): Promise<boolean> {
  const reason = ["HESTIA_INSTALL", "CI"].filter((name) => environment[name]).map((name) => `${name}=${environment[name]}`)[0] ??
    (isTerminal ? "as you said" : "a container in which nobody can be asked");
  console.error(`No Vulkan adapter: installing ${DRIVER_PACKAGE} (${reason}; HESTIA_NO_INSTALL=1 forbids it) ...`);
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

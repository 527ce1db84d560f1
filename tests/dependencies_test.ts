/**
 * What the commands fetch on a bare machine stays small: Deno fetches all that the lock beside `deno.json` lists, needed or not. What is
 * added there has a size and a reason, in CONTRIBUTING.md.
 */

import { deepEqual, ok } from "./assert.ts";

/** Of the files of all packages. */
const MOST_BYTES = 40e6;

interface Lock {
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, unknown>>;
  /** Of a configuration that links to ours: what ours asks for. */
  readonly workspace?: { readonly links?: Readonly<Record<string, { readonly dependencies: readonly string[] }>> };
}

const root = new URL("../", import.meta.url);
const readText = (path: string) => Deno.readTextFileSync(new URL(path, root));
const readJson = <T>(path: string) => JSON.parse(readText(path)) as T;

/** Name and version of "@scope/name@1.2.3_peer@4.5.6". */
function nameAndVersion(key: string): [name: string, version: string] {
  const [, name, version] = /^(@?[^@]+)@([^_]+)/.exec(key)!;
  return [name, version];
}

/** Bytes of the files under a folder; undefined where it is missing. */
function bytesBelow(folder: string): number | undefined {
  try {
    return [...Deno.readDirSync(folder)].reduce((sum, { name, isDirectory }) => {
      const path = `${folder}/${name}`;
      return sum + (isDirectory ? bytesBelow(path)! : Deno.statSync(path).size);
    }, 0);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

Deno.test("the first start fetches less than 40 MB", async () => {
  await import("fflate"); // with it, all that the lock lists is fetched
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"], cwd: root }).output();
  const { npmCache } = JSON.parse(new TextDecoder().decode(stdout));
  const registries = [...Deno.readDirSync(npmCache)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name);
  const sizes = Object.keys(readJson<Lock>("deno.lock").npm).map((key) => {
    const [name, version] = nameAndVersion(key);
    const found = registries.map((registry) => bytesBelow(`${npmCache}/${registry}/${name}/${version}`)).find((size) => size);
    ok(found, `${key} is not in the cache`);
    return { key, bytes: found };
  });
  const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
  const largest = sizes.sort((a, b) => b.bytes - a.bytes).slice(0, 5).map(({ key, bytes }) => `${key} ${bytes} bytes`);
  ok(total > 1e6 && total < MOST_BYTES, `${total} bytes, among them ${largest.join(", ")}`);
});

Deno.test("every package has an exact version, and a row with size and reason in CONTRIBUTING.md", () => {
  const configurations = ["deno.json", "tests/peers/deno.json", "bench/peers/deno.json"];
  const imports = configurations.map((path) => Object.entries(readJson<{ imports: Record<string, string> }>(path).imports));
  const packages = imports.flat().filter(([, target]) => target.startsWith("npm:"));
  deepEqual(packages.filter(([name, target]) => !new RegExp(`^npm:${name}@\\d+\\.\\d+\\.\\d+$`).test(target)), []);
  const contributing = readText("CONTRIBUTING.md");
  const dependencies = contributing.slice(contributing.indexOf("## Dependencies"), contributing.indexOf("## A command"));
  const rows = [...dependencies.matchAll(/^\| `([^`]+)` +\| +[\d.]+ MB \| \S.* \|$/gm)].map(([, name]) => name);
  deepEqual(imports[0].filter(([, target]) => target.startsWith("npm:")).map(([name]) => name).sort(), rows.sort());
  deepEqual(packages.map(([name]) => name).filter((name) => !dependencies.includes(`\`${name}\``)), []);
});

Deno.test("the locks hold what the configurations ask for, and nothing else", () => {
  const names = ({ specifiers }: Lock) => Object.keys(specifiers).map((each) => each.replace(/^npm:/, "")).sort();
  const wanted = (path: string) =>
    Object.values(readJson<{ imports: Record<string, string> }>(path).imports).filter((target) => target.startsWith("npm:"))
      .map((target) => target.replace(/^npm:/, "")).sort();
  deepEqual(names(readJson("deno.lock")), wanted("deno.json"));
  for (const folder of ["tests/peers", "bench/peers"]) {
    const lock = readJson<Lock>(`${folder}/deno.lock`);
    deepEqual(wanted(`${folder}/deno.json`).filter((each) => !names(lock).includes(each)), []);
    const linked = Object.values(lock.workspace?.links ?? {}).flatMap(({ dependencies }) => dependencies);
    deepEqual(linked.map((each) => each.replace(/^npm:/, "")).sort(), wanted("deno.json"), "deno task check:peers completes it");
  }
});

Deno.test("the library loads no package before somebody needs it, and says nothing that older browsers do not know", async () => {
  interface Module {
    readonly specifier: string;
    readonly dependencies?: readonly { readonly code?: { readonly specifier: string }; readonly isDynamic?: boolean }[];
  }
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json", "mod.ts"], cwd: root }).output();
  const { roots, modules } = JSON.parse(new TextDecoder().decode(stdout)) as { roots: string[]; modules: Module[] };
  const bySpecifier = new Map(modules.map((module) => [module.specifier, module]));
  const reached = new Set(roots);
  for (const specifier of reached) { // grows as it goes
    for (const { code, isDynamic } of bySpecifier.get(specifier)?.dependencies ?? []) {
      if (code && !isDynamic) reached.add(code.specifier);
    }
  }
  ok(reached.size > 100, `${reached.size} modules`);
  deepEqual([...reached].filter((specifier) => !specifier.startsWith("file:")), []);
  const declares = (specifier: string) => /^\s*(await )?using \w+ =/m.test(Deno.readTextFileSync(new URL(specifier)));
  deepEqual([...reached].filter(declares), [], "older browsers do not know such declarations");
});

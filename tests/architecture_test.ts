/**
 * The rules of the house, enforced: who may import whom, how long files and functions may grow, and where the platform may be named.
 * To change a rule, change the tables here, and say why in the commit.
 */

import { deepEqual, equal, ok } from "./assert.ts";

/** Layers, and the layers each may import values from, besides itself. `import type` may point up. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  recipes: ["core"],
  release: ["core"],
  shaders: [],
  kernels: ["core", "shaders"],
  ops: ["core", "kernels"],
  compile: ["core", "kernels", "ops"],
  backend: ["core"],
  tuning: ["core"],
  runtime: ["core", "compile", "backend", "tuning"],
  tensor: ["core", "ops", "runtime"],
  trace: ["core", "ops", "runtime", "tensor"],
  create: ["core", "ops", "runtime", "tensor", "trace"],
  bits: ["core", "ops", "tensor", "create"],
  finite: ["core", "tensor"],
  autodiff: ["core", "tensor", "create", "trace"],
  nn: ["core", "ops", "tensor", "create", "finite", "trace", "autodiff", "kernels"],
  optim: ["core", "recipes", "tensor", "create", "bits", "finite", "trace", "autodiff", "kernels"],
  io: ["core", "tensor", "create", "bits", "trace"],
  tokenizer: ["core", "io"],
  llama: ["core", "recipes", "release", "tensor", "create", "bits", "finite", "trace", "autodiff", "nn", "io", "tokenizer"],
  quant: ["core", "recipes", "release", "kernels", "tensor", "create", "trace", "autodiff", "nn"],
  pack: ["core", "tensor", "create", "bits", "trace", "kernels", "nn", "io", "quant"],
  train: ["core", "tensor", "create", "finite", "trace", "autodiff", "optim", "io"],
  data: ["core", "io", "tokenizer", "train"],
  pipeline: [
    ...["core", "recipes", "tensor", "create", "finite", "trace", "runtime", "autodiff"],
    ...["nn", "optim", "io", "tokenizer", "llama", "quant", "pack", "train"],
  ],
  evaluation: ["core", "tensor", "create", "finite", "trace", "nn", "io", "llama", "train", "pipeline"],
  hub: ["core", "io"],
  report: ["core"],
  experiment: [
    "core",
    "recipes",
    "tensor",
    "create",
    "trace",
    "io",
    "tokenizer",
    "llama",
    "quant",
    "train",
    "pipeline",
    "report",
  ],
  conformance: [
    ...["core", "recipes", "release", "tensor", "create", "trace", "autodiff"],
    ...["nn", "optim", "io", "llama", "quant", "train", "pipeline"],
  ],
};

/** Layers above all others: they may import everything, and only they import one another, types included. */
const TOP = ["cli", "bench", "tests", "mod"];

/** Names of the platform, and the paths under which alone they may stand: everything else runs in a browser unchanged. */
const PLATFORM: readonly { readonly what: string; readonly name: RegExp; readonly allowed: readonly string[] }[] = [
  { what: "GPU types", name: /^GPU[A-Z]/, allowed: ["src/backend/webgpu", "tests/", "bench/"] },
  {
    what: "the Deno namespace",
    name: /^Deno$/,
    allowed: ["src/cli/", "src/io/", "src/hub/", "src/tuning/file", "shaders/", "bench/", "tests/"],
  },
];

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 50;

/** Files that a program writes; their length says nothing. */
const GENERATED = /^src\/kernels\/shaders\.ts$/;

/** What the rules ask of one source file. */
interface Source {
  /** From the root of the repository, with forward slashes. */
  readonly path: string;
  readonly lines: number;
  readonly imports: readonly Import[];
  readonly functions: readonly { readonly name: string; readonly line: number; readonly lines: number }[];
  readonly names: readonly { readonly name: string; readonly line: number }[];
}

interface Import {
  /** Path from the root of the repository; packages are left out. */
  readonly target: string;
  readonly typeOnly: boolean;
  readonly line: number;
}

const root = new URL("../", import.meta.url);
const sources = readSources();

Deno.test("every folder imports only what its layer may", () => {
  deepEqual(sources.flatMap(layerViolations), []);
});

Deno.test("no file imports itself by way of others", () => {
  deepEqual(cycles(sources), []);
});

Deno.test(`no file is longer than ${MAX_FILE_LINES} lines`, () => {
  const long = sources.filter(({ path, lines }) => lines > MAX_FILE_LINES && !GENERATED.test(path));
  deepEqual(long.map(({ path, lines }) => `${path} has ${lines} lines, ${MAX_FILE_LINES} at most`), []);
});

Deno.test(`no function is longer than ${MAX_FUNCTION_LINES} lines`, () => {
  const long = sources.flatMap(({ path, functions }) =>
    functions
      .filter(({ lines }) => lines > MAX_FUNCTION_LINES)
      .map(({ name, line, lines }) => `${path}:${line} ${name} has ${lines} lines, ${MAX_FUNCTION_LINES} at most`)
  );
  deepEqual(long, []);
});

for (const { what, name: pattern, allowed } of PLATFORM) {
  Deno.test(`${what} stand only under ${allowed.join(", ")}`, () => {
    const elsewhere = sources.filter(({ path }) => !allowed.some((place) => path.startsWith(place)));
    const found = elsewhere.flatMap(({ path, names }) =>
      names.filter(({ name }) => pattern.test(name)).map(({ name, line }) => `${path}:${line} names ${name}`)
    );
    deepEqual(found, []);
  });
}

Deno.test("the rules see what they forbid", () => {
  const text = [
    'import type { Tensor } from "../tensor.ts";',
    'import { type A, b } from "../nn/linear.ts";',
    'import { parse } from "npm:something";',
    'export * from "./shape.ts";',
    'const late = await import("./dtype.ts");',
    "/** Deno.args and GPUBuffer in a comment are nobody's business. */",
    "export function f(buffer: GPUBuffer): void {",
    "  Deno.exit();",
    "}",
  ].join("\n");
  const source = readSource("src/core/example.ts", text);
  deepEqual(source.imports.map(({ target, typeOnly, line }) => `${line} ${target} ${typeOnly}`), [
    "1 src/tensor.ts true",
    "2 src/nn/linear.ts false",
    "4 src/core/shape.ts false",
    "5 src/core/dtype.ts false",
  ]);
  deepEqual(layerViolations(source), [
    "src/core/example.ts:2 imports src/nn/linear.ts: core may import values from nothing",
  ]);
  deepEqual(source.functions, [{ name: "f", line: 7, lines: 3 }]);
  const platform = source.names.filter(({ name }) => PLATFORM.some((rule) => rule.name.test(name)));
  deepEqual(platform.map(({ name, line }) => `${line} ${name}`).sort(), ["7 GPUBuffer", "8 Deno"]);
  const ring = ["b", "c", "a"].map((next, at) => readSource(`src/core/${"abc"[at]}.ts`, `import "./${next}.ts";`));
  equal(cycles(ring).length, 1);
  ok(sources.some(({ path }) => path.startsWith("src/core/")), "the walk found no source");
});

/** Layer of a file: its folder under `src`, the name of a file that lies in `src` itself, or the top folder. */
function layerOf(path: string): string {
  const parts = path.replace(/\.[a-z]+$/, "").split("/");
  return parts[0] === "src" ? parts[1] : parts[0];
}

function layerViolations({ path, imports }: Source): string[] {
  const layer = layerOf(path);
  if (TOP.includes(layer)) return [];
  const allowed = MAY_IMPORT[layer];
  if (allowed === undefined) return [`${path}: the layer ${layer} has no row in MAY_IMPORT`];
  return imports
    .filter(({ target, typeOnly }) => {
      const other = layerOf(target);
      return other !== layer && !allowed.includes(other) && !(typeOnly && !TOP.includes(other));
    })
    .map(({ target, line }) =>
      `${path}:${line} imports ${target}: ${layer} may import values from ${allowed.join(", ") || "nothing"}`
    );
}

/** Rings of value imports, each told once, as the files it goes through. */
function cycles(files: readonly Source[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (done.has(path) || trail.includes(path)) return;
    const targets = byPath.get(path)?.imports.filter(({ typeOnly }) => !typeOnly) ?? [];
    for (const { target } of targets) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  return found;
}

function readSources(): Source[] {
  const files = ["src", "shaders", "bench", "tests"].flatMap((folder) => walk(folder));
  return [...files, "mod.ts"].filter((path) => exists(path)).map((path) =>
    readSource(path, Deno.readTextFileSync(new URL(path, root)))
  );
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, root)).isFile;
  } catch {
    return false;
  }
}

/** TypeScript files under a folder; none where the folder is missing. */
function walk(folder: string): string[] {
  let entries: Deno.DirEntry[];
  try {
    entries = [...Deno.readDirSync(new URL(folder, root))];
  } catch {
    return [];
  }
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return walk(`${folder}/${name}`);
    return name.endsWith(".ts") ? [`${folder}/${name}`] : [];
  });
}

/** Read a file with the parser of `deno lint`: a plug-in with one rule sees the syntax tree. */
function readSource(path: string, text: string): Source {
  const imports: Import[] = [];
  const functions: { name: string; line: number; lines: number }[] = [];
  const names: { name: string; line: number }[] = [];
  const lineAt = (offset: number): number => text.slice(0, offset).split("\n").length;
  const addImport = (specifier: unknown, typeOnly: boolean, [start]: Deno.lint.Range): void => {
    if (typeof specifier !== "string" || !specifier.startsWith(".")) return;
    const target = new URL(specifier, new URL(path, "file:///")).pathname.slice(1);
    imports.push({ target, typeOnly, line: lineAt(start) });
  };
  const addFunction = (node: { range: Deno.lint.Range; id?: { name: string } | null }): void => {
    const [line, last] = node.range.map(lineAt);
    functions.push({ name: node.id?.name ?? "a function", line, lines: last - line + 1 });
  };
  const create = (): Deno.lint.LintVisitor => ({
    ImportDeclaration: ({ source, importKind, specifiers, range }) => {
      const onlyTypes = specifiers.length > 0 && specifiers.every((each) => "importKind" in each && each.importKind === "type");
      addImport(source.value, importKind === "type" || onlyTypes, range);
    },
    ExportAllDeclaration: ({ source, exportKind, range }) => addImport(source.value, exportKind === "type", range),
    ExportNamedDeclaration: ({ source, exportKind, range }) => addImport(source?.value, exportKind === "type", range),
    ImportExpression: ({ source, range }) => addImport(source.type === "Literal" && source.value, false, range),
    FunctionDeclaration: addFunction,
    FunctionExpression: addFunction,
    ArrowFunctionExpression: addFunction,
    Identifier: ({ name, range }) => void names.push({ name, line: lineAt(range[0]) }),
  });
  Deno.lint.runPlugin({ name: "architecture", rules: { read: { create } } }, path, text);
  return { path, lines: text.split("\n").length - 1, imports, functions, names };
}

/**
 * Runs a file of tests in a page. The tests find a stand-in for the few functions of Deno that a page can offer; whatever needs more is
 * left out, by name. The files of this folder run without it, as any page does.
 *
 * @module
 */

/** What became of one test. */
export interface Told {
  readonly name: string;
  readonly verdict: "passed" | "failed" | "left out";
  /** Why it failed, or what it lacks. */
  readonly reason?: string;
  readonly milliseconds: number;
}

/** A file of tests, and the page that it finds. */
export interface Visit {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Whether software adapters claim to be none. */
  readonly asGpu: boolean;
  readonly environment: Readonly<Record<string, string>>;
}

interface Test {
  readonly name: string;
  readonly ignore?: boolean;
  readonly fn: () => unknown;
}

/** What a page does not have. */
class Missing extends Error {}

/** The part of `XMLHttpRequest` that reads at once, as `Deno.readFileSync` does. */
interface Request {
  open(method: string, url: string, parallel: boolean): void;
  overrideMimeType(type: string): void;
  send(): void;
  readonly responseText: string;
}

function bytesAt(url: URL): Uint8Array {
  const request: Request = new (globalThis as unknown as { XMLHttpRequest: new () => Request }).XMLHttpRequest();
  request.open("GET", `${url}?as=file`, false);
  request.overrideMimeType("text/plain; charset=x-user-defined"); // a byte to a character
  request.send();
  return Uint8Array.from(request.responseText, (character) => character.charCodeAt(0));
}

const textAt = (url: URL) => new TextDecoder().decode(bytesAt(url));

function standIn(tests: Test[], environment: Map<string, string>): object {
  const known: Record<string, unknown> = {
    test(...[first, second, third]: [string | Test, (Partial<Test> | Test["fn"])?, Test["fn"]?]) {
      if (typeof first === "object") tests.push(first);
      else if (typeof second === "function") tests.push({ name: first, fn: second });
      else tests.push({ ...second, name: first, fn: third! });
    },
    env: {
      get: (name: string) => environment.get(name),
      set: (name: string, value: string) => environment.set(name, value),
      delete: (name: string) => environment.delete(name),
    },
    build: { os: "linux", arch: "x86_64" },
    permissions: { querySync: ({ name }: { name: string }) => ({ state: name === "env" ? "granted" : "denied" }) },
    readFileSync: bytesAt,
    readTextFileSync: textAt,
    readFile: (url: URL) => Promise.resolve(bytesAt(url)),
    readTextFile: (url: URL) => Promise.resolve(textAt(url)),
    readDirSync: (url: URL) => JSON.parse(textAt(url)),
  };
  return new Proxy(known, {
    get(_, name) {
      if (name in known) return known[String(name)];
      throw new Missing(`Deno.${String(name)}`);
    },
  });
}

async function verdictOf({ fn, ignore }: Test): Promise<Pick<Told, "verdict" | "reason">> {
  if (ignore) return { verdict: "left out", reason: "ignored" };
  try {
    await fn();
    return { verdict: "passed" };
  } catch (error) {
    const cause = (error as Error)?.cause ?? error;
    if (cause instanceof Missing) return { verdict: "left out", reason: `needs ${cause.message}` };
    return { verdict: "failed", reason: String((error as Error)?.stack ?? error) };
  }
}

/** Runs the tests of a file, one after another, and tells of each when it has ended. */
export async function visit({ file, asGpu, environment }: Visit, tell: (told: Told) => void): Promise<void> {
  if (asGpu) Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
  const tests: Test[] = [];
  const page = globalThis as { Deno?: object };
  page.Deno = standIn(tests, new Map(Object.entries(environment)));
  try {
    await import(`/${file}`);
  } catch (error) {
    const missing = error instanceof Missing || /"node:/.test(String(error));
    tell({ name: file, verdict: missing ? "left out" : "failed", reason: String(error), milliseconds: 0 });
    return;
  }
  if (file.startsWith("tests/browser/")) delete page.Deno;
  for (const test of tests) {
    const begun = performance.now();
    const verdict = await verdictOf(test);
    tell({ name: test.name, ...verdict, milliseconds: performance.now() - begun });
  }
}

import { faultOf, visible } from "../../src/cli/output.ts";
import { deepEqual, equal, match, ok } from "../assert.ts";

const demo = new URL("./demo_command.ts", import.meta.url).pathname;

function start(args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", demo, ...args],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function run(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await start(args).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test("a command that works exits with 0 and prints on stdout", async () => {
  deepEqual(await run(["work"]), { code: 0, stdout: "hello\n", stderr: "" });
});

Deno.test("--json leaves stdout to one JSON object, whatever the exit code", async () => {
  deepEqual(await run(["work", "--json"]), { code: 0, stdout: '{"text":"hello"}\n', stderr: "hello\n" });
  deepEqual(await run(["fail", "--json"]), { code: 1, stdout: '{"text":"hello"}\n', stderr: "hello\n" });
});

Deno.test("bad input is one line and exit code 2", async () => {
  deepEqual(await run(["refuse"]), { code: 2, stdout: "hello\n", stderr: "error: the field is wrong\n" });
  deepEqual(await run(["work", "--texts", "x"]), {
    code: 2,
    stdout: "",
    stderr: 'error: unknown option --texts (did you mean "--text"?); see deno task demo --help\n',
  });
});

Deno.test("a defect shows its stack and exits with 1", async () => {
  const { code, stderr } = await run(["crash"]);
  equal(code, 1);
  match(stderr, /RangeError: out of bounds\n\s+at .*demo_command/);
});

Deno.test("what is nobody's mistake is one line, exit code 1", () => {
  const refused = Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
  const faults: [Error, string | undefined][] = [
    [new Error('Cannot write "runs/x": the disk is full', { cause: refused }), 'cannot write "runs/x": the disk is full'],
    [new Error("The GPU is out of memory: this asked\nfor 3 bytes"), "the GPU is out of memory: this asked for 3 bytes"],
    [new Error("Training diverged at step 3: loss NaN"), "training diverged at step 3: loss NaN"],
    [Object.assign(new Error("Input/output error"), { code: "EIO" }), "the operating system refused: Input/output error"],
    [new Error("Cannot read properties of undefined"), undefined],
    [new RangeError("Cannot add [2] and [3]"), undefined],
  ];
  for (const [error, line] of faults) equal(faultOf(error), line);
});

Deno.test("what terminals act upon is spelt out", async () => {
  equal(visible("a\tb\nc é 字 🚀"), "a\tb\nc é 字 🚀");
  equal(visible("\x1b]0;x\x07\u009b2J\r\u202e"), "\\u001b]0;x\\u0007\\u009b2J\\u000d\\u202e");
  equal(visible("a\nb\tc", { isLine: true }), "a\\u000ab\\u0009c");
  const { stdout, stderr } = await run(["refuse", "--text", "\x1b[2J"]);
  deepEqual([stdout, stderr], ["\\u001b[2J\n", "error: the field is wrong\n"]);
});

Deno.test("--help prints and exits with 0", async () => {
  const { code, stdout } = await run(["--help"]);
  equal(code, 0);
  match(stdout, /^Usage: deno task demo DEED \[options\]\n/);
});

for (const deed of ["wait", "abort"]) {
  Deno.test(`Ctrl-C lets a command end cleanly and exits with 130 (${deed})`, async () => {
    const child = start([deed]);
    const reader = child.stdout.getReader();
    await reader.read(); // its first line: the signal handler is in place
    reader.releaseLock();
    child.kill("SIGINT");
    const { code, stderr } = await child.output();
    equal(code, 130);
    match(new TextDecoder().decode(stderr), /Interrupted: ending cleanly/);
  });
}

/** What a line of bash prints in which `demo` is the command of the tests. */
async function bash(line: string): Promise<{ stdout: string; stderr: string }> {
  const script = `demo() { "${Deno.execPath()}" run -A --no-check "${demo}" "$@"; }; ${line}`;
  const { stdout, stderr } = await new Deno.Command("bash", { args: ["-c", script], env: { NO_COLOR: "1" } }).output();
  const decoder = new TextDecoder();
  return { stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

Deno.test({
  name: "output that nobody takes ends a command with one line; messages that nobody takes do not end it",
  ignore: Deno.build.os !== "linux", // there is no /dev/full
  fn: async () => {
    const closed = await bash('demo pour | head -c 3; echo " ${PIPESTATUS[0]}"');
    deepEqual(closed, { stdout: "hel 1\n", stderr: "error: cannot write the output: nobody reads it any more\n" });
    for (const deed of ["pour", "work"]) { // by itself, by console.log
      const full = await bash(`demo ${deed} > /dev/full; echo $?`);
      deepEqual(full, { stdout: "1\n", stderr: "error: cannot write the output: the disk is full\n" });
    }
    const done = await Deno.makeTempFile();
    for (const into of ["2> /dev/full", "2> >(head -c 3 > /dev/null)"]) {
      const { stdout } = await bash(`demo mutter --text "${done}" ${into}; echo $?`);
      ok(stdout.endsWith("\n0\n"), stdout);
      equal(await Deno.readTextFile(done), "done");
      await Deno.writeTextFile(done, "");
    }
    await Deno.remove(done);
  },
});

Deno.test("a second Ctrl-C ends a command that does not end by itself, at once", async () => {
  const child = start(["stay"]);
  const [stdout, stderr] = [child.stdout.getReader(), child.stderr.getReader()];
  await stdout.read();
  child.kill("SIGINT");
  await stderr.read(); // it was heard
  const before = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 600)); // nearer ones are one press
  child.kill("SIGINT");
  equal((await child.status).code, 130);
  ok(performance.now() - before < 5000);
  await Promise.all([stdout.cancel(), stderr.cancel()]);
});

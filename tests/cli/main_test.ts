import { deepEqual, equal, match } from "../assert.ts";

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

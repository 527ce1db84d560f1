/** The progress display on a real terminal: tmux, whose screen is read back. */

import { deepEqual, equal, match, ok } from "../assert.ts";
import { columnsOf } from "../../src/cli/progress_line.ts";
import type { Deed } from "./progress_command.ts";

const hasTmux = await new Deno.Command("tmux", { args: ["-V"], stdout: "null", stderr: "null" }).output()
  .then(({ success }) => success, () => false);

/** Where a build server has no tmux, the tests fail; elsewhere they say that they are left out. */
const leftOut = hasTmux || Deno.env.get("CI") === "true" ? "" : " (tmux is not installed)";

/** A terminal in which a command runs. */
class Terminal implements AsyncDisposable {
  readonly #socket = `hestia-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
  readonly #deeds: Deed[] = [];
  #wake: (() => void) | undefined;
  #idle: (() => void) | undefined;
  readonly #server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, async () => {
    this.#idle?.(); // asking for the next deed, the command has done the last one
    while (this.#deeds.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return Response.json(this.#deeds.shift());
  });

  /** Opens one of so many columns, in which the command has begun. */
  static async open(columns: number, environment = ""): Promise<Terminal> {
    const terminal = new Terminal();
    const command = new URL("./progress_command.ts", import.meta.url).pathname;
    const { port } = terminal.#server.addr as Deno.NetAddr;
    const begun = new Promise<void>((resolve) => terminal.#idle = resolve);
    const shell =
      `env ${environment} '${Deno.execPath()}' run -A --no-check '${command}' http://127.0.0.1:${port}/; echo "exit $?"; sleep 60`;
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", "-x", `${columns}`, "-y", "16", shell);
    await within(begun, "the command to begin");
    return terminal;
  }

  async #tmux(...args: string[]): Promise<string> {
    const env = { LC_ALL: "C.UTF-8", TERM: "xterm-256color" };
    const { success, stdout, stderr } = await new Deno.Command("tmux", { args: ["-u", "-L", this.#socket, ...args], env })
      .output();
    if (!success) throw new Error(`tmux ${args[0]}: ${new TextDecoder().decode(stderr)}`);
    return new TextDecoder().decode(stdout);
  }

  /** Has the command do these things, one after the other; the last of them is done when this ends, unless it ends the command. */
  async run(...deeds: Deed[]): Promise<void> {
    for (const deed of deeds) {
      const done = new Promise<void>((resolve) => this.#idle = resolve);
      this.#deeds.push(deed);
      this.#wake?.();
      if (!("end" in deed)) await within(done, JSON.stringify(deed));
    }
  }

  async resize(columns: number): Promise<void> {
    await this.#tmux("resize-window", "-x", `${columns}`);
    await pause(100);
  }

  async press(key: string): Promise<void> {
    await this.#tmux("send-keys", key);
  }

  /** What is on the screen, without empty lines; with what has left it at the top (`history`), or as it is coloured (`escapes`). */
  async rows({ escapes = false, history = false } = {}): Promise<string[]> {
    const text = await this.#tmux("capture-pane", "-p", ...(history ? ["-S", "-"] : []), ...(escapes ? ["-e"] : []));
    return text.split("\n").filter((row) => row.trim() !== "").map((row) => row.trimEnd());
  }

  /** The screen once it shows a text. */
  async rowsWith(pattern: RegExp): Promise<string[]> {
    for (let tries = 0; tries < 100; tries++) {
      const rows = await this.rows();
      if (rows.some((row) => pattern.test(row))) return rows;
      await pause(100);
    }
    throw new Error(`the screen never shows ${pattern}:\n${(await this.rows()).join("\n")}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server").catch(() => {}); // it may have ended by itself
    this.#deeds.push({ end: true });
    this.#wake?.();
    await this.#server.shutdown();
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits for something that takes long only where the machine is very busy. */
async function within(work: Promise<void>, what: string): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) =>
    timer = setTimeout(() => reject(new Error(`waited too long for ${what}`)), 30_000)
  );
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const work = { begin: { title: "quantizing", total: 400 } } as const;
const details = "loss 2.310 · 4096 tokens/s · pressure 0.50 · temperature 0.350";

function terminalTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: name + leftOut, ignore: leftOut !== "", fn });
}

for (const columns of [40, 80, 200]) {
  terminalTest(`at ${columns} columns the progress is one line, and what is said appears above`, async () => {
    await using terminal = await Terminal.open(columns);
    await terminal.run(work, { update: [40, details] }, { say: "warning: one" }, { update: [80, details] }, { print: "two" });
    await terminal.run({ update: [120, details] });
    const rows = await terminal.rows({ history: true });
    deepEqual(rows.slice(0, 2), ["warning: one", "two"]);
    equal(rows.length, 3, rows.join("\n"));
    match(
      rows[2],
      columns === 40 ? /^quantizing 120\/400 · \S+ s left$/ : /^quantizing █+░+ 120\/400 · loss 2\.310 · .*\d s left$/,
    );
    ok(columnsOf(rows[2]) < columns);
    if (columns === 200) match(rows[2], /temperature 0\.350/);
    await terminal.run({ update: [400, details] }, { end: true });
    const ended = await terminal.rowsWith(/^exit 0$/);
    match(ended[2], /^quantizing .*400\/400 · .*took \d/);
    equal(ended.length, 4, ended.join("\n"));
  });
}

terminalTest("a terminal that is made narrower and wider while it runs keeps one line", async () => {
  await using terminal = await Terminal.open(80);
  await terminal.run(work, { say: "above" }, { update: [10, details] });
  for (const [step, columns] of [37, 120, 20, 80].entries()) {
    await terminal.resize(columns);
    await terminal.run({ update: [20 * (step + 1), details] });
    equal((await terminal.rows({ history: true }))[0], "above"); // tmux scrolls when it wraps what no longer fits
    const rows = (await terminal.rows()).filter((row) => row !== "above");
    equal(rows.length, 1, `${columns} columns:\n${rows.join("\n")}`);
    match(rows[0], /^quantizing /);
    ok(columnsOf(rows[0]) < columns, rows[0]);
  }
});

terminalTest("the bar has colours, but not with NO_COLOR", async () => {
  for (const [environment, coloured] of [["-u NO_COLOR", true], ["NO_COLOR=1", false]] as const) {
    await using terminal = await Terminal.open(80, environment);
    await terminal.run(work, { update: [100, details] });
    const row = (await terminal.rows({ escapes: true })).find((row) => row.includes("quantizing"))!;
    equal(row.includes("\x1b["), coloured, JSON.stringify(row));
  }
});

terminalTest("Ctrl-C leaves the last line, says so above it, and ends with 130", async () => {
  await using terminal = await Terminal.open(80);
  await terminal.run(work, { update: [100, details] });
  await terminal.press("C-c");
  const rows = await terminal.rowsWith(/^exit 130$/);
  match(rows.join("\n"), /Interrupted: ending cleanly.*\nquantizing █+░+ 100\/400 · .* · ended after .*\nexit 130$/);
});

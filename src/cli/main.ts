/**
 * The frame around every command: arguments, Ctrl-C, exit codes, and the closing line of JSON.
 *
 * @module
 */

import { type Command, HelpRequested, type Option, parse, type Positional, type Values } from "./args.ts";
import { exitCodes, FailedWork, UsageError } from "./errors.ts";
import { faultOf, visible } from "./output.ts";
import { closeBackend } from "../runtime.ts";
import { endProgress, keepMessagesAbove, standardError } from "./progress.ts";

/** What a command is given besides its options. */
export interface Context {
  /** Aborted by the first Ctrl-C or SIGTERM: end the step at hand, close the files, return. The second one ends the process. */
  readonly signal: AbortSignal;
  /** Print lines for people: on stdout, or on stderr where `--json` keeps stdout for the JSON object. */
  print(text: string): void;
}

/** What a command leaves behind. */
export interface Outcome {
  /** Printed as one line of JSON, the last of stdout, when `--json` was typed. */
  readonly summary?: unknown;
  /** 0 if absent. */
  readonly exitCode?: number;
}

/** Option that every command has. */
const json = { type: "boolean", description: "Print one JSON object as the last line of stdout" } as const satisfies Option;

type Named<T> = Readonly<Record<string, T>>;

/**
 * Run a command with `Deno.args` and end the process with its exit code: 0 success, 1 failure (the stack is shown where it is unexpected), 2 bad
 * input (one line is shown), 130 Ctrl-C, 143 SIGTERM. `--json` and `--help` are added to its options.
 */
export async function main<const O extends Named<Option>, const P extends Named<Positional> = Record<never, Positional>>(
  command: Command<O, P>,
  run: (options: Values<O, P> & { readonly json: boolean }, context: Context) => Promise<Outcome | void>,
): Promise<never> {
  keepMessagesAbove();
  const { interruption, interrupted } = listenForInterrupt();
  try {
    if (!Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", "/tmp"); // or the Vulkan loader complains on stderr
    const options = parse<O & { readonly json: typeof json }, P>(
      { ...command, options: { ...command.options, json } },
      Deno.args,
    );
    const print = (text: string): void => options.json ? console.error(text) : console.log(text);
    const outcome = await run(options as Values<O, P> & { readonly json: boolean }, { signal: interruption, print });
    endProgress();
    if (options.json && outcome?.summary !== undefined) console.log(JSON.stringify(outcome.summary));
    return await exit(interruption.aborted ? interrupted() : outcome?.exitCode ?? exitCodes.success);
  } catch (error) {
    endProgress();
    return await exit(interruption.aborted && isAbort(error) ? interrupted() : report(error));
  }
}

/** Longest wait for the device at the end, in milliseconds. */
const longestWait = 5000;

/** Ends the process. A software driver that is compiling then may crash, so that its device is waited for. */
async function exit(code: number): Promise<never> {
  await Promise.race([closeBackend().catch(() => {}), new Promise((resolve) => setTimeout(resolve, longestWait))]);
  Deno.exit(code);
}

/** Show an error the way its kind deserves. @returns The exit code. */
export function report(error: unknown): number {
  if (error instanceof HelpRequested) {
    console.log(error.message);
    return exitCodes.success;
  }
  if (error instanceof UsageError || error instanceof FailedWork) {
    sayError(error.message);
    return error instanceof UsageError ? exitCodes.badInput : exitCodes.failure;
  }
  const fault = faultOf(error);
  fault === undefined ? console.error(Deno.inspect(error)) : sayError(fault);
  return exitCodes.failure;
}

function sayError(line: string): void {
  const word = Deno.stderr.isTerminal() && !Deno.noColor ? "\x1b[31merror:\x1b[0m" : "error:";
  standardError.write(`${word} ${visible(line)}\n`);
}

function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** A terminal and a task runner may both pass on the same Ctrl-C; presses closer than this many milliseconds are one. */
const SAME_PRESS_MS = 500;

const signals = { SIGINT: exitCodes.interrupted, SIGTERM: exitCodes.terminated } as const;

/** A signal for the command, and the exit code of the one that the process got first. */
function listenForInterrupt(): { readonly interruption: AbortSignal; readonly interrupted: () => number } {
  const controller = new AbortController();
  let first: { readonly at: number; readonly code: number } | undefined;
  for (const [name, code] of Object.entries(signals) as [keyof typeof signals, number][]) {
    if (name === "SIGTERM" && Deno.build.os === "windows") continue; // there is none
    Deno.addSignalListener(name, () => {
      if (!first) {
        first = { at: performance.now(), code };
        console.error("\nInterrupted: ending cleanly (Ctrl-C again to quit at once)");
        controller.abort();
      } else if (performance.now() - first.at > SAME_PRESS_MS) {
        endProgress();
        Deno.exit(first.code);
      }
    });
  }
  return { interruption: controller.signal, interrupted: () => first?.code ?? exitCodes.interrupted };
}

/**
 * Command-line arguments: a description of the options becomes the parser, the types and the help text.
 * The scanning is `parseArgs` of `node:util`, imported here and nowhere else.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { didYouMean, UsageError } from "./errors.ts";

/** One option. Its name in code is camel case (`maxSteps`), on the command line kebab case (`--max-steps`). */
export type Option =
  | { readonly type: "boolean"; readonly description: string }
  | {
    readonly type: "string";
    readonly description: string;
    /** What stands for the value in the help text; "TEXT" if absent. */
    readonly value?: string;
    readonly default?: string;
    /** The only values allowed. */
    readonly choices?: readonly string[];
    /** Whether no text at all is a value too. */
    readonly mayBeEmpty?: boolean;
    /** Typed several times, its values come with commas between. */
    readonly several?: boolean;
  }
  | {
    readonly type: "integer" | "number";
    readonly description: string;
    readonly value?: string;
    readonly default?: number;
    /** The value where the option stands alone. */
    readonly alone?: number;
    /** A second, shorter name, as typed after the dashes. */
    readonly also?: string;
    /** Smallest and largest value allowed, both included. */
    readonly minimum?: number;
    readonly maximum?: number;
  };

/** An argument without a flag, taken by position. Without a default it may be absent, unless it is `required`. */
export interface Positional {
  readonly description: string;
  readonly default?: string;
  readonly required?: boolean;
  /** The last one may stand for all words that are left; they come with line breaks between. */
  readonly several?: boolean;
}

/** Options, or positionals, by name. */
type Named<T> = Readonly<Record<string, T>>;

/** A command: all that its parser and its help text need. */
export interface Command<O extends Named<Option> = Named<Option>, P extends Named<Positional> = Named<Positional>> {
  /** Name of the task, as typed after `deno task`. */
  readonly name: string;
  readonly summary: string;
  readonly options: O;
  /** In the order in which they are typed. */
  readonly positionals?: P;
}

type ValueOf<O> = O extends { readonly type: "boolean" } ? boolean
  : O extends { readonly type: "string" } ? (O extends { readonly choices: readonly (infer C)[] } ? C : string)
  : number;

type Present<O> = O extends { readonly type: "boolean" } | { readonly default: string | number } | { readonly required: true }
  ? true
  : false;

/** Values of a command's options and positionals by name: `undefined` where nothing was typed and there is no default. */
export type Values<O, P> =
  & { readonly [K in keyof O]: Present<O[K]> extends true ? ValueOf<O[K]> : ValueOf<O[K]> | undefined }
  & { readonly [K in keyof P]: Present<P[K]> extends true ? string : string | undefined };

/** Thrown by {@linkcode parse} on `--help`: not a failure, the text is to be printed. */
export class HelpRequested extends Error {
  override readonly name = "HelpRequested";
}

/**
 * Read the arguments of a command.
 *
 * @param command What the command accepts.
 * @param args The words typed after its name, usually `Deno.args`.
 * @returns The value of each option and positional by name.
 * @throws {UsageError} On an unknown option, a missing or malformed value, or a surplus argument.
 * @throws {HelpRequested} On `--help`; its message is the help text.
 *
 * @example
 * ```ts ignore
 * const { steps } = parse({ name: "demo", summary: "", options: { steps: { type: "integer", default: 3, description: "" } } }, Deno.args);
 * ```
 */
export function parse<const O extends Named<Option>, const P extends Named<Positional> = Record<never, Positional>>(
  command: Command<O, P>,
  args: readonly string[],
): Values<O, P> {
  const options = Object.entries(command.options);
  const spec = Object.fromEntries(
    options.map(([name, { type }]) => [kebab(name), { type: type === "boolean" ? type : "string" } as const]),
  );
  // Not strict: the messages of node:util name neither the known options nor a likely one.
  const { tokens } = parseArgs({
    args: args.map((word) => inFull(command, word)).map((word, at, all) => withValue(command, word, all[at + 1])),
    options: { ...spec, help: HELP },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const several = new Set(options.filter(([, option]) => "several" in option && option.several).map(([name]) => kebab(name)));
  const typed = new Map<string, string | true>();
  const words: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const isText = /^-[^-]$/.test(token.rawName) && args[token.index] !== token.rawName; // `-hello`, of which -h is a part
    if (token.name === "help" && !isText) throw new HelpRequested(helpText(command));
    if (isText || !Object.hasOwn(spec, token.name)) throw unknownOption(isText ? args[token.index] : token.rawName, command);
    const swallowed = !token.inlineValue && /^-[^\d.]/.test(token.value ?? ""); // `--config --json`: the value was forgotten
    if (swallowed && !isOption(token.value!, command)) throw dashed(token.rawName, token.value!);
    const value = swallowed ? true : token.value ?? true;
    const earlier = typed.get(token.name);
    typed.set(token.name, several.has(token.name) && earlier && value !== true ? `${earlier},${value}` : value);
  }
  const values: Record<string, unknown> = positionalValues(command, words);
  for (const [name, option] of options) values[name] = optionValue(`--${kebab(name)}`, option, typed.get(kebab(name)));
  return values as Values<O, P>;
}

/** Whether a word is the name of an option, with or without a value. */
function isOption(word: string, command: Command): boolean {
  const [name] = word.split("=");
  return name === "-h" || ["help", ...Object.keys(command.options).map(kebab)].includes(name.slice(2));
}

function dashed(flag: string, value: string): UsageError {
  return new UsageError(`${flag} needs a value; one that begins with a dash is typed ${flag}=${JSON.stringify(value)}`);
}

/** An option by its full name, where its second one was typed. */
function inFull(command: Command, word: string): string {
  const [, typed, value] = /^--([^=]+)(.*)$/s.exec(word) ?? [];
  const full = typed && Object.entries(command.options).find(([, option]) => "also" in option && option.also === typed);
  return full ? `--${kebab(full[0])}${value}` : word;
}

/** An option that may stand alone gets its value, unless a number follows. */
function withValue(command: Command, word: string, next: string | undefined): string {
  const option = Object.entries(command.options).find(([name]) => `--${kebab(name)}` === word)?.[1];
  const alone = option && "alone" in option ? option.alone : undefined;
  return alone === undefined || /^-?\d/.test(next ?? "") ? word : `${word}=${alone}`;
}

const HELP = { type: "boolean", short: "h" } as const;

function positionalValues(command: Command, words: readonly string[]): Record<string, unknown> {
  const names = Object.entries(command.positionals ?? {});
  if (names.at(-1)?.[1].several && words.length > names.length) {
    words = [...words.slice(0, names.length - 1), words.slice(names.length - 1).join("\n")];
  }
  if (words.length > names.length) throw new UsageError(`unexpected argument "${words[names.length]}"; ${seeHelp(command)}`);
  return Object.fromEntries(names.map(([name, positional], at) => {
    if (words[at] === undefined && positional.required) throw new UsageError(`${label(name)} is missing; ${seeHelp(command)}`);
    return [name, words[at] ?? positional.default];
  }));
}

function optionValue(flag: string, option: Option, typed: string | true | undefined): unknown {
  if (option.type === "boolean") {
    if (typeof typed === "string") throw new UsageError(`${flag} takes no value, got "${typed}"`);
    return typed ?? false;
  }
  if (typed === undefined) return option.default;
  const mayBeEmpty = option.type === "string" && option.mayBeEmpty;
  if (typed === true || typed === "" && !mayBeEmpty) throw new UsageError(`${flag} needs a value: ${valueOf(option)}`);
  const value = option.type === "string" ? typed : Number(typed);
  if (!accepts(option, typed, value)) {
    throw new UsageError(`${flag} must be ${wanted(option)}, got "${typed}"${hint(option, typed)}`);
  }
  return value;
}

function accepts(option: Exclude<Option, { readonly type: "boolean" }>, typed: string, value: string | number): boolean {
  if (option.type === "string") return option.choices?.includes(typed) ?? true;
  if (typed.trim() === "" || !Number.isFinite(value) || typeof value !== "number") return false;
  if (option.type === "integer" && !Number.isSafeInteger(value)) return false;
  return value >= (option.minimum ?? -Infinity) && value <= (option.maximum ?? Infinity);
}

function hint(option: Option, typed: string): string {
  return option.type === "string" ? didYouMean(typed, option.choices ?? []) : "";
}

/** What stands for a value: its name in the help text, or what it must be. */
function valueOf(option: Exclude<Option, { readonly type: "boolean" }>): string {
  return option.type === "string" && option.choices === undefined ? option.value ?? "text" : wanted(option);
}

/** What a value must be, in words. */
function wanted(option: Exclude<Option, { readonly type: "boolean" }>): string {
  if (option.type === "string") return option.choices === undefined ? "text" : `one of ${option.choices.join(", ")}`;
  const kind = option.type === "integer" ? "an integer" : "a number";
  const { minimum, maximum } = option;
  if (minimum !== undefined && maximum !== undefined) return `${kind} from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `${kind} of at least ${minimum}`;
  return maximum === undefined ? kind : `${kind} of at most ${maximum}`;
}

function unknownOption(typed: string, command: Command): UsageError {
  const known = [...Object.keys(command.options).map((name) => `--${kebab(name)}`), "--help"];
  const several = Object.values(command.positionals ?? {}).some((positional) => positional.several);
  const behind = several ? ", or type a text that begins with a dash behind --" : "";
  return new UsageError(`unknown option ${typed}${didYouMean(typed, known)}; ${seeHelp(command)}${behind}`);
}

function seeHelp(command: Command): string {
  return `see deno task ${command.name} --help`;
}

/** The help text of a command: usage, summary, one line for each argument and option. */
function helpText(command: Command): string {
  const positionals = Object.entries(command.positionals ?? {});
  const usage = positionals.map(([name, { required, several }]) =>
    (required ? label(name) : `[${label(name)}]`) + (several ? "…" : "")
  );
  const rows = [
    ...positionals.map(([name, positional]) => [label(name), positional.description + defaultText(positional.default)]),
    ...Object.entries(command.options).map(([name, option]) => [optionLabel(name, option), optionText(option)]),
    ["--help", "Show this text"],
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  const indent = "\n" + " ".repeat(width + 4);
  return [
    `Usage: deno task ${[command.name, ...usage, "[options]"].join(" ")}`,
    "",
    ...command.summary.split("\n").flatMap((line) => wrapped(line, helpColumns)),
    "",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${wrapped(right, helpColumns - width - 4).join(indent)}`),
  ].join("\n");
}

/** Columns that a help text takes. */
const helpColumns = 80;

/** A text in lines of at most so many characters, where its words allow. */
function wrapped(text: string, columns: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trimStart();
    if (longer.length <= columns || lines.at(-1) === "") lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function optionLabel(name: string, option: Option): string {
  const flag = `--${kebab(name)}`;
  if (option.type === "boolean") return flag;
  const value = option.value ?? (option.type === "string" ? "TEXT" : "N");
  return "alone" in option ? `${flag} [${value}]` : `${flag} ${value}`;
}

function optionText(option: Option): string {
  if (option.type === "boolean") return option.description;
  const choices = option.type === "string" && option.choices !== undefined ? `: ${option.choices.join(", ")}` : "";
  const also = "also" in option && option.also ? ` (also --${option.also})` : "";
  return option.description + choices + also + defaultText(option.default);
}

function defaultText(value: string | number | undefined): string {
  return value === undefined ? "" : ` (default: ${value})`;
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function label(name: string): string {
  return kebab(name).replaceAll("-", "_").toUpperCase();
}

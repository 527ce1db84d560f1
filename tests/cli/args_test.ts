import { HelpRequested, parse } from "../../src/cli/args.ts";
import { UsageError } from "../../src/cli/errors.ts";
import { deepEqual, equal, throws } from "../assert.ts";

const command = {
  name: "demo",
  summary: "Shows every kind of option.",
  options: {
    config: { type: "string", value: "FILE", default: "quickstart.json", description: "Configuration" },
    backend: { type: "string", choices: ["webgpu", "reference"], description: "Where to compute" },
    maxSteps: { type: "integer", minimum: 1, description: "Steps at most" },
    seed: { type: "integer", minimum: 0, maximum: 9, default: 0, description: "Seed" },
    rate: { type: "number", description: "Learning rate" },
    json: { type: "boolean", description: "Print JSON" },
  },
  positionals: { folder: { default: "tests/golden", description: "Cases" } },
} as const;

const nothingTyped = {
  folder: "tests/golden",
  config: "quickstart.json",
  backend: undefined,
  maxSteps: undefined,
  seed: 0,
  rate: undefined,
  json: false,
};

const accepted: readonly [args: string[], values: Partial<Record<keyof typeof nothingTyped, unknown>>][] = [
  [[], {}],
  [["--config", "a.json", "--json"], { config: "a.json", json: true }],
  [["--config=a.json", "here"], { config: "a.json", folder: "here" }],
  [["--max-steps", "12", "--seed=9"], { maxSteps: 12, seed: 9 }],
  [["--rate", "-1e-3"], { rate: -1e-3 }],
  [["--backend", "reference", "--seed", "1", "--seed", "2"], { backend: "reference", seed: 2 }],
  [["--", "--json"], { folder: "--json" }],
];

for (const [args, values] of accepted) {
  Deno.test(`parse() reads "${args.join(" ")}"`, () => {
    deepEqual({ ...parse(command, args) }, { ...nothingTyped, ...values });
  });
}

const refused: readonly [args: string[], message: string][] = [
  [["--max-step", "3"], 'unknown option --max-step (did you mean "--max-steps"?); see deno task demo --help'],
  [["-x"], "unknown option -x; see deno task demo --help"],
  [["--max-steps", "0"], '--max-steps must be an integer of at least 1, got "0"'],
  [["--max-steps", "1.5"], '--max-steps must be an integer of at least 1, got "1.5"'],
  [["--seed", "10"], '--seed must be an integer from 0 to 9, got "10"'],
  [["--rate", "fast"], '--rate must be a number, got "fast"'],
  [["--backend", "webgp"], '--backend must be one of webgpu, reference, got "webgp" (did you mean "webgpu"?)'],
  [["--config"], "--config needs a value: FILE"],
  [["--config", "--json"], "--config needs a value: FILE"],
  [["--config", "-hello"], '--config needs a value; one that begins with a dash is typed --config="-hello"'],
  [["--config", "--hello there"], '--config needs a value; one that begins with a dash is typed --config="--hello there"'],
  [["-hello"], "unknown option -hello; see deno task demo --help"],
  [["--json=yes"], '--json takes no value, got "yes"'],
  [["one", "two"], 'unexpected argument "two"; see deno task demo --help'],
];

for (const [args, message] of refused) {
  Deno.test(`parse() refuses "${args.join(" ")}" in one line`, () => {
    throws(() => parse(command, args), (error) => {
      deepEqual([error instanceof UsageError, (error as Error).message], [true, message]);
      return true;
    });
  });
}

Deno.test("parse() asks for a required argument by name", () => {
  const needy = {
    name: "demo",
    summary: "",
    options: {},
    positionals: { modelFile: { required: true, description: "" } },
  } as const;
  throws(() => parse(needy, []), { message: "MODEL_FILE is missing; see deno task demo --help" });
});

Deno.test("--help lists every option with its default and its choices", () => {
  const expected = [
    "Usage: deno task demo [FOLDER] [options]",
    "",
    "Shows every kind of option.",
    "",
    "  FOLDER          Cases (default: tests/golden)",
    "  --config FILE   Configuration (default: quickstart.json)",
    "  --backend TEXT  Where to compute: webgpu, reference",
    "  --max-steps N   Steps at most",
    "  --seed N        Seed (default: 0)",
    "  --rate N        Learning rate",
    "  --json          Print JSON",
    "  --help          Show this text",
  ];
  throws(() => parse(command, ["--seed", "1", "--help"]), (error) => {
    deepEqual([error instanceof HelpRequested, (error as Error).message.split("\n")], [true, expected]);
    return true;
  });
});

Deno.test("an option that may be typed several times gives its values with commas between", () => {
  const command = {
    name: "demo",
    summary: "",
    options: { data: { type: "string", several: true, description: "" }, other: { type: "string", description: "" } },
  } as const;
  equal(parse(command, ["--data", "a,b", "--data=c:0.5", "--other", "x", "--other", "y"]).data, "a,b,c:0.5");
  equal(parse(command, ["--other", "x", "--other", "y"]).other, "y");
  throws(() => parse(command, ["--data", "a", "--data", "--other"]), { message: "--data needs a value: text" });
});

Deno.test("an option that may stand alone takes a number that follows, and nothing else; the last argument may be several", () => {
  const command = {
    name: "show",
    summary: "",
    options: { serve: { type: "integer", alone: 8642, description: "" }, json: { type: "boolean", description: "" } },
    positionals: { dirs: { description: "", required: true, several: true } },
  } as const;
  const read = (...args: string[]) => (({ serve, json, dirs }) => [serve, json, dirs])(parse(command, args));
  deepEqual(read("a"), [undefined, false, "a"]);
  deepEqual(read("a", "--serve"), [8642, false, "a"]);
  deepEqual(read("--serve", "--json", "a", "b c"), [8642, true, "a\nb c"]);
  deepEqual(read("--serve", "0", "a"), [0, false, "a"]);
  deepEqual(read("--serve=9", "a"), [9, false, "a"]);
});

Deno.test("no line of a help text is longer than 80 columns, and no word of it is lost", () => {
  const words = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
  const long = { name: "demo", summary: words, options: { steps: { type: "integer", description: words, also: "s" } } } as const;
  throws(() => parse(long, ["--help"]), (error) => {
    const { message } = error as Error;
    deepEqual(message.split("\n").filter((line) => line.length > 80), []);
    equal(message.match(/word\d+/g)?.length, 120);
    return true;
  });
});

Deno.test("an option with two names is known by both", () => {
  const command = {
    name: "demo",
    summary: "",
    options: { batchSize: { type: "integer", description: "", also: "batch" } },
  } as const;
  for (const typed of [["--batch", "3"], ["--batch=3"], ["--batch-size", "3"], ["--batch-size=3"]]) {
    equal(parse(command, typed).batchSize, 3);
  }
  throws(() => parse(command, ["--batches", "3"]), { message: /^unknown option --batches/ });
});

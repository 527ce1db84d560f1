/** A command for the tests of `main()`: it does what its argument says. */

import { UsageError } from "../../src/cli/errors.ts";
import { main } from "../../src/cli/main.ts";
import { writeText } from "../../src/cli/output.ts";

await main({
  name: "demo",
  summary: "Does what it is told.",
  options: { text: { type: "string", default: "hello", description: "What to print" } },
  positionals: { deed: { required: true, description: "What to do" } },
}, async ({ deed, text }, { signal, print }) => {
  print(text);
  switch (deed) {
    case "work":
      return { summary: { text } };
    case "fail":
      return { summary: { text }, exitCode: 1 };
    case "refuse":
      throw new UsageError("the field is wrong");
    case "crash":
      throw new RangeError("out of bounds");
    case "pour":
      for (let line = 0; line < 5000; line++) writeText(Deno.stdout, `${line} ${"x".repeat(100)}\n`);
      return {};
    case "mutter":
      for (let line = 0; line < 5000; line++) console.error("x".repeat(100));
      Deno.writeTextFileSync(text, "done");
      return {};
    case "stay":
      await new Promise((resolve) => setTimeout(resolve, 20_000));
      return {};
    case "wait":
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 20_000);
        signal.addEventListener("abort", () => resolve(clearTimeout(timer)));
      });
      print(`aborted: ${signal.aborted}`);
      return { summary: { text } };
    case "abort":
      await new Promise((_, reject) => {
        const timer = setTimeout(reject, 20_000);
        signal.addEventListener("abort", () => reject((clearTimeout(timer), signal.reason)));
      });
  }
});

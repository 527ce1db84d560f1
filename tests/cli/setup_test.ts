import { checkDeno, planAdapter } from "../../src/cli/setup.ts";
import { equal, match, throws } from "../assert.ts";

Deno.test("a driver is installed by root with apt-get alone: who can be asked is asked, else a flag, CI or a container says so", () => {
  const flags = [{}, { HESTIA_INSTALL: "1" }, { CI: "true" }, { HESTIA_NO_INSTALL: "1" }, { HESTIA_NO_INSTALL: "1", CI: "true" }];
  for (const environment of flags) {
    for (let bits = 0; bits < 32; bits++) {
      const [found, isRoot, hasApt, isTerminal, isContainer] = [1, 2, 4, 8, 16].map((bit) => (bits & bit) !== 0);
      const plan = planAdapter({ found, isRoot, hasApt, isTerminal, isContainer, environment });
      const may = !("HESTIA_NO_INSTALL" in environment) && isRoot && hasApt;
      const isTold = "HESTIA_INSTALL" in environment || "CI" in environment;
      const expected = isTold || !isTerminal && isContainer ? "install" : isTerminal ? "ask" : "advise";
      equal(plan, found ? "ready" : may ? expected : "advise");
    }
  }
});

Deno.test("checkDeno() accepts 2.9 and later, and says how to get it", () => {
  for (const version of ["2.9.0", "2.9.6", "2.10.1", "3.0.0", "2.9.0-rc.1"]) checkDeno(version);
  for (const version of ["1.46.3", "2.8.9"]) throws(() => checkDeno(version), { name: "UsageError", message: /deno upgrade/ });
});

Deno.test("the preflight ends well in this environment and names the adapter", async () => {
  const args = [
    "run",
    ...["read", "env", "sys=uid", "run"].map((each) => `--allow-${each}`),
    "--no-prompt",
    new URL("../../src/cli/setup.ts", import.meta.url).pathname,
  ];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, env: { HESTIA_NO_INSTALL: "1" } }).output();
  equal(code, 0);
  equal(stdout.length, 0, "stdout belongs to the command that follows");
  const inCi = Deno.env.get("CI") === "true";
  match(new TextDecoder().decode(stderr), inCi ? /Ready: Deno .*, WebGPU on / : /Ready: Deno .*, WebGPU on |warning: /);
});

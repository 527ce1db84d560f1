import { equal, ok } from "../assert.ts";
import { runCommand } from "./run_command.ts";

const small = ["--config", "configs/quickstart.json", "--batch", "2", "--sequence", "16"];

Deno.test("deno task plan says what phases and options take, and what fits", async () => {
  const { code, stdout, stderr } = await runCommand("plan", [...small, "--adapter-memory", "0.02", "--tokens", "1000", "--json"]);
  equal(code, 0, stderr);
  const { phases, peak, alternatives, disk, fits, time, parameters } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  equal(phases.map(({ phase }: { phase: string }) => phase).join(), "calibration,training,evaluation");
  equal(peak, Math.max(...phases.map(({ total }: { total: number }) => total)));
  equal(fits, false);
  ok(
    alternatives.some(({ option, alone }: { option: string; alone: number }) => option === "--moments bfloat16" && alone < peak),
  );
  ok(disk.packed < disk.checkpoint && disk.checkpoint < 4 * parameters && time.seconds > 0);
  ok(/training +\d/.test(stderr) && /does not fit the 0\.0 GB/.test(stderr), stderr);
});

Deno.test("deno task plan takes the options of deno task train, by their names or shorter ones", async () => {
  const long = [
    "--config",
    "configs/quickstart.json",
    "--batch-size",
    "2",
    "--sequence-length",
    "16",
    "--output",
    "x",
    "--data=y",
  ];
  const [shorter, whole] = await Promise.all([small, long].map((options) => runCommand("plan", [...options, "--json"])));
  equal(whole.code, 0, whole.stderr);
  equal(JSON.parse(whole.stdout).peak, JSON.parse(shorter.stdout).peak);
});

Deno.test("deno task train refuses before any work what the device has no memory for, and says what would fit", async () => {
  const folder = await Deno.makeTempDir();
  const { code, stderr } = await runCommand("train", [
    "--output",
    `${folder}/run`,
    "--max-steps",
    "2",
    "--adapter-memory",
    "0.04",
  ]);
  equal(code, 2, stderr);
  ok(/training takes 0\.0\d+ GB of memory, and the device has 0\.040 GB; --recompute-every 1 takes/.test(stderr), stderr);
  equal([...Deno.readDirSync(folder)].length, 0);
  await Deno.remove(folder, { recursive: true });
});

import type { Contest, Program } from "../../src/core/program.ts";
import { Tuner, type Tuning } from "../../src/tuning/tuner.ts";
import { deepEqual, equal, rejects } from "../assert.ts";
import { withCache } from "../support/cache.ts";

const program: Program = { dispatches: [], inputBytes: [], outputs: [], scratchBytes: [], released: [] };
const contest = (shapeClass: string, names: readonly string[]): Contest => ({
  shapeClass,
  names,
  programs: names.map(() => program),
});

/** A device that takes as long as told. */
function device(times: readonly (number | undefined)[], { texelReads = false } = {}) {
  return { adapter: "test", texelReads, time: () => Promise.resolve(times) };
}

/** A test that remembers nothing beyond its end. */
function test(says: string, work: () => Promise<void>): void {
  Deno.test(says, async () => deepEqual(await withCache(work), []));
}

const chosen: readonly { says: string; times: readonly (number | undefined)[]; name: string }[] = [
  { says: "the fastest", times: [3, 1, 2], name: "b" },
  { says: "the default unless another is clearly faster", times: [1, 0.96, 2], name: "a" },
  { says: "another that is clearly faster", times: [1, 2, 0.95], name: "c" },
  { says: "no kernel of other results", times: [3, undefined, 2.9], name: "a" },
  { says: "the default where it could not be timed", times: [undefined, undefined, undefined], name: "a" },
  { says: "the default where nothing was timed", times: [], name: "a" },
];

for (const { says, times, name } of chosen) {
  test(`a tuner chooses ${says}`, async () => {
    const tuner = await Tuner.open(device(times), { asked: true, variants: [] });
    equal(tuner.fastest!("small"), undefined);
    await tuner.decide([contest("small", ["a", "b", "c"])]);
    equal(tuner.fastest!("small"), name);
    deepEqual([...tuner.choices], [["small", name]]);
  });
}

test("a device that is lost in a trial leaves the default", async () => {
  const lost = { ...device([]), time: () => Promise.reject(new Error("lost")) };
  const tuner = await Tuner.open(lost, { asked: true, variants: [] });
  await tuner.decide([contest("small", ["a", "b"])]);
  equal(tuner.fastest!("small"), "a");
});

test("who asks for nothing gets trials on graphics processors and what is known elsewhere, who says no gets defaults", async () => {
  const variants = ["a", "b"];
  const modes = async (asked?: Tuning, texelReads = false) => {
    const { fastest, variant } = await Tuner.open(device([], { texelReads }), { asked, variants });
    return variant ?? (!fastest ? "defaults" : fastest("small") === undefined ? "trials" : "what is known");
  };
  equal(await modes(undefined, false), "trials");
  equal(await modes(undefined, true), "what is known");
  equal(await modes(true, true), "trials");
  equal(await modes(false, false), "defaults");
  equal(await modes("b", true), "b");
  await rejects(modes("c"), { message: /Cannot use the kernel "c" wherever it applies: there are a, b/ });
  const { time: _, ...reference } = device([]);
  deepEqual((await Tuner.open(reference, { asked: true, variants })).fastest, undefined);
});

test("the environment says what nobody says in words", async () => {
  const old = Deno.env.get("HESTIA_TUNE");
  const mode = async (text: string, asked?: Tuning) => {
    Deno.env.set("HESTIA_TUNE", text);
    const { fastest, variant } = await Tuner.open(device([], { texelReads: true }), { asked, variants: ["a"] });
    return variant ?? (fastest !== undefined && fastest("small") === undefined);
  };
  try {
    deepEqual([await mode("on"), await mode("off"), await mode("a"), await mode("")], [true, false, "a", false]);
    deepEqual([await mode("on", false), await mode("off", true)], [false, true]);
    await rejects(mode("yes"), { message: /Cannot understand HESTIA_TUNE="yes": wanted on, off, or one of a/ });
  } finally {
    if (old === undefined) Deno.env.delete("HESTIA_TUNE");
    else Deno.env.set("HESTIA_TUNE", old);
  }
});

test("what one tuner found out the next one knows, unless it is told not to", async () => {
  await (await Tuner.open(device([2, 1]), { asked: true, variants: [] })).decide([contest("small", ["a", "b"])]);
  const fastest = async (adapter: string, asked: Tuning) =>
    (await Tuner.open({ ...device([]), adapter }, { asked, variants: [] })).fastest?.("small");
  deepEqual([await fastest("test", true), await fastest("test", false), await fastest("other", true)], [
    "b",
    undefined,
    undefined,
  ]);
});

test("what is remembered is used even where nothing is timed", async () => {
  await (await Tuner.open(device([2, 1]), { asked: true, variants: [] })).decide([contest("small", ["a", "b"])]);
  equal((await Tuner.open(device([], { texelReads: true }), { variants: [] })).fastest!("small"), "b");
});

test("trials that nobody asked for end after some seconds of a process", async () => {
  const now = performance.now;
  let clock = 0;
  performance.now = () => clock;
  const slow = { ...device([]), time: () => (clock += 3000, Promise.resolve([2, 1])) };
  try {
    for (const [asked, choices] of [[undefined, "bba"], [true, "bbb"]] as const) {
      const tuner = await Tuner.open({ ...slow, adapter: choices }, { asked, variants: [] });
      await tuner.decide(["x", "y", "z"].map((shapeClass) => contest(shapeClass, ["a", "b"])));
      equal([...tuner.choices.values()].join(""), choices);
    }
  } finally {
    performance.now = now;
  }
});

import { dataFile, filesOf, parseDataSpecs } from "../../src/data/source.ts";
import { expandBraces, filesMatching } from "../../src/io/glob.ts";
import { linesOf } from "../../src/io/byte_stream.ts";
import { deepEqual, rejects, throws } from "../assert.ts";

Deno.test("sources are typed with commas and weights between them", () => {
  const cases: [string[], [string, number?][]][] = [
    [["a.txt"], [["a.txt"]]],
    [["a.txt,b/", "c"], [["a.txt"], ["b/"], ["c"]]],
    [["./corpus/**/*.{txt,jsonl,parquet}"], [["./corpus/**/*.{txt,jsonl,parquet}"]]],
    [["a.jsonl:0.7", "b:.3"], [["a.jsonl", 0.7], ["b", 0.3]]],
    [["x/*.{a,b}:2,y:1"], [["x/*.{a,b}", 2], ["y", 1]]],
    [["C:/text/a.txt"], [["C:/text/a.txt"]]],
    [[" , "], []],
  ];
  for (const [typed, wanted] of cases) {
    deepEqual(parseDataSpecs(typed).map(({ path, weight }) => weight === undefined ? [path] : [path, weight]), wanted);
  }
  throws(() => parseDataSpecs(["a:0,b:1"]), { message: 'Cannot mix "a" with a weight of 0: wanted a number above 0' });
  throws(() => parseDataSpecs(["a:1,b"]), /Cannot mix "b", which has no weight, with sources that have one/);
});

Deno.test("the name of a file says how documents lie in it", () => {
  const cases: [string, string | undefined][] = [
    ["a.txt", "text"],
    ["A.TXT", "text"],
    ["x.y/b.md", "text"],
    ["c.jsonl", "lines"],
    ["c.jsonl.gz", "lines gzip"],
    ["c.tar.jsonl.zst", "lines zstd"],
    ["notes.txt.gz", "text gzip"],
    ["d.parquet", "parquet"],
    ["d.parquet.gz", undefined],
    ["e.gz", undefined],
    ["f.json", undefined],
    ["noending", undefined],
    ["dir.txt/noending", undefined],
  ];
  for (const [path, wanted] of cases) {
    const file = dataFile(path);
    deepEqual(file && [file.format, file.compression].filter(Boolean).join(" "), wanted, path);
  }
});

Deno.test("braces stand for choices", () => {
  deepEqual(expandBraces("a.{txt,md}"), ["a.txt", "a.md"]);
  deepEqual(expandBraces("{a,b{1,2},}x{c}"), ["ax{c}", "b1x{c}", "b2x{c}", "x{c}"]);
  deepEqual(expandBraces("a{b"), ["a{b"]);
});

/** Patterns, and what they find in the folder of the test below. */
const patterns: [string, string[]][] = [
  ["*.txt", ["[x].txt", "a.txt", "é.txt"]],
  ["?.{txt,md}", ["a.txt", "b.md", "é.txt"]],
  ["[ab].*", ["a.txt", "b.md"]],
  ["[!a].*", ["b.md", "é.txt"]],
  ["**/*.txt", ["[x].txt", "a.txt", "s.txt/g.txt", "s/c.txt", "s/link.txt", "é.txt"]],
  ["s/**", ["s/c.txt", "s/link.txt", "s/t/d.jsonl", "s/t/f.png"]],
  ["**/t/*", ["s/t/d.jsonl", "s/t/f.png"]],
  ["./s/../a.txt", ["./s/../a.txt"]],
  [".*", [".h.txt"]],
  ["none/*", []],
  ["s/loop/s/*.txt", ["s/loop/s/c.txt", "s/loop/s/link.txt"]],
  ["s/*/b.md", ["s/loop/b.md"]],
  ["a.txt/*", []],
];

Deno.test("patterns find files as shells do, folders all that is in them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (
      const path of [
        "a.txt",
        "b.md",
        "[x].txt",
        ".h.txt",
        "s/c.txt",
        "s/t/d.jsonl",
        "s/.g/e.txt",
        "s/t/f.png",
        "é.txt",
        "s.txt/g.txt",
      ]
    ) {
      await Deno.mkdir(`${folder}/${path}`.replace(/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, "x");
    }
    await Deno.symlink(`${folder}/a.txt`, `${folder}/s/link.txt`);
    await Deno.symlink(folder, `${folder}/s/loop`);
    for (const [pattern, wanted] of patterns) {
      deepEqual((await filesMatching(`${folder}/${pattern}`)).map((path) => path.slice(folder.length + 1)), wanted, pattern);
    }
    const names = async (path: string) =>
      (await filesOf({ path: `${folder}/${path}` })).map((file) => file.path.slice(folder.length + 1));
    deepEqual(await names("s"), ["s/c.txt", "s/link.txt", "s/t/d.jsonl"]);
    deepEqual(await names("s/loop/s//"), ["s/loop/s/c.txt", "s/loop/s/link.txt", "s/loop/s/t/d.jsonl"]);
    deepEqual(await names("[x].txt"), ["[x].txt"], "a file that is there is no pattern");
    await rejects(names("none"), /Cannot read ".*none": no such file or folder/);
    await rejects(names("s/t/f.png"), /its ending is not one of \.txt, \.md, \.jsonl/);
    await rejects(names("**/*.png"), /none of its 1 files, such as ".*f\.png", is of a known kind; wanted \.txt/);
    await rejects(names("*.doc"), /there is no file; wanted \.txt/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("lines are the same wherever pieces end", async () => {
  const bytes = new TextEncoder().encode("one\r\n\ntwo\nlast");
  for (let size = 1; size <= bytes.length; size++) {
    const pieces = async function* () {
      for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
    };
    const lines: string[] = [];
    for await (const line of linesOf(pieces())) lines.push(new TextDecoder().decode(line));
    deepEqual(lines, ["one", "", "two", "last"]);
  }
});

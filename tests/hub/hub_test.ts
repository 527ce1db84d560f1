import { resolveDataset, resolveModel } from "../../src/hub/resolve.ts";
import { datasetId, modelId } from "../../src/hub/id.ts";
import { hubSettings } from "../../src/hub/settings.ts";
import { deepEqual, equal, match, ok, rejects, throws } from "../assert.ts";
import { COMMIT, content, cut, error, hash, HubServer, type ServedFile } from "./server.ts";

const NAME = "owner/tiny-model";
const text = (value: string): ServedFile => ({ content: new TextEncoder().encode(value) });
const large = (bytes: number, seed: number): ServedFile => ({
  large: true,
  content: Uint8Array.from({ length: bytes }, (_, index) => (index * 31 + seed * 17 + (index >> 8)) & 255),
});

const index = JSON.stringify({ weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } });
const sharded = {
  "config.json": text("{}"),
  "tokenizer.json": text('{"model":1}'),
  "model.safetensors.index.json": text(index),
  "model-00001-of-00002.safetensors": large(100_003, 1),
  "model-00002-of-00002.safetensors": large(65_537, 2),
  "pytorch_model.bin": large(7, 3),
  "README.md": text("# not needed"),
  "original/consolidated.00.pth": large(5, 4),
};
const single = { "config.json": text("{}"), "tokenizer.json": text('{"model":2}'), "model.safetensors": large(50_021, 5) };

/** Variables of the environment that decide; they are put back afterwards. */
const VARIABLES = [
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "HF_TOKEN_PATH",
  "HF_HOME",
  "HF_HUB_CACHE",
  "HF_ENDPOINT",
  "HF_HUB_OFFLINE",
];

interface World {
  readonly server: HubServer;
  readonly home: string;
  readonly messages: string[];
  readonly get: (spec?: string, more?: Parameters<typeof resolveModel>[1]) => Promise<string>;
}

/** A test with a server, an empty cache, and an environment that names them. */
function hubTest(name: string, files: Record<string, ServedFile>, work: (world: World) => Promise<void>): void {
  Deno.test(name, async () => {
    const before = VARIABLES.map((variable) => Deno.env.get(variable));
    VARIABLES.forEach((variable) => Deno.env.delete(variable));
    const home = await Deno.makeTempDir();
    await using server = new HubServer(NAME, files);
    Deno.env.set("HF_HOME", home);
    Deno.env.set("HF_ENDPOINT", server.endpoint);
    const messages: string[] = [];
    const onMessage = (line: string) => void messages.push(line);
    try {
      await work({
        server,
        home,
        messages,
        get: (spec = NAME, more = {}) => resolveModel(spec, { pauseMs: 1, onMessage, ...more }),
      });
    } finally {
      await Deno.remove(home, { recursive: true });
      VARIABLES.forEach((variable, at) =>
        before[at] === undefined ? Deno.env.delete(variable) : Deno.env.set(variable, before[at])
      );
    }
  });
}

const repository = (home: string) => `${home}/hub/models--owner--tiny-model`;
const snapshot = (home: string) => `${repository(home)}/snapshots/${COMMIT}`;

/** Expects one line that begins with what was wanted, and holds a pattern. */
async function refused(work: Promise<unknown>, pattern: RegExp): Promise<void> {
  const { message } = await work.then(() => Promise.reject(new Error("it was not refused")), (error: Error) => error);
  match(message, /^Cannot open /);
  match(message, pattern);
  ok(!message.includes("\n"), message);
}

hubTest(
  "a model is fetched into the layout that other programs share: only the files that are needed",
  sharded,
  async ({ get, home, server }) => {
    const seen: number[] = [];
    equal(await get(NAME, { onProgress: ({ bytes, of }) => void seen.push(bytes / of) }), snapshot(home));
    const names = [...Deno.readDirSync(snapshot(home))].map(({ name, isSymlink }) => (ok(isSymlink), name)).sort();
    deepEqual(names, Object.keys(sharded).filter((name) => !/^(README|original|pytorch)/.test(name)).sort());
    for (const [name, { content, large }] of Object.entries(sharded).filter(([name]) => names.includes(name))) {
      deepEqual(Deno.readFileSync(`${snapshot(home)}/${name}`), content);
      const blob = large ? hash("sha256", content) : hash("sha1", new TextEncoder().encode(`blob ${content.length}\0`), content);
      equal(Deno.readLinkSync(`${snapshot(home)}/${name}`), `../../blobs/${blob}`);
    }
    equal(Deno.readTextFileSync(`${repository(home)}/refs/main`), COMMIT);
    equal(seen.at(-1), 1);
    ok([...Deno.readDirSync(`${repository(home)}/blobs`)].every(({ name }) => !name.endsWith(".incomplete")));
    const before = server.asked.length;
    equal(await get(), snapshot(home));
    deepEqual(server.asked.slice(before), [`GET /api/models/${NAME}/revision/main`]); // whether the branch has moved
    equal(await get(`${NAME}@${COMMIT}`), snapshot(home)); // a commit cannot move
    equal(server.asked.length, before + 1);
  },
);

hubTest("an existing path wins over a name, and what is no name is no such path", single, async ({ get, home, server }) => {
  equal(await get(home), home);
  equal(await get("LICENSE"), "LICENSE");
  await refused(get("./no/such"), /^Cannot open the model \.\/no\/such: no such file or folder$/);
  equal(server.asked.length, 0);
});

hubTest(
  "the token comes from the environment or its file, and never leaves for another server",
  single,
  async ({ get, home, server }) => {
    Object.assign(server.options, { token: "hf_secret" });
    await refused(
      get(),
      /no such file or folder, and on the Hub: there is none of that name, or it wants a token \(401\): set HF_TOKEN, or write it to .*token;/,
    );
    Deno.env.set("HF_TOKEN", "hf_wrong");
    await refused(get(), /the token from HF_TOKEN is not accepted, or may not read it \(401\)/);
    Deno.env.delete("HF_TOKEN");
    await Deno.writeTextFile(`${home}/token`, "hf_secret\n");
    await get();
    deepEqual(server.leaked, [null]);
  },
);

hubTest("what is gated, missing, or of no such revision says what to do", single, async ({ get, server }) => {
  server.trouble = () => error(403, "GatedRepo");
  await refused(get(), new RegExp(`its terms must be accepted first, at ${server.endpoint}/${NAME}; then set HF_TOKEN`));
  Deno.env.set("HF_TOKEN", "hf_mine");
  await refused(get(), /accepted first, at .*, by the user of the token from HF_TOKEN \(403\)/);
  server.trouble = () => undefined;
  await refused(get("owner/other"), /there is none of that name at http.*owner\/other \(404\)/);
  await refused(get(`${NAME}@v9`), /it has no revision "v9" \(404\)/);
  await refused(get(NAME, { revision: "v8" }), /it has no revision "v8"/);
  server.trouble = (path) => path.includes("/resolve/") ? error(404, "EntryNotFound") : undefined;
  await refused(get(), /config\.json is not there \(404\)|tokenizer\.json is not there \(404\)/);
});

hubTest(
  "a busy Hub is waited for as long as it asks, one out of order is asked again",
  single,
  async ({ get, messages, server }) => {
    server.trouble = (path, _, attempt) => {
      if (path.includes("/revision/") && attempt === 1) return error(429, undefined, { "retry-after": "0.05" });
      if (path.includes("/tree/") && attempt < 4) return error(503);
      if (path.startsWith("/far/") && attempt === 1) return error(500);
    };
    await get();
    deepEqual(messages, [`${server.endpoint} asks to wait 1 s`]);
  },
);

hubTest("a Hub that stays out of order is an error", single, async ({ get, server }) => {
  server.trouble = () => error(502);
  await refused(get(), /is out of order or too busy \(status 502, tried 6 times\)$/);
  equal(server.asked.length, 6);
});

hubTest("cut connections go on where they were, in the next call too", sharded, async ({ get, server }) => {
  const ranges: (string | null)[] = [];
  let dead = false;
  server.trouble = (path, request) => {
    if (dead || !path.includes("00001-of")) return dead ? error(502) : undefined;
    if (!path.startsWith("/far/")) return undefined;
    ranges.push(request.headers.get("range"));
    dead = ranges.length === 3;
    return cut(content(request, sharded["model-00001-of-00002.safetensors"]), 20_000);
  };
  await refused(get(), /out of order/);
  deepEqual(ranges, [null, "bytes=20000-", "bytes=40000-"]);
  server.trouble = (path, request) => void (path.startsWith("/far/") && ranges.push(request.headers.get("range")));
  const folder = await get();
  equal(ranges.at(-1), "bytes=60000-");
  deepEqual(Deno.readFileSync(`${folder}/model-00001-of-00002.safetensors`), sharded["model-00001-of-00002.safetensors"].content);
});

hubTest("a server that ignores ranges sends it all again, one that only breaks is given up", single, async ({ get, server }) => {
  const whole = single["model.safetensors"];
  server.trouble = (path, _, attempt) => {
    if (!path.startsWith("/far/")) return undefined;
    return attempt === 1 ? cut(new Response(whole.content as BodyInit), 30_000) : new Response(whole.content as BodyInit);
  };
  const folder = await get();
  deepEqual(Deno.readFileSync(`${folder}/model.safetensors`), whole.content);
  await Deno.remove(Deno.realPathSync(`${folder}/model.safetensors`));
  server.trouble = (path, request) => path.startsWith("/far/") ? cut(content(request, whole), 0) : undefined;
  await refused(get(), /the connection for model\.safetensors breaks again and again: /);
});

for (
  const [what, wrong, pattern] of [
    [
      "another content",
      (bytes: Uint8Array) => bytes.map((byte) => byte ^ 1),
      /twice its hash was not [0-9a-f]{64}; what arrived is removed$/,
    ],
    ["too many bytes", (bytes: Uint8Array) => new Uint8Array([...bytes, 1]), /twice its length was not 50021 bytes/],
    ["too few bytes", (bytes: Uint8Array) => bytes.slice(0, 999), /twice its length was not 50021 bytes/],
  ] as const
) {
  hubTest(`${what} is fetched once more, then refused; nothing of it is kept`, single, async ({ get, home, server }) => {
    const bad = { content: wrong(single["model.safetensors"].content) };
    server.trouble = (path, request) => path.startsWith("/far/") ? content(request, bad) : undefined;
    await refused(get(), pattern);
    equal([...Deno.readDirSync(`${repository(home)}/blobs`)].length, 2); // the small files
    let wrongOnce = false;
    server.trouble = (path, request) =>
      path.startsWith("/far/") && !wrongOnce ? (wrongOnce = true, content(request, bad)) : undefined;
    deepEqual(Deno.readFileSync(`${await get()}/model.safetensors`), single["model.safetensors"].content);
  });
}

hubTest("small files are checked too", single, async ({ get, server }) => {
  server.trouble = (path) => path.endsWith("/config.json") ? new Response("[]") : undefined;
  await refused(get(), /config\.json arrives damaged: twice its hash/);
});

hubTest("offline and unreachable: a whole copy is used, half of one is not", sharded, async ({ get, home, messages, server }) => {
  Deno.env.set("HF_HUB_OFFLINE", "1");
  await refused(get(), /HF_HUB_OFFLINE forbids to fetch it, and the cache holds no whole copy of owner\/tiny-model@main$/);
  equal(server.asked.length, 0);
  Deno.env.delete("HF_HUB_OFFLINE");
  await get();
  Deno.env.set("HF_HUB_OFFLINE", "1");
  const before = server.asked.length;
  equal(await get(), snapshot(home));
  equal(server.asked.length, before);
  Deno.env.delete("HF_HUB_OFFLINE");
  Deno.env.set("HF_ENDPOINT", "http://127.0.0.1:1");
  equal(await get(), snapshot(home));
  match(
    messages.at(-1)!,
    /^http:\/\/127\.0\.0\.1:1 cannot be reached \(.*, tried 6 times\): using the copy of owner\/tiny-model that is in the cache$/,
  );
  await Deno.remove(`${snapshot(home)}/model-00002-of-00002.safetensors`);
  await refused(get(), /no such file or folder, and on the Hub: http:\/\/127\.0\.0\.1:1 cannot be reached/);
});

hubTest(
  "a model that another program fetched is found, and its broken downloads go on",
  single,
  async ({ get, home, server }) => {
    const { content: whole } = single["model.safetensors"];
    await Deno.mkdir(`${repository(home)}/blobs`, { recursive: true });
    await Deno.writeFile(`${repository(home)}/blobs/${hash("sha256", whole)}.incomplete`, whole.slice(0, 40_000));
    let range: string | null = null;
    server.trouble = (path, request) => void (path.startsWith("/far/") && (range = request.headers.get("range")));
    await get();
    equal(range, "bytes=40000-");
  },
);

hubTest(
  "a model without safetensors says what it has instead",
  { "config.json": text("{}"), "pytorch_model.bin": large(9, 1) },
  async ({ get }) => {
    await refused(get(), /it has no model\.safetensors, only pytorch_model\.bin: wanted a model in safetensors$/);
  },
);

hubTest("names that lead out of the cache are refused", { ...single, "../../evil": text("x") }, async ({ get }) => {
  await refused(get(), /lists a file that cannot be: "\.\.\/\.\.\/evil"/);
});

hubTest("an aborted download ends at once, keeps what arrived, and tells the reason", single, async ({ get, home, server }) => {
  const controller = new AbortController();
  const onProgress = () => controller.abort(new DOMException("stopped", "AbortError"));
  server.trouble = (path, request) =>
    path.startsWith("/far/") ? cut(content(request, single["model.safetensors"]), 10_000) : undefined;
  await rejects(get(NAME, { signal: controller.signal, onProgress }), { name: "AbortError" });
  ok([...Deno.readDirSync(repository(home))].length > 0);
});

const texts = {
  "data/a.parquet": large(301, 1),
  "data/b.parquet": large(302, 2),
  "sample/10BT/000.parquet": large(303, 3),
  "sample/notes.txt": text("hello"),
  "README": text("no text"),
};

hubTest("a data set is fetched by pattern, in order", texts, async ({ home, server }) => {
  const folder = `${home}/hub/datasets--owner--tiny-model/snapshots/${COMMIT}`;
  const get = async (spec: string, include?: string) =>
    (await resolveDataset(spec, { include, pauseMs: 1 })).map((path) => path.replace(`${folder}/`, ""));
  deepEqual(await get(`dataset:${NAME}/sample/**/*.parquet`), ["sample/10BT/000.parquet"]);
  ok(server.asked.includes(`GET /api/datasets/${NAME}/tree/${COMMIT}/sample`), server.asked.join("\n"));
  deepEqual(await get(`dataset:${NAME}`, "data/*.{parquet,txt}"), ["data/a.parquet", "data/b.parquet"]);
  deepEqual(await get(`dataset:${NAME}@v1`), Object.keys(texts).filter((path) => path !== "README").sort());
  deepEqual(Deno.readFileSync(`${folder}/sample/10BT/000.parquet`), texts["sample/10BT/000.parquet"].content);
  await refused(get(`dataset:${NAME}`, "none/*.txt"), /no file of it is none\/\*\.txt$/);
});

Deno.test("names of models and data sets are told from paths", () => {
  equal(modelId("a/b")?.revision, "main");
  equal(modelId("a/b@refs/pr/1")?.revision, "refs/pr/1");
  for (const path of ["./a/b", "/a/b", "a", "a/b/c", "a/b.gguf", "../b", "a b/c", "a/model.safetensors"]) {
    equal(modelId(path), undefined, path);
  }
  deepEqual(datasetId("dataset:a/b@v2/c/*.txt"), { kind: "dataset", name: "a/b", revision: "v2", files: "c/*.txt" });
  equal(datasetId("a/b"), undefined);
  throws(() => datasetId("dataset:b"), /wanted dataset:owner\/name/);
});

Deno.test("the environment is read as Hugging Face's own programs read it", () => {
  const of = (variables: Record<string, string>) => hubSettings({ get: (name) => variables[name] });
  equal(of({ HOME: "/h" }).cacheFolder, "/h/.cache/huggingface/hub");
  equal(of({ HOME: "/h", XDG_CACHE_HOME: "/x" }).tokenPath, "/x/huggingface/token");
  equal(of({ HOME: "/h", HF_HOME: "/y" }).cacheFolder, "/y/hub");
  equal(of({ HF_HUB_CACHE: "/z", HF_HOME: "/y" }).cacheFolder, "/z");
  equal(of({ HUGGING_FACE_HUB_TOKEN: " hf_b " }).token, "hf_b");
  equal(of({ HUGGING_FACE_HUB_TOKEN: "hf_b", HF_TOKEN: "hf_a" }).tokenSource, "HF_TOKEN");
  equal(of({ HF_ENDPOINT: "http://mirror/" }).endpoint, "http://mirror");
  deepEqual(["1", "true", "ON", "0", ""].map((value) => of({ HF_HUB_OFFLINE: value }).offline), [true, true, true, false, false]);
});

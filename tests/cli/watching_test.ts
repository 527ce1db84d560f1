import { deepEqual, equal, match, ok } from "../assert.ts";
import { listenersOf, openRecords, type RunListener, type RunListeners, type RunRecord } from "../../src/cli/run_records.ts";
import { serveRun } from "../../src/cli/run_server.ts";
import { tensorBoard, trackedNumbers, trackio } from "../../src/cli/trackers.ts";
import { maskedChecksum } from "../../src/report/tensorboard.ts";
import { sampleText } from "../support/models.ts";

const step = (step: number): RunRecord => ({
  step,
  phase: "quantize",
  lossNats: 1 / step,
  learningRate: 1e-3,
  gradientNorm: 2.5,
  pressure: 0.25,
  tokensPerSecond: 300,
});
const heldOut: RunRecord = { step: 2, phase: "quantize", heldOutLossNats: 3.5, latentLossNats: 3, sample: "Call" };
const tensors: RunRecord = {
  step: 2,
  phase: "quantize",
  tensors: { w: { gradientNorm: 0.5, shares: [0.25, 0.5, 0.25], flips: 0.125 } },
};

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Records of a folder, and who is told of them. */
function recordsTo(folder: string, all: readonly RunListener[]): RunListeners {
  const listeners = listenersOf(all);
  const records = openRecords(folder, listeners);
  return {
    tell: records.tell,
    async [Symbol.asyncDispose]() {
      await records[Symbol.asyncDispose]();
      await listeners[Symbol.asyncDispose]();
    },
  };
}

/** Server-sent events, as they come. */
async function* eventsOf(
  response: Response,
): AsyncGenerator<{ readonly id?: string; readonly event?: string; readonly data?: string }> {
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = text.slice(0, end).split("\n").map((line) => [line.split(": ")[0], line.split(": ").slice(1).join(": ")]);
      text = text.slice(end + 2);
      const event = Object.fromEntries(fields);
      if (event.event) yield event;
    }
  }
}

/** What is said on stderr meanwhile. */
async function saidBy(work: () => Promise<void>): Promise<string[]> {
  const [said, error] = [[] as string[], console.error];
  console.error = (line: string) => void said.push(line);
  try {
    await work();
  } finally {
    console.error = error;
  }
  return said;
}

Deno.test("the live page tells of a record within a second, catches up, and can only be looked at", () =>
  inFolder(async (folder) => {
    const server = serveRun(folder, { name: "run", port: 0 });
    await using records = recordsTo(folder, [server]);
    records.tell(step(1));
    const first = await fetch(`${server.address}events?after=0`);
    equal(first.headers.get("content-type"), "text/event-stream");
    const events = eventsOf(first);
    deepEqual(JSON.parse((await events.next()).value!.data!), step(1));
    const told = performance.now();
    records.tell(step(2));
    records.tell(tensors);
    const { id, data } = (await events.next()).value!;
    ok(performance.now() - told < 1000);
    deepEqual([id, JSON.parse(data!)], ["2", step(2)]);
    deepEqual(JSON.parse((await events.next()).value!.data!), tensors);
    const back = eventsOf(await fetch(`${server.address}events`, { headers: { "last-event-id": "1" } }));
    deepEqual(JSON.parse((await back.next()).value!.data!), step(2));
    await back.return(undefined);
    const other = eventsOf(await fetch(`${server.address}events?after=99`)); // of an earlier process of the run
    equal((await other.next()).value!.event, "reload");
    await other.return(undefined);
    for (const [path, init, status] of [["", { method: "POST" }, 405], ["run.json", {}, 404], ["", {}, 500]] as const) {
      const answer = await fetch(server.address + path, init);
      equal(answer.status, status);
      await answer.body?.cancel();
    }
    const raw = await Deno.connect({ port: Number(new URL(server.address).port) });
    await raw.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"));
    match(await new Response(raw.readable).text(), /^HTTP\/1\.1 403 /); // a page of another site whose name leads here
    const closed = server.close();
    equal((await events.next()).value!.event, "end");
    await closed;
  }));

/** Records of a TFRecord file, by what its format says: length, checksum, bytes, checksum. */
function* recordsIn(file: Uint8Array<ArrayBuffer>): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < file.length;) {
    const view = new DataView(file.buffer, file.byteOffset + at);
    const length = Number(view.getBigUint64(0, true));
    const bytes = file.subarray(at + 12, at + 12 + length);
    equal(view.getUint32(8, true), slowChecksum(file.subarray(at, at + 8)));
    equal(view.getUint32(12 + length, true), slowChecksum(bytes));
    yield bytes;
    at += length + 16;
  }
}

/** Masked CRC-32C by long division, bit by bit, from the highest. */
function slowChecksum(bytes: Uint8Array): number {
  const bits = [...bytes].flatMap((byte) => Array.from({ length: 8 }, (_, bit) => byte >> bit & 1));
  const rest = [...bits, ...Array(32).fill(0)];
  for (let at = 0; at < 32; at++) rest[at] ^= 1;
  const divisor = Array.from({ length: 33 }, (_, bit) => bit === 0 ? 1 : 0x1edc6f41 >>> (32 - bit) & 1);
  for (let at = 0; at < bits.length; at++) if (rest[at]) divisor.forEach((bit, index) => rest[at + index] ^= bit);
  const crc = rest.slice(bits.length).reduce((sum, bit, at) => sum + (bit ^ 1) * 2 ** at, 0);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** Fields of a protocol buffer by number: numbers, or bytes. */
function fieldsOf(bytes: Uint8Array<ArrayBuffer>): [number, number | Uint8Array<ArrayBuffer>][] {
  const found: [number, number | Uint8Array<ArrayBuffer>][] = [];
  let at = 0;
  const varint = () => {
    let [value, place] = [0, 1];
    for (;; place *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * place;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    const kind = key & 7;
    if (kind === 0) found.push([key >> 3, varint()]);
    else if (kind === 1) found.push([key >> 3, view.getFloat64(0, true)]), at += 8;
    else if (kind === 5) found.push([key >> 3, view.getFloat32(0, true)]), at += 4;
    else {
      const length = varint();
      found.push([key >> 3, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
  return found;
}

Deno.test("TensorBoard's files hold every number, by tag and step", () =>
  inFolder(async (folder) => {
    equal(maskedChecksum(new TextEncoder().encode("123456789")), ((0xe3069283 >>> 15 | 0xe3069283 << 17) + 0xa282ead8) >>> 0);
    {
      await using records = recordsTo(folder, [tensorBoard(`${folder}/tensorboard`, { pretrainSteps: 300 })]);
      for (const record of [step(1), step(2), heldOut, tensors]) records.tell(record);
    }
    const [{ name }] = [...Deno.readDirSync(`${folder}/tensorboard`)];
    match(name, /^events\.out\.tfevents\.\d+\./);
    const [version, ...events] = recordsIn(await Deno.readFile(`${folder}/tensorboard/${name}`));
    const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
    equal(text(new Map(fieldsOf(version)).get(3)), "brain.Event:2");
    const read = events.map((event) => {
      const fields = new Map(fieldsOf(event));
      ok(Math.abs(fields.get(1) as number - Date.now() / 1000) < 60);
      const values = fieldsOf(fields.get(5) as Uint8Array<ArrayBuffer>).map(([, value]) => {
        const each = new Map(fieldsOf(value as Uint8Array<ArrayBuffer>));
        return [text(each.get(1)), each.get(2)];
      });
      return [fields.get(2), Object.fromEntries(values)];
    });
    const rounded = (record: RunRecord) =>
      Object.fromEntries(Object.entries(trackedNumbers(record)).map(([tag, value]) => [tag, Math.fround(value)]));
    deepEqual(read, [[301, rounded(step(1))], [302, rounded(step(2))], [302, rounded(heldOut)], [302, rounded(tensors)]]);
    deepEqual(trackedNumbers(heldOut), { "quantize/heldOutLossNats": 3.5, "quantize/latentLossNats": 3 });
    deepEqual(trackedNumbers(tensors), { "gradientNorm/w": 0.5, "flips/w": 0.125, "zeros/w": 0.5 });
  }));

Deno.test("Trackio is told of every record, once, also where it fails now and then; and one that is gone stops nothing", () =>
  inFolder(async (folder) => {
    const taken: { step: number; metrics: unknown; run: string }[] = [];
    const ids = new Set<string>();
    let requests = 0;
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
      const { args, kwargs } = await request.json();
      equal(new URL(request.url).pathname, "/space/api/bulk_log");
      equal(request.headers.get("x-trackio-write-token"), "secret");
      deepEqual(args, []);
      for (const each of kwargs.logs) {
        if (!ids.has(each.log_id)) taken.push(each);
        ids.add(each.log_id);
      }
      return ++requests === 1 ? new Response("later", { status: 503 }) : Response.json({ data: null });
    });
    const to = (address: string) => trackio(address, { project: "p", run: "r", pretrainSteps: 300 });
    {
      await using records = recordsTo(folder, [to(`http://127.0.0.1:${server.addr.port}/space/?write_token=secret`)]);
      for (let at = 1; at <= 40; at++) records.tell(step(at));
    }
    await server.shutdown();
    ok(requests < 10, "many at once");
    deepEqual(taken.map((each) => each.step), Array.from({ length: 40 }, (_, at) => 301 + at));
    deepEqual(taken[7].metrics, trackedNumbers(step(8)));
    const said = await saidBy(async () => {
      await using records = recordsTo(folder, [to(`http://127.0.0.1:${server.addr.port}`)]);
      records.tell(step(41));
      records.tell(tensors);
    });
    equal(said.length, 1);
    match(said[0], /^Trackio at .* is told no more, training goes on: /);
    equal((await Deno.readTextFile(`${folder}/tensors.jsonl`)).trim(), JSON.stringify(tensors));
  }));

Deno.test("--serve shows a run while it trains: its page, and each line of its files", () =>
  inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/corpus`, sampleText(4000));
    const tiny = {
      data: { corpus: `${folder}/corpus` },
      model: { hiddenSize: 64, layers: 1, heads: 2, keyValueHeads: 1, headDim: 32, intermediateSize: 64 },
      ...{ batchSize: 2, sequenceLength: 16, pretrain: { steps: 25, warmupSteps: 1 }, calibration: { probes: 2, batches: 2 } },
      quantize: { groupSize: 64, steps: 8, warmupSteps: 1, hardSteps: 2 },
      evaluation: { batches: 2, everySteps: 4, sampleTokens: 2 },
      sample: { prompt: "Call", tokens: 4 },
    };
    await Deno.writeTextFile(`${folder}/tiny.json`, JSON.stringify(tiny));
    const path = new URL("../../src/cli/train.ts", import.meta.url).pathname;
    const args = ["--config", `${folder}/tiny.json`, "--output", `${folder}/run`, "--serve", "0", "--tensorboard"];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", path, ...args],
      env: { NO_COLOR: "1", XDG_RUNTIME_DIR: "/tmp" },
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const [mine, rest] = child.stderr.tee();
    const all = new Response(rest).text();
    let address: string | undefined;
    for await (const text of mine.pipeThrough(new TextDecoderStream())) {
      address ??= text.match(/shown at (\S+)/)?.[1];
      if (address) break;
    }
    const page = await (await fetch(address!)).text();
    match(page, /<title>Run run<\/title>/);
    match(page, /"live":\{"after":\d+\}/);
    const records: RunRecord[] = [];
    for await (const { event, data } of eventsOf(await fetch(`${address}events?after=0`))) {
      if (event === "record") records.push(JSON.parse(data!));
    }
    equal((await child.status).code, 0, await all);
    const lines = async (name: string) =>
      (await Deno.readTextFile(`${folder}/run/${name}`)).trimEnd().split("\n").map((line) => JSON.parse(line));
    deepEqual(records.filter((each) => !("tensors" in each)), await lines("metrics.jsonl"));
    deepEqual(records.filter((each) => "tensors" in each), await lines("tensors.jsonl"));
    ok(records.some((each) => "heldOutLossNats" in each) && records.length > 40);
    equal([...Deno.readDirSync(`${folder}/run/tensorboard`)].length, 1);
  }));

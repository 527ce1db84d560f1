/**
 * Runs graphs: the only file that knows both the compiler and the devices.
 *
 * @module
 */

import type { Backend, Executable } from "./backend/backend.ts";
import type { BackendInfo, BackendName, BackendOptions } from "./backend/options.ts";
import { ReferenceBackend } from "./backend/reference/backend.ts";
import { openWebGpu } from "./backend/webgpu/backend.ts";
import { flattenGraph } from "./compile/flatten.ts";
import { lower } from "./compile/lower.ts";
import { programBytes } from "./compile/memory.ts";
import { variantNames } from "./compile/variants.ts";
import type { TensorData } from "./core/dtype.ts";
import { type Doubt, doubtsOf, joined, keepUploads, refusalOf, relied } from "./core/doubt.ts";
import { type Node, type TensorType, type Value, valueOf } from "./core/graph.ts";
import type { Graph, Program, ProgramBytes } from "./core/program.ts";
import { Recent } from "./core/recent.ts";
import { sizeOf } from "./core/shape.ts";
import { type Work, WorkQueue } from "./core/work_queue.ts";
import { Tuner, type Tuning } from "./tuning/tuner.ts";

/** A graph ready to run again on other values of its leaves. */
export interface Prepared {
  readonly graph: Graph;
  readonly types: readonly TensorType[];
  /** The compiler's result until it is loaded. */
  lowered?: { readonly by: Tuner; readonly program: Program };
  loaded?: Loaded;
}

/** A computation on its device. */
interface Loaded {
  readonly by: Tuner;
  readonly executable: Executable;
  /** Absent where the device plans no memory. */
  readonly bytes?: ProgramBytes;
}

interface Job {
  readonly prepared: Prepared;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly inputTypes: readonly TensorType[];
}

let backend: Backend | undefined;
/** How kernels are picked on that device. */
let tuner: Tuner;
let opening: Promise<Opened> | undefined;
/** Limits that devices are opened with. */
let limits: BackendOptions["limits"];
const queue = new WorkQueue<Backend>();
const programs = new Recent<Prepared>(256);
const collected = new FinalizationRegistry<{ owner: Backend; buffer: object }>(({ owner, buffer }) => {
  if (owner === backend) owner.free(buffer);
});

interface Opened {
  readonly device: Backend;
  readonly tuner: Tuner;
}

const tunerOf = (device: Backend, asked: Tuning | undefined) => Tuner.open(device, { asked, variants: variantNames });

async function open(name?: BackendName, asked?: Tuning): Promise<Opened> {
  const found = name === "reference" ? undefined : await openWebGpu(limits);
  if (!found && name === "webgpu") {
    throw new Error(
      "Cannot use WebGPU: no adapter. Install a driver (on Debian or Ubuntu without a GPU: apt-get install mesa-vulkan-drivers)",
    );
  }
  const device = found ?? new ReferenceBackend();
  return { device, tuner: await tunerOf(device, asked) };
}

/**
 * Chooses the device. Without a call, the first computation opens the first WebGPU adapter, or the float64 reference backend where
 * there is none. Tensors computed before stay on their old device and cannot be used on the new one. Settings stay as they are until
 * they are given again. A device that failed is replaced by a new one.
 *
 * @throws Error when WebGPU is asked for by name and there is no adapter, or there is no kernel of the name given as `tune`
 *
 * @example
 * ```ts
 * import { useBackend } from "@hestia/hestia";
 * const { name } = await useBackend("reference"); // float64, on the host
 * console.log(name); // reference
 * ```
 */
export async function useBackend(name?: BackendName, options: BackendOptions = {}): Promise<BackendInfo> {
  if (!backend && opening) await ready().catch(() => {}); // work that waits for a device gets the one it was promised
  while (queue.held) await queue.held;
  const { tune = tuner?.asked } = options;
  const areOther = options.limits !== undefined && JSON.stringify(options.limits) !== JSON.stringify(limits ?? {});
  limits = options.limits ?? limits;
  if (!backend || backend.failure || areOther || (name && backend.name !== name)) change(name, tune);
  else if (tune !== tuner.asked) {
    tuner = await tunerOf(backend, tune);
    programs.clear();
  }
  return await ready();
}

/** Has a new device opened in place of the one in use. */
function change(name: BackendName | undefined, tune: Tuning | undefined): void {
  opening = replace(left(), name, tune);
}

/** The device, which is used no more. */
function left(): Backend | undefined {
  const old = backend;
  backend = opening = undefined;
  queue.close();
  programs.clear();
  return old;
}

/** Waits for what the device was given, and closes it; where none is open, nothing happens. */
export async function closeBackend(): Promise<void> {
  if (!backend && opening) await ready().catch(() => {});
  await left()?.close();
}

async function replace(old: Backend | undefined, name: BackendName | undefined, tune: Tuning | undefined): Promise<Opened> {
  await old?.close();
  return await open(name, tune);
}

async function ready(): Promise<Backend> {
  const promise = opening ??= open();
  try {
    const opened = await promise;
    if (promise !== opening) return await ready(); // somebody chose another device meanwhile
    if (!backend) {
      ({ device: backend, tuner } = opened);
      queue.open(backend);
    }
    return backend;
  } catch (error) {
    if (promise === opening) opening = undefined;
    queue.failAll(error as Error);
    throw error;
  }
}

/** Does some work in its turn: at once where nothing waits. A device that was lost is replaced first. */
function enqueue(work: Work<Backend>): void {
  if (backend?.failure) change(backend.name, tuner.asked);
  queue.push(work);
  if (!backend) ready().catch(() => {}); // whoever reads a value hears of it
}

/** Times kernels that a computation could use, where that is open. */
function tune(prepared: Prepared, device: Backend): Promise<void> | undefined {
  if (!device.time || prepared.loaded?.by === tuner) return undefined;
  const { contests } = lowered(prepared, device);
  return contests && tuner.decide(contests).then(() => prepared.lowered = undefined); // to be compiled again, as was decided
}

function lowered(prepared: Prepared, device: Backend): Program {
  if (prepared.lowered?.by !== tuner) prepared.lowered = { by: tuner, program: lower(prepared.graph, device, tuner) };
  return prepared.lowered.program;
}

/** Remembers a computation by its structure, so that equal graphs are compiled once. */
export function prepare(
  outputs: readonly Node[],
  leaves: readonly Node[],
  donated: ReadonlySet<number>,
): { prepared: Prepared; leaves: Node[] } {
  const flat = flattenGraph(outputs, leaves, donated);
  const types = () => outputs.map(({ shape, dtype }) => ({ shape, dtype }));
  const prepared = programs.get(flat.key, () => ({ graph: flat.graph, types: types() }));
  return { prepared, leaves: flat.leaves };
}

/** Runs a prepared computation on values of its leaves. Returns at once; values are filled in order, as the device becomes ready. */
export function submit(prepared: Prepared, leaves: readonly TensorType[], inputs: readonly Value[]): Value[] {
  const outputs = prepared.types.map((): Value => ({ state: "pending" }));
  const job = { prepared, inputs, outputs, inputTypes: leaves };
  enqueue({
    before: (device) => tune(prepared, device),
    run: (device) => runJob(job, device),
    fail: (error) => fail(job, error),
  });
  return outputs;
}

function runJob({ prepared, inputs, outputs, inputTypes }: Job, device: Backend): void {
  const uploaded = keepUploads(inputs, discard);
  const { result: results, doubt } = guarded(device, () => {
    const { executable } = load(prepared, device);
    const buffers = inputs.map((value, index) =>
      bufferOf(value, inputTypes[index], { device, asTexture: executable.textureInputs.has(index) })
    );
    return executable.run(buffers);
  });
  const doubts = doubt && [joined([doubt, ...doubtsOf(inputs)])];
  for (const donor of prepared.graph.donated) {
    if (inputs[donor].state === "ready") forget(inputs[donor]);
  }
  outputs.forEach((value, index) => own(value, results[index], device));
  for (const value of outputs) value.doubts = doubts;
  uploaded(doubt);
  doubt?.settled.then(() => doubt.error && (prepared.loaded = undefined));
}

/** Does some work where errors of the device are noticed. */
function guarded<T>(device: Backend, work: () => T): { readonly result: T; readonly doubt?: Doubt } {
  return device.guard ? device.guard(work) : { result: work() };
}

function load(prepared: Prepared, device: Backend): Loaded {
  if (prepared.loaded?.by === tuner) return prepared.loaded;
  let program: Program | undefined;
  const executable = device.prepare(prepared.graph, () => program = lowered(prepared, device));
  prepared.lowered = undefined;
  return prepared.loaded = { by: tuner, executable, bytes: program && programBytes(program) };
}

/** Device memory of a prepared computation; undefined on a device that plans none. */
export function preparedBytes(prepared: Prepared): Promise<ProgramBytes | undefined> {
  return new Promise((resolve, fail) =>
    enqueue({
      before: (device) => tune(prepared, device),
      run(device) {
        const { result, doubt } = guarded(device, () => load(prepared, device).bytes);
        if (!doubt) return resolve(result);
        doubt.settled.then(() => doubt.error ? fail(doubt.error) : resolve(result));
      },
      fail,
    })
  );
}

function fail(job: Job, error: Error): void {
  for (const value of job.outputs) Object.assign(value, { state: "failed", error });
}

function own(value: Value, buffer: object, owner: Backend): void {
  value.state = "ready";
  value.buffer = buffer;
  value.owner = owner;
  collected.register(value, { owner, buffer }, value);
}

function forget(value: Value): void {
  collected.unregister(value);
  value.state = "disposed";
  value.buffer = value.host = undefined;
}

function bufferOf(value: Value, type: TensorType, { device, asTexture }: { device: Backend; asTexture?: boolean }): object {
  if (value.state === "disposed") {
    throw new Error(`Cannot use a ${type.dtype}[${type.shape}] tensor that was disposed, or donated to a step`);
  }
  if (hasFailed(value)) throw value.error!;
  if (value.host) {
    const host = value.host;
    value.host = undefined;
    own(value, device.upload(host, type, asTexture), device);
  }
  if (value.owner !== device) {
    const { failure } = value.owner as Backend;
    throw new Error(
      `Cannot use a ${type.dtype}[${type.shape}] tensor: ${
        failure ? `it was lost with its device. ${failure.message}` : `it lives on another backend than ${device.name}`
      }`,
    );
  }
  return value.buffer!;
}

/** Whether there is nothing in a value because its work failed, as far as is known. */
function hasFailed(value: Value): boolean {
  const error = value.state === "ready" && value.doubts && refusalOf(value);
  if (error) {
    discard(value);
    Object.assign(value, { state: "failed", error, doubts: undefined });
  }
  return value.state === "failed";
}

/** Computes nodes together, in one submission, and remembers their values. */
export function realizeNodes(nodes: readonly Node[]): void {
  if (!nodes.some(isMissing)) return;
  const missing = [...new Set(nodes)].filter(isMissing);
  for (const node of missing) node.value = undefined; // to be computed again where it failed
  const { prepared, leaves } = prepare(missing, [], new Set());
  const values = submit(prepared, leaves, leaves.map(valueOf));
  missing.forEach((node, index) => node.value = values[index]);
}

/** What failed may have done so for another that was computed with it. */
function isMissing({ value, op }: Node): boolean {
  return !value || hasFailed(value) && op.kind !== "leaf";
}

interface Read {
  readonly node: Node;
  readonly resolve: (data: TensorData) => void;
  readonly reject: (error: unknown) => void;
}
let reads: Read[] = [];

/** Elements of a node. Reads asked for in one turn of the event loop share one submission and one wait. */
export function readNode(node: Node): Promise<TensorData> {
  return new Promise((resolve, reject) => {
    if (reads.length === 0) queueMicrotask(flushReads);
    reads.push({ node, resolve, reject });
  });
}

/** Queues the reads that were asked for in this turn: before what they read is overwritten. */
export async function flushReads(): Promise<void> {
  if (reads.length === 0) return;
  const batch = reads;
  reads = [];
  await readBatch(batch);
}

async function readBatch(batch: readonly Read[]): Promise<void> {
  try {
    const nodes = batch.map(({ node }) => node);
    realizeNodes(nodes);
    const data = await new Promise<TensorData[]>((resolve, fail) =>
      enqueue({ run: (device) => readValues(nodes, device, resolve), fail }) // what is queued afterwards comes after the read
    );
    batch.forEach(({ resolve }, index) => resolve(data[index]));
  } catch (error) {
    if (batch.length === 1) batch[0].reject(error);
    else for (const read of batch) await readBatch([read]); // so that only those fail who have to
  }
}

type Resolve = (data: Promise<TensorData[]>) => void;

/** Reads, and tells until when nobody may change what is read, where that is later. */
function readValues(nodes: readonly Node[], device: Backend, resolve: Resolve): Promise<void> | undefined {
  const values = nodes.map(({ value }) => value!);
  const types = nodes.map(({ dtype, shape }) => ({ dtype, length: sizeOf(shape) }));
  const uploaded = keepUploads(values, discard);
  const { result: { data, isQuick }, doubt } = guarded(device, () => {
    const buffers = nodes.map((node, index) => bufferOf(values[index], node, { device }));
    return { isQuick: device.readsAtOnce(buffers, types), data: device.read(buffers, types) };
  });
  uploaded(doubt);
  resolve(relied(data, [...doubt ? [doubt] : [], ...doubtsOf(values)]));
  return isQuick ? undefined : data.then(() => {}, () => {});
}

/** Frees the memory of a computed node. */
export function disposeValue(node: Node): void {
  const { value } = node;
  if (!value || value.state === "disposed") return;
  if (reads.length > 0) queueMicrotask(() => disposeValue(node)); // after the reads that were asked for
  else if (queue.isIdle) discard(value);
  else queue.push({ run: () => discard(value), fail: () => discard(value) }); // after what uses it
}

function discard(value: Value): void {
  if (value.state === "ready" && value.owner === backend && value.buffer) backend!.free(value.buffer);
  forget(value);
}

/**
 * Waits for the device and tells which it is.
 *
 * @example
 * ```ts
 * import { backendInfo, tensor } from "@hestia/hestia";
 * await tensor([1, 2]).square().data();
 * const { name, statistics } = await backendInfo();
 * console.log(name, statistics.readbacks); // webgpu 1, where there is an adapter
 * ```
 */
export async function backendInfo(): Promise<BackendInfo> {
  return await ready();
}

/**
 * Names of the kernels that were found to be fastest, by class of calls: what the timing of kernels has decided so far, here or in an
 * earlier process (see {@linkcode BackendOptions.tune}).
 *
 * @example
 * ```ts
 * import { fastestKernels } from "@hestia/hestia";
 * for (const [shapeClass, kernel] of await fastestKernels()) console.log(shapeClass, kernel);
 * ```
 */
export async function fastestKernels(): Promise<ReadonlyMap<string, string>> {
  await ready();
  while (queue.held) await queue.held;
  return tuner.choices;
}

/**
 * Times programs that compute the same.
 *
 * @module
 */

import type { DType, TensorData } from "../../core/dtype.ts";
import type { Program } from "../../core/program.ts";
import { type Services, WebGpuExecutable } from "./executable.ts";

/** Most bytes that the buffers of a trial may take. */
const maxBytes = 2 ** 30;
/** How much longer than the quickest a program may take at once to be worth more runs. */
const hopeless = 2;
/** Browsers round timestamps to so much: what takes less may be as quick as what seems to take no time. */
const coarseSeconds = 1e-4;
/** Turns in which every program runs once: the least time counts, since other work only adds to it. */
const turns = 4;
/** Most runs of a program in one measurement. */
const maxRuns = 64;
/** Long enough to measure: by timestamps of the device, and by the host's clock, since platforms look for finished work every 10 ms. */
const leastSeconds = { timestamps: 0.005, wall: 0.1 };

/** What trials borrow from their device. */
interface Host {
  readonly device: GPUDevice;
  readonly services: Services;
  read(buffers: readonly object[], types: readonly { dtype: DType; length: number }[]): Promise<TensorData[]>;
}

/** Runs programs of one dispatch on the same buffers, see `Backend.time`. */
export async function timePrograms(host: Host, programs: readonly Program[]): Promise<(number | undefined)[]> {
  const { device, services: { pool } } = host;
  const [{ inputBytes }] = programs;
  if (inputBytes.reduce((sum, bytes) => sum + bytes, 0) > maxBytes) return programs.map(() => undefined);
  const buffers: GPUBuffer[] = [];
  try {
    const refused = await refusal(device, () => {
      for (const bytes of inputBytes) fill(device, buffers[buffers.push(pool.take(bytes)) - 1]);
    });
    const equal = refused ? [] : await equalPrograms(host, programs, buffers);
    const seconds = equal[0] ? await leastTimes(host, programs.filter((_, index) => equal[index]), buffers) : [];
    return programs.map((_, index) => equal[index] ? seconds.shift() : undefined);
  } finally {
    buffers.forEach((buffer) => pool.give(buffer));
    pool.trim(); // nobody else may need buffers of these lengths
  }
}

/** Whether each program runs, and gives the bits that the first one gives. */
async function equalPrograms(
  { device, services, read }: Host,
  programs: readonly Program[],
  buffers: GPUBuffer[],
): Promise<boolean[]> {
  const equal: boolean[] = [];
  let wanted: TensorData[] | undefined;
  for (const program of programs) {
    const written = program.outputs.map(({ donor }) => buffers[donor!]);
    for (const buffer of written) fill(device, buffer); // programs may read what they overwrite
    const refused = await refusal(device, () => new WebGpuExecutable(device, program, services).run(buffers));
    const found = await read(written, written.map(({ size }) => ({ dtype: "uint32", length: size / 4 })));
    wanted ??= found;
    equal.push(!refused && wanted.every((data, index) => data.every((bits, at) => bits === found[index][at])));
  }
  return equal;
}

/** Whether the device rejects some work: more memory than is left, say, or more invocations than it has. */
async function refusal(device: GPUDevice, work: () => void): Promise<boolean> {
  device.pushErrorScope("out-of-memory");
  device.pushErrorScope("validation");
  let thrown = false;
  try {
    work();
  } catch {
    thrown = true;
  }
  const errors = await Promise.all([device.popErrorScope(), device.popErrorScope()]);
  return thrown || errors.some((error) => error !== null);
}

/**
 * The least seconds that each program takes, in turns, so that what else the machine does falls on all of them. Those that are slow at
 * once run no more.
 */
async function leastTimes({ device, services }: Host, programs: readonly Program[], buffers: GPUBuffer[]): Promise<number[]> {
  const isOnePass = programs.every(({ dispatches: [{ bindings }] }) => bindings.every(({ texels }) => texels === undefined));
  const clock = isOnePass && device.features.has("timestamp-query") ? "timestamps" : "wall";
  const measure = async (list: readonly Program[], runs: number): Promise<number[]> => {
    const executables = list.map(({ dispatches: [dispatch], ...program }) =>
      new WebGpuExecutable(device, { ...program, dispatches: new Array(runs).fill(dispatch) }, services)
    );
    const seconds = await (clock === "timestamps" ? byTimestamps : byWall)(device, executables, buffers);
    return seconds.map((each) => each / runs);
  };
  const times = await measure(programs, 1);
  const best = Math.min(...times);
  const runs = Math.min(maxRuns, Math.max(1, Math.ceil(leastSeconds[clock] / best)));
  const quick = programs.filter((_, index) => times[index] <= hopeless * Math.max(best, coarseSeconds));
  const seconds = await measure(Array.from({ length: turns }, () => quick).flat(), runs);
  const least = quick.map((_, index) => Math.min(...seconds.filter((_, at) => at % quick.length === index)));
  return programs.map((program, index) => quick.includes(program) ? least[quick.indexOf(program)] : times[index]);
}

async function byWall(device: GPUDevice, executables: readonly WebGpuExecutable[], buffers: GPUBuffer[]): Promise<number[]> {
  const seconds: number[] = [];
  for (const executable of executables) {
    const start = performance.now();
    executable.run(buffers);
    await device.queue.onSubmittedWorkDone();
    seconds.push((performance.now() - start) / 1000);
  }
  return seconds;
}

async function byTimestamps(
  device: GPUDevice,
  executables: readonly WebGpuExecutable[],
  buffers: GPUBuffer[],
): Promise<number[]> {
  const count = 2 * executables.length;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  executables.forEach((executable, index) =>
    executable.run(buffers, { querySet, beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 })
  );
  const resolved = device.createBuffer({ size: 8 * count, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size: 8 * count, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const nanoseconds = new BigUint64Array(staging.getMappedRange());
  const seconds = executables.map((_, index) => Number(nanoseconds[2 * index + 1] - nanoseconds[2 * index]) / 1e9);
  [querySet, resolved, staging].forEach((each) => each.destroy());
  return seconds;
}

let noise: Uint32Array<ArrayBuffer> | undefined;

/** Fills a buffer with numbers that are ordinary as float32 (2⁻¹⁵ to 2⁻⁸) and as two float16 (1/2 to 1), of both signs. */
function fill(device: GPUDevice, buffer: GPUBuffer): void {
  noise ??= makeNoise(2 ** 16 + 1);
  for (let at = 0; at < buffer.size; at += noise.byteLength) {
    device.queue.writeBuffer(buffer, at, noise, 0, Math.min(noise.length, (buffer.size - at) / 4));
  }
}

function makeNoise(length: number): Uint32Array<ArrayBuffer> {
  let state = 1;
  return Uint32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state & 0x83ff_83ff) | 0x3800_3800;
  });
}

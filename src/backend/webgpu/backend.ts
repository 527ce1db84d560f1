/**
 * Runs programs on a WebGPU device.
 *
 * @module
 */

import type { Backend, BackendStatistics, Executable } from "../backend.ts";
import type { TensorData } from "../../core/dtype.ts";
import { Doubt } from "../../core/doubt.ts";
import type { TensorType } from "../../core/graph.ts";
import { pieceLengths } from "../../core/pieces.ts";
import { textureBytes } from "../../core/texels.ts";
import type { Graph, Program } from "../../core/program.ts";
import type { DeviceLimits, KernelTarget } from "../../kernels/kernel.ts";
import { BufferPool, longestBuffer } from "./buffers.ts";
import { hostArray, toDevice } from "./convert.ts";
import { type Services, WebGpuExecutable } from "./executable.ts";
import { PipelineCache } from "./pipelines.ts";
import { Arena } from "./scratch.ts";
import { type TextureCopy, TextureHome, TextureMaker } from "./textures.ts";
import {
  copyRound,
  CutHome,
  deviceBytes,
  readRounds,
  type ReadType,
  type Round,
  takeRound,
  type TensorHome,
  write,
} from "./transfer.ts";
import { timePrograms } from "./trials.ts";

/** Limits of memory, below those of the device. */
export interface MemoryLimits {
  readonly maxBindingBytes?: number;
  readonly maxBufferBytes?: number;
}

/** Opens the first adapter with all of its limits, or with lower ones, or `undefined` where there is none. */
export async function openWebGpu(lower: MemoryLimits = {}): Promise<Backend | undefined> {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return undefined;
  const requiredLimits: Record<string, number> = {};
  for (
    const name of [
      "maxStorageBufferBindingSize",
      "maxBufferSize",
      "maxStorageBuffersPerShaderStage",
      "maxStorageTexturesPerShaderStage",
      "maxComputeInvocationsPerWorkgroup",
      "maxComputeWorkgroupSizeX",
      "maxComputeWorkgroupStorageSize",
    ] as const
  ) requiredLimits[name] = adapter.limits[name];
  const requiredFeatures = (["shader-f16", "timestamp-query"] as const).filter((name) => adapter.features.has(name));
  const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
  // software adapters read textures several times faster than buffers, GPUs gain nothing for the copies; timing would make results vary
  const texelReads = adapter.info.isFallbackAdapter === true; // browsers before 2025 do not say
  const { wgslLanguageFeatures } = navigator.gpu as { wgslLanguageFeatures?: ReadonlySet<string> }; // not among Deno's types
  const packedDots = wgslLanguageFeatures?.has("packed_4x8_integer_dot_product") ?? false;
  return new WebGpuBackend(device, adapter.info, { texelReads, packedDots, ...lower });
}

/** Storage buffers of one shader: some drivers offer millions, but a bind group has an end, and so has what pays. */
const mostStorageBuffers = 64;

class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly description: string;
  readonly adapter: string;
  readonly limits: DeviceLimits;
  readonly float16: boolean;
  readonly texelReads: boolean;
  readonly packedDots: boolean;
  readonly statistics: BackendStatistics = {
    pipelinesCreated: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    dispatches: 0,
    submissions: 0,
    readbacks: 0,
    bytesHeld: 0,
  };
  readonly #device: GPUDevice;
  /** Longest buffer. */
  readonly #maxBufferBytes: number;
  readonly #pool: BufferPool;
  readonly #pipelines: PipelineCache;
  readonly #scratch: Arena<GPUBuffer>;
  readonly #textureMaker: TextureMaker;
  readonly #textures: Arena<TextureCopy>;
  #failure: Error | undefined;
  #isClosed = false;

  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    { texelReads, packedDots, ...lower }: Omit<KernelTarget, "float16"> & MemoryLimits,
  ) {
    this.#device = device;
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    this.#maxBufferBytes = longestBuffer(Math.min(maxBufferSize, lower.maxBufferBytes ?? Infinity));
    this.texelReads = texelReads;
    this.packedDots = packedDots;
    this.description = info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(" ") ||
      "unnamed adapter";
    this.adapter = [info.vendor, info.architecture, info.device, info.description].join(" ");
    this.float16 = device.features.has("shader-f16");
    this.limits = {
      maxBindingBytes: Math.min(maxStorageBufferBindingSize, this.#maxBufferBytes, lower.maxBindingBytes ?? Infinity),
      maxStorageBuffers: Math.min(mostStorageBuffers, device.limits.maxStorageBuffersPerShaderStage),
      maxTextures: device.limits.maxStorageTexturesPerShaderStage,
      maxWorkgroups: device.limits.maxComputeWorkgroupsPerDimension,
    };
    this.#pool = new BufferPool(device, this.statistics, this.#maxBufferBytes);
    this.#pipelines = new PipelineCache(device, this.statistics);
    this.#scratch = new Arena({ make: (bytes) => this.#pool.take(bytes), drop: (buffer) => this.#pool.drop(buffer) });
    this.#textureMaker = new TextureMaker(device, this.statistics);
    this.#textures = new Arena({
      make: (lines) => this.#textureMaker.make(lines),
      drop: ({ texture }) => this.#textureMaker.drop(texture),
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      this.#failure ??= new Error(`The GPU rejected a command: ${(event as GPUUncapturedErrorEvent).error.message}`);
    });
    device.lost.then(({ reason, message }) => {
      if (this.#isClosed) return;
      this.#failure ??= new Error(`The GPU was lost: ${message || reason}. Start again; checkpoints on disk are not affected`);
    });
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  prepare(_graph: Graph, lower: () => Program): Executable {
    return new WebGpuExecutable(this.#device, lower(), this.#services);
  }

  time(programs: readonly Program[]): Promise<(number | undefined)[]> {
    const read: WebGpuBackend["read"] = (buffers, types) => this.read(buffers, types);
    return timePrograms({ device: this.#device, services: this.#services, read }, programs);
  }

  guard<T>(work: () => T): { result: T; doubt: Doubt } {
    for (const kind of errorKinds) this.#device.pushErrorScope(kind);
    const made = new Set<GPUBuffer | GPUTexture>();
    const done = () => new Doubt(this.#refused(made));
    this.#pool.made = this.#textureMaker.made = made;
    let result: T;
    try {
      result = work();
    } catch (error) {
      done();
      throw error;
    } finally {
      this.#pool.made = this.#textureMaker.made = undefined;
    }
    return { result, doubt: done() };
  }

  /** What the device says to the work since the scopes were opened. Where it refused a part, nothing that was made in it is used again. */
  async #refused(made: ReadonlySet<GPUBuffer | GPUTexture>): Promise<Error | undefined> {
    const held = this.statistics.bytesHeld;
    try {
      const errors = await Promise.all(errorKinds.map(() => this.#device.popErrorScope()));
      const error = errors.find((each) => each !== null);
      if (!error) return undefined;
      const asked = [...made].reduce((sum, thing) => sum + bytesOf(thing), 0);
      this.#pipelines.clear();
      for (const arena of [this.#scratch, this.#textures]) arena.clear();
      for (const thing of made) thing instanceof GPUBuffer ? this.#pool.drop(thing) : this.#textureMaker.drop(thing);
      this.#pool.trim();
      return refusal(error, { asked, held: held - asked });
    } catch (error) {
      return this.#failure ?? error as Error; // the device is lost
    }
  }

  get #services(): Services {
    return {
      limits: this.limits,
      pool: this.#pool,
      pipelines: this.#pipelines,
      scratch: this.#scratch,
      textures: this.#textures,
      textureMaker: this.#textureMaker,
      statistics: this.statistics,
      check: () => this.#check(),
    };
  }

  upload(data: TensorData, type: TensorType, asTexture = false): object {
    const { dtype } = type;
    const { float16 } = this;
    if (asTexture) {
      const { buffer, byteOffset, byteLength } = toDevice(data, dtype, float16);
      return this.#textureMaker.home(new Uint8Array(buffer, byteOffset, byteLength));
    }
    const cut = pieceLengths(type, this);
    const lengths = cut ?? [data.length];
    const size = deviceBytes(dtype, float16);
    const buffers = this.#pool.takeAll(lengths.map((length) => length * size));
    write(this.#device.queue, data, { buffers, lengths, dtype, float16 });
    return cut ? new CutHome(buffers.map((buffer, index) => ({ buffer, bytes: lengths[index] * size }))) : buffers[0];
  }

  readsAtOnce(homes: readonly object[], types: readonly ReadType[]): boolean {
    return this.#rounds(homes, types).length === 1;
  }

  async read(homes: readonly object[], types: readonly ReadType[]): Promise<TensorData[]> {
    const arrays: (TensorData | undefined)[] = types.map(({ dtype, length }) => length === 0 ? hostArray(dtype, 0) : undefined);
    for (const round of this.#rounds(homes, types)) {
      await this.#readRound(round, (mapped) => takeRound(round, mapped, { arrays, types, float16: this.float16 }));
    }
    return arrays as TensorData[];
  }

  #rounds(homes: readonly object[], types: readonly ReadType[]): Round[] {
    return readRounds(homes as readonly TensorHome[], types, { room: this.#maxBufferBytes, float16: this.float16 });
  }

  async #readRound(round: Round, take: (mapped: ArrayBuffer) => void): Promise<void> {
    const staging = this.#pool.takeStaging(round.bytes);
    const encoder = this.#device.createCommandEncoder();
    copyRound(encoder, round, staging);
    this.#device.queue.submit([encoder.finish()]);
    this.statistics.submissions++;
    this.statistics.readbacks++;
    await staging.mapAsync(GPUMapMode.READ, 0, Math.max(4, round.bytes)).catch(async (error) => {
      throw await this.#failureOr(error);
    });
    this.#check();
    take(staging.getMappedRange(0, Math.max(4, round.bytes)));
    staging.unmap();
    this.#pool.giveStaging(staging);
  }

  free(home: object): void {
    if (home instanceof TextureHome) this.#textureMaker.drop(home.texture);
    else for (const buffer of home instanceof CutHome ? home.buffers : [home as GPUBuffer]) this.#pool.give(buffer);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#device.queue.onSubmittedWorkDone().catch(() => {}); // a lost device has nothing left to do
    this.#pool.destroy();
    this.#textureMaker.destroy();
    this.#device.destroy();
  }

  /** Why the device does nothing any more, of which it may tell a little later than that. */
  async #failureOr(error: Error): Promise<Error> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await Promise.race([this.#device.lost, new Promise((resolve) => timer = setTimeout(resolve, 100))]);
    clearTimeout(timer);
    return this.#failure ?? error;
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
  }
}

/** What a device tells of the work that it was given, innermost scope last. */
const errorKinds = ["internal", "validation", "out-of-memory"] as const;

function refusal({ message, constructor }: GPUError, { asked, held }: { asked: number; held: number }): Error {
  if (constructor.name !== "GPUOutOfMemoryError") return new Error(`The GPU rejected a command: ${message}`);
  return new Error(
    `The GPU is out of memory: this asked for ${asked} bytes beside the ${held} that are held (${message}). Other tensors are as they ` +
      "were; dispose of some, or lower the batch size, the sequence length or the size of the model, or compute activations again " +
      "(recomputeEvery)",
  );
}

const bytesOf = (thing: GPUBuffer | GPUTexture): number => thing instanceof GPUBuffer ? thing.size : textureBytes(thing.height);

/**
 * A program loaded on a device: pipelines, uniforms and scratch memory are made once; a run only encodes.
 *
 * @module
 */

import type { Binding, Dispatch, Program } from "../../core/program.ts";
import { TEXEL_BYTES, textureLines } from "../../core/texels.ts";
import type { DeviceLimits } from "../../kernels/kernel.ts";
import type { BackendStatistics, Executable } from "../backend.ts";
import type { BufferPool } from "./buffers.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { Arena } from "./scratch.ts";
import { copyFromHome, copyToTexture, type TextureCopy, TextureHome, type TextureMaker } from "./textures.ts";
import { CutHome, type TensorHome } from "./transfer.ts";

/** What an executable borrows from its device. */
export interface Services {
  readonly limits: DeviceLimits;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly scratch: Arena<GPUBuffer>;
  readonly textures: Arena<TextureCopy>;
  readonly textureMaker: TextureMaker;
  readonly statistics: BackendStatistics;
  /** Throws what the device has reported. */
  check(): void;
}

/** A buffer that a dispatch reads from a texture. */
interface Copy {
  readonly buffer: number;
  readonly texture: GPUTexture;
  readonly texels: number;
  readonly line: number;
}

/** Where a tensor lives, or a piece of one. */
type Home = GPUBuffer | TextureHome;

/** A bind group, and what of it changes from run to run. */
interface Bound {
  readonly homes: readonly Home[];
  readonly group: GPUBindGroup;
}

interface Launch {
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  /** Home of each binding, as a position in the table of a run. */
  readonly homes: readonly number[];
  readonly textures: ReadonlyMap<number, TextureCopy>;
  readonly copies: readonly Copy[];
  readonly uniform: GPUBufferBinding | undefined;
  /** Positions of the inputs and outputs among them: scratch memory is always the same. */
  readonly varying: readonly number[];
  /** Used last comes first. */
  readonly groups: Bound[];
}

const maxGroups = 16; // remembered for each launch
const uniformAlignment = 256; // bytes, the most that a device may ask for
const leastHomeBytes = 2 ** 16; // small inputs change often, and buffers come from a pool

/** Runs one program again and again. */
export class WebGpuExecutable implements Executable {
  readonly textureInputs: ReadonlySet<number>;
  /** The same among the pieces of inputs. */
  readonly #textureInputs: ReadonlySet<number>;
  /** By which of the inputs live in textures. */
  readonly #launches = new Map<string, readonly Launch[]>();
  /** Scratch buffers; a run puts those of its inputs and outputs behind them. */
  #scratch: readonly GPUBuffer[];
  /** Of the shared memory that launches were made with. */
  #version: number;
  readonly #uniforms: readonly (GPUBufferBinding | undefined)[];
  /** Inputs that are the backend's own after a run. */
  readonly #donated: ReadonlySet<number>;

  constructor(private readonly device: GPUDevice, private readonly program: Program, private readonly services: Services) {
    this.#scratch = services.scratch.assign(program.scratchBytes);
    this.#version = this.#sharedVersion;
    this.#uniforms = this.#newUniforms();
    const donors = program.outputs.flatMap(({ donor }) => donor === undefined ? [] : donor);
    this.#donated = new Set([...donors, ...program.released]);
    this.#textureInputs = textureInputs(program, this.#donated);
    const counts = program.pieces?.inputs ?? program.inputBytes.map(() => 1);
    let first = 0;
    const firsts = counts.map((count) => (first += count) - count);
    this.textureInputs = new Set(
      counts.keys().filter((index) => counts[index] === 1 && this.#textureInputs.has(firsts[index])),
    );
  }

  /** @param timestamps where to note when the device begins and ends, which takes a program of one pass: without textures to fill */
  run(given: readonly object[], timestamps?: GPUComputePassTimestampWrites): object[] {
    const { device, program, services } = this;
    services.check();
    this.#settle();
    const encoder = device.createCommandEncoder();
    const copied: number[] = [];
    const homes = this.#inPieces(given as readonly TensorHome[]);
    const inputs = homes.map((home, index) => {
      if (!(home instanceof TextureHome) || this.#textureInputs.has(index)) return home;
      copied.push(index);
      const buffer = services.pool.take(home.bytes);
      copyFromHome(encoder, home, buffer);
      return buffer;
    });
    const outputs = this.#takeOutputs(inputs);
    const launches = this.#launchesFor(inputs);
    encode(encoder, launches, {
      homes: [...this.#scratch, ...inputs, ...outputs],
      bindGroup: (launch, homes) => this.#bindGroup(launch, homes),
      timestamps,
    });
    device.queue.submit([encoder.finish()]);
    for (const index of copied) {
      if (this.#donated.has(index)) services.textureMaker.drop((homes[index] as TextureHome).texture);
      else services.pool.give(inputs[index] as GPUBuffer);
    }
    for (const index of program.released) services.pool.give(inputs[index] as GPUBuffer);
    services.statistics.submissions++;
    services.statistics.dispatches += launches.length;
    return this.#together(outputs);
  }

  /** Homes of inputs, those of each piece of one that is cut. */
  #inPieces(given: readonly TensorHome[]): readonly Home[] {
    const { inputs } = this.program.pieces ?? {};
    if (!inputs) return given as readonly Home[];
    let first = 0;
    return given.flatMap((home, index) => {
      const wanted = this.program.inputBytes.slice(first, first += inputs[index]);
      if (!(home instanceof CutHome) && wanted.length === 1) return home;
      const bytes = home instanceof CutHome ? home.pieces.map((piece) => piece.bytes) : ["one"];
      if (`${bytes}` === `${wanted}`) return (home as CutHome).buffers;
      throw new Error(`Cannot run a program: input ${index} lies in buffers of ${bytes} bytes, wanted ${wanted}`);
    });
  }

  /** Homes of outputs, from the buffers of all pieces. */
  #together(buffers: readonly GPUBuffer[]): TensorHome[] {
    const { pieces, outputs } = this.program;
    if (!pieces) return [...buffers];
    let next = 0;
    return pieces.outputs.map((count) => {
      const first = next;
      next += count;
      if (count === 1) return buffers[first];
      return new CutHome(buffers.slice(first, next).map((buffer, index) => ({ buffer, bytes: outputs[first + index].bytes })));
    });
  }

  get #sharedVersion(): number {
    return this.services.scratch.version + this.services.textures.version;
  }

  /** Asks for shared memory anew where another program made it grow. */
  #settle(): void {
    if (this.#version === this.#sharedVersion) return;
    this.#scratch = this.services.scratch.assign(this.program.scratchBytes);
    this.#launches.clear();
    this.#version = this.#sharedVersion;
  }

  /** Buffers of the outputs; none is kept where one of them cannot be had. */
  #takeOutputs(inputs: readonly Home[]): GPUBuffer[] {
    const { outputs } = this.program;
    const taken = this.services.pool.takeAll(outputs.flatMap(({ bytes, donor }) => donor === undefined ? [bytes] : []));
    let next = 0;
    return outputs.map(({ donor }) => donor === undefined ? taken[next++] : inputs[donor] as GPUBuffer);
  }

  #launchesFor(inputs: readonly Home[]): readonly Launch[] {
    let key = "";
    for (const index of this.#textureInputs) key += inputs[index] instanceof TextureHome ? "1" : "0";
    let launches = this.#launches.get(key);
    if (launches) return launches;
    const { dispatches } = this.program;
    const inTextures = (binding: Binding) =>
      !binding.parts && binding.slot.kind === "input" && inputs[binding.slot.index] instanceof TextureHome;
    const copying = dispatches.map(({ bindings }) => ({ bindings: bindings.filter((binding) => !inTextures(binding)) }));
    const textures = this.services.textures.assign(textureLines(copying));
    if (this.#version !== this.#sharedVersion) this.#launches.clear();
    this.#version = this.#sharedVersion;
    launches = dispatches.map((dispatch, index) =>
      this.#launch(dispatch, { uniform: this.#uniforms[index], textures, inTextures })
    );
    this.#launches.set(key, launches);
    return launches;
  }

  #launch(dispatch: Dispatch, { uniform, textures, inTextures }: {
    readonly uniform: GPUBufferBinding | undefined;
    readonly textures: readonly TextureCopy[];
    readonly inTextures: (binding: Binding) => boolean;
  }): Launch {
    const { bindings } = dispatch;
    const homes = bindings.map((binding) => this.#position(binding));
    const read = bindings.flatMap((binding, position) => {
      const { texels } = binding;
      return texels === undefined || inTextures(binding) ? [] : [{ position, texels }];
    });
    const largestFirst = read.toSorted((a, b) => b.texels - a.texels);
    const copies = largestFirst.flatMap(({ position, texels }, index) => {
      const { slot, parts = [{ slot, texels, line: 0 }] } = bindings[position];
      return parts.map((part) => ({ ...part, buffer: this.#position(part), texture: textures[index].texture }));
    });
    const textureOf = new Map(largestFirst.map(({ position }, index) => [position, textures[index]]));
    const varying = bindings.flatMap(({ slot }, position) =>
      slot.kind === "scratch" || textureOf.has(position) ? [] : [homes[position]]
    );
    const pipeline = this.services.pipelines.get(dispatch);
    return { dispatch, pipeline, homes, textures: textureOf, copies, uniform, varying, groups: [] };
  }

  #position({ slot: { kind, index } }: Pick<Binding, "slot">): number {
    const { scratchBytes, inputBytes } = this.program;
    return kind === "scratch" ? index : scratchBytes.length + (kind === "input" ? index : inputBytes.length + index);
  }

  #bindGroup(launch: Launch, homes: readonly Home[]): GPUBindGroup {
    const { groups, varying } = launch;
    for (let at = 0; at < groups.length; at++) {
      const bound = groups[at];
      if (!holds(bound, varying, homes)) continue;
      if (at > 0) {
        groups.splice(at, 1);
        groups.unshift(bound);
      }
      return bound.group;
    }
    const bound = { homes: varying.map((position) => homes[position]), group: this.#newBindGroup(launch, homes) };
    groups.unshift(bound);
    if (groups.length > maxGroups) groups.pop();
    return bound.group;
  }

  #newBindGroup({ dispatch, pipeline, textures, uniform, ...launch }: Launch, homes: readonly Home[]): GPUBindGroup {
    const resources = dispatch.bindings.map((_, position): GPUBindingResource => {
      const home = homes[launch.homes[position]];
      return textures.get(position)?.view ?? (home instanceof TextureHome ? home.view : this.#bound(home));
    });
    if (uniform) resources.push(uniform);
    this.services.statistics.bindGroupsCreated++;
    return this.device.createBindGroup({
      label: dispatch.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** Lengths are rounded up, and memory may be longer than the tensor in it: both may be more than one binding may be. */
  #bound(buffer: GPUBuffer): GPUBufferBinding {
    return { buffer, size: Math.min(buffer.size, this.services.limits.maxBindingBytes) };
  }

  /** Uniforms of all dispatches lie in one buffer, which is written once. */
  #newUniforms(): (GPUBufferBinding | undefined)[] {
    const sizes = this.program.dispatches.map(({ params }) => Math.ceil(params.byteLength / 16) * 16);
    const offsets: number[] = [];
    let end = 0;
    for (const size of sizes) {
      offsets.push(end);
      end += Math.ceil(size / uniformAlignment) * uniformAlignment;
    }
    if (end === 0) return sizes.map(() => undefined);
    const buffer = this.device.createBuffer({ size: end, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
    const words = new Uint32Array(buffer.getMappedRange());
    this.program.dispatches.forEach(({ params }, index) => words.set(params, offsets[index] / 4));
    buffer.unmap();
    this.services.statistics.buffersCreated++;
    return sizes.map((size, index) => size === 0 ? undefined : { buffer, offset: offsets[index], size });
  }
}

/** One pass for as long as no textures are to be filled, which happens between passes. */
function encode(
  encoder: GPUCommandEncoder,
  launches: readonly Launch[],
  { homes, bindGroup, timestamps }: {
    readonly homes: readonly Home[];
    readonly bindGroup: (launch: Launch, homes: readonly Home[]) => GPUBindGroup;
    readonly timestamps?: GPUComputePassTimestampWrites;
  },
): void {
  let pass: GPUComputePassEncoder | undefined;
  let current: GPUComputePipeline | undefined;
  for (const launch of launches) {
    if (launch.copies.length > 0) {
      pass?.end();
      pass = current = undefined;
      for (const copy of launch.copies) copyToTexture(encoder, homes[copy.buffer] as GPUBuffer, copy);
    }
    pass ??= encoder.beginComputePass(timestamps && { timestampWrites: timestamps });
    if (launch.pipeline !== current) pass.setPipeline(current = launch.pipeline);
    pass.setBindGroup(0, bindGroup(launch, homes));
    const { grid } = launch.dispatch;
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
  }
  pass?.end();
}

/** Large inputs that every dispatch reads from textures, whole texels of them, and that nothing overwrites. */
function textureInputs({ dispatches, inputBytes }: Program, donated: ReadonlySet<number>): Set<number> {
  const found = new Set<number>();
  const others = new Set(donated);
  for (const { slot, texels, parts = [] } of dispatches.flatMap(({ bindings }) => bindings)) {
    for (const part of parts) if (part.slot.kind === "input") others.add(part.slot.index);
    if (slot.kind !== "input") continue;
    const bytes = inputBytes[slot.index];
    const fits = texels !== undefined && texels * TEXEL_BYTES <= bytes && bytes % TEXEL_BYTES === 0;
    (fits && bytes >= leastHomeBytes ? found : others).add(slot.index);
  }
  return found.difference(others);
}

function holds(bound: Bound, varying: readonly number[], homes: readonly Home[]): boolean {
  for (let index = 0; index < varying.length; index++) if (bound.homes[index] !== homes[varying[index]]) return false;
  return true;
}

/**
 * A program loaded on a device: pipelines, uniforms and scratch memory are made once; a run only encodes.
 *
 * @module
 */

import type { Binding, Dispatch, Program } from "../../core/program.ts";
import { textureLines } from "../../core/texels.ts";
import type { DeviceLimits } from "../../kernels/kernel.ts";
import type { BackendStatistics, Executable } from "../backend.ts";
import type { BufferPool } from "./buffers.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { Arena } from "./scratch.ts";
import { copyToTexture, type TextureCopy } from "./textures.ts";

/** What an executable borrows from its device. */
export interface Services {
  readonly limits: DeviceLimits;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly scratch: Arena<GPUBuffer>;
  readonly textures: Arena<TextureCopy>;
  readonly statistics: BackendStatistics;
  /** Throws what the device has reported. */
  check(): void;
}

/** A buffer that a dispatch reads from a texture. */
interface Copy {
  readonly buffer: number;
  readonly texture: GPUTexture;
  readonly texels: number;
}

/** A bind group, and what of it changes from run to run. */
interface Bound {
  readonly buffers: readonly GPUBuffer[];
  readonly group: GPUBindGroup;
}

interface Launch {
  readonly dispatch: Dispatch;
  readonly pipeline: GPUComputePipeline;
  /** Buffer of each binding, as a position in the table of a run. */
  readonly buffers: readonly number[];
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

/** Runs one program again and again. */
export class WebGpuExecutable implements Executable {
  readonly #launches: readonly Launch[];
  /** Scratch buffers; a run puts those of its inputs and outputs behind them. */
  readonly #scratch: readonly GPUBuffer[];

  constructor(private readonly device: GPUDevice, private readonly program: Program, private readonly services: Services) {
    this.#scratch = services.scratch.assign(program.scratchBytes);
    const uniforms = this.#uniforms();
    const textures = services.textures.assign(textureLines(program.dispatches));
    this.#launches = program.dispatches.map((dispatch, index) => this.#launch(dispatch, uniforms[index], textures));
  }

  run(inputs: readonly object[]): object[] {
    const { device, program, services } = this;
    services.check();
    const outputs: GPUBuffer[] = [];
    for (const { bytes, donor } of program.outputs) {
      outputs.push(donor === undefined ? services.pool.take(bytes) : inputs[donor] as GPUBuffer);
    }
    const encoder = device.createCommandEncoder();
    this.#encode(encoder, [...this.#scratch, ...inputs as GPUBuffer[], ...outputs]);
    device.queue.submit([encoder.finish()]);
    for (const index of program.released) services.pool.give(inputs[index] as GPUBuffer);
    services.statistics.submissions++;
    services.statistics.dispatches += this.#launches.length;
    return outputs;
  }

  /** One pass for as long as no textures are to be filled, which happens between passes. */
  #encode(encoder: GPUCommandEncoder, buffers: readonly GPUBuffer[]): void {
    let pass: GPUComputePassEncoder | undefined;
    let current: GPUComputePipeline | undefined;
    for (const launch of this.#launches) {
      if (launch.copies.length > 0) {
        pass?.end();
        pass = current = undefined;
        for (const { buffer, texture, texels } of launch.copies) copyToTexture(encoder, buffers[buffer], texture, texels);
      }
      pass ??= encoder.beginComputePass();
      if (launch.pipeline !== current) pass.setPipeline(current = launch.pipeline);
      pass.setBindGroup(0, this.#bindGroup(launch, buffers));
      const { grid } = launch.dispatch;
      pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    }
    pass?.end();
  }

  #launch(dispatch: Dispatch, uniform: GPUBufferBinding | undefined, textures: readonly TextureCopy[]): Launch {
    const { bindings } = dispatch;
    const buffers = bindings.map((binding) => this.#position(binding));
    const read = bindings.flatMap(({ texels }, position) => texels === undefined ? [] : [{ position, texels }]);
    const largestFirst = read.toSorted((a, b) => b.texels - a.texels);
    const copies = largestFirst.map(({ position, texels }, index) => ({
      buffer: buffers[position],
      texture: textures[index].texture,
      texels,
    }));
    const varying = bindings.flatMap(({ slot, texels }, position) => {
      return slot.kind === "scratch" || texels !== undefined ? [] : [buffers[position]];
    });
    const textureOf = new Map(largestFirst.map(({ position }, index) => [position, textures[index]]));
    const pipeline = this.services.pipelines.get(dispatch);
    return { dispatch, pipeline, buffers, textures: textureOf, copies, uniform, varying, groups: [] };
  }

  #position({ slot: { kind, index } }: Binding): number {
    const { scratchBytes, inputBytes } = this.program;
    return kind === "scratch" ? index : scratchBytes.length + (kind === "input" ? index : inputBytes.length + index);
  }

  #bindGroup(launch: Launch, buffers: readonly GPUBuffer[]): GPUBindGroup {
    const { groups, varying } = launch;
    for (let at = 0; at < groups.length; at++) {
      const bound = groups[at];
      if (!holds(bound, varying, buffers)) continue;
      if (at > 0) {
        groups.splice(at, 1);
        groups.unshift(bound);
      }
      return bound.group;
    }
    const bound = { buffers: varying.map((position) => buffers[position]), group: this.#newBindGroup(launch, buffers) };
    groups.unshift(bound);
    if (groups.length > maxGroups) groups.pop();
    return bound.group;
  }

  #newBindGroup({ dispatch, pipeline, textures, uniform, ...launch }: Launch, buffers: readonly GPUBuffer[]): GPUBindGroup {
    const resources = dispatch.bindings.map((binding, position): GPUBindingResource =>
      textures.get(position)?.view ?? this.#bound(binding, buffers[launch.buffers[position]])
    );
    if (uniform) resources.push(uniform);
    this.services.statistics.bindGroupsCreated++;
    return this.device.createBindGroup({
      label: dispatch.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** A memory slot may be larger than the tensor in it, and than one binding may be. */
  #bound({ range }: Binding, buffer: GPUBuffer): GPUBufferBinding {
    if (range) return { buffer, offset: range.offset, size: range.bytes };
    return { buffer, size: Math.min(buffer.size, this.services.limits.maxBindingBytes) };
  }

  /** Uniforms of all dispatches lie in one buffer, which is written once. */
  #uniforms(): (GPUBufferBinding | undefined)[] {
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

function holds(bound: Bound, varying: readonly number[], buffers: readonly GPUBuffer[]): boolean {
  for (let index = 0; index < varying.length; index++) if (bound.buffers[index] !== buffers[varying[index]]) return false;
  return true;
}

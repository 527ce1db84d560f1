/**
 * A program loaded on a device: pipelines, uniforms and scratch memory are made once; a run only encodes.
 *
 * @module
 */

import type { Binding, Dispatch, Program } from "../../core/program.ts";
import type { DeviceLimits } from "../../kernels/kernel.ts";
import type { BackendStatistics, Executable } from "../backend.ts";
import type { BufferPool } from "./buffers.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { ScratchArena } from "./scratch.ts";
import { copyToTexture, type TextureArena } from "./textures.ts";

/** What an executable borrows from its device. */
export interface Services {
  readonly limits: DeviceLimits;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly scratch: ScratchArena;
  readonly textures: TextureArena;
  readonly statistics: BackendStatistics;
  /** Throws what the device has reported. */
  check(): void;
}

/** A buffer that a dispatch reads from a texture. */
interface Copy {
  readonly binding: Binding;
  readonly texture: GPUTexture;
  readonly texels: number;
}

interface Launch {
  readonly dispatch: Dispatch;
  /** By position among the bindings. */
  readonly copies: ReadonlyMap<number, Copy>;
  readonly pipeline: GPUComputePipeline;
  readonly uniform: GPUBuffer | undefined;
  /** Bind groups by the buffers of inputs and outputs that they hold. */
  readonly groups: Map<string, GPUBindGroup>;
}

const maxGroups = 16; // remembered for each launch

/** Runs one program again and again. */
export class WebGpuExecutable implements Executable {
  readonly #launches: Launch[];
  readonly #scratch: GPUBuffer[];
  readonly #ids = new WeakMap<GPUBuffer, number>();
  #nextId = 0;

  constructor(private readonly device: GPUDevice, private readonly program: Program, private readonly services: Services) {
    this.#scratch = services.scratch.assign(program.scratchBytes);
    this.#launches = program.dispatches.map((dispatch) => ({
      dispatch,
      copies: this.#copies(dispatch.bindings),
      pipeline: services.pipelines.get(dispatch.label, dispatch.shader, dispatch.overrides),
      uniform: this.#uniform(dispatch.params),
      groups: new Map(),
    }));
  }

  run(inputs: readonly object[]): object[] {
    this.services.check();
    const outputs = this.program.outputs.map(({ bytes, donor }) =>
      donor === undefined ? this.services.pool.take(bytes) : inputs[donor] as GPUBuffer
    );
    const encoder = this.device.createCommandEncoder();
    this.#encode(encoder, inputs as readonly GPUBuffer[], outputs);
    this.device.queue.submit([encoder.finish()]);
    for (const index of this.program.released) this.services.pool.give(inputs[index] as GPUBuffer);
    this.services.statistics.submissions++;
    this.services.statistics.dispatches += this.#launches.length;
    return outputs;
  }

  /** One pass for as long as no textures are to be filled, which happens between passes. */
  #encode(encoder: GPUCommandEncoder, inputs: readonly GPUBuffer[], outputs: readonly GPUBuffer[]): void {
    let pass: GPUComputePassEncoder | undefined;
    for (const launch of this.#launches) {
      if (launch.copies.size > 0) {
        pass?.end();
        pass = undefined;
      }
      for (const { binding, texture, texels } of launch.copies.values()) {
        copyToTexture(encoder, this.#buffer(binding, inputs, outputs), texture, texels);
      }
      pass ??= encoder.beginComputePass();
      pass.setPipeline(launch.pipeline);
      pass.setBindGroup(0, this.#bindGroup(launch, inputs, outputs));
      pass.dispatchWorkgroups(...launch.dispatch.grid);
    }
    pass?.end();
  }

  #copies(bindings: readonly Binding[]): Map<number, Copy> {
    return new Map(bindings.flatMap((binding, position): [number, Copy][] => {
      if (binding.texels === undefined) return [];
      const texture = this.services.textures.get(position, binding.texels);
      return [[position, { binding, texture, texels: binding.texels }]];
    }));
  }

  #buffer({ slot }: Binding, inputs: readonly GPUBuffer[], outputs: readonly GPUBuffer[]): GPUBuffer {
    if (slot.kind === "scratch") return this.#scratch[slot.index];
    return slot.kind === "input" ? inputs[slot.index] : outputs[slot.index];
  }

  #bindGroup(
    { dispatch, copies, pipeline, uniform, groups }: Launch,
    inputs: readonly GPUBuffer[],
    outputs: readonly GPUBuffer[],
  ): GPUBindGroup {
    let key = "";
    for (const binding of dispatch.bindings) {
      if (binding.slot.kind === "scratch" || binding.texels !== undefined) continue; // always the same
      key += `${this.#id(this.#buffer(binding, inputs, outputs))},`;
    }
    let group = groups.get(key);
    if (group) return group;
    if (groups.size >= maxGroups) groups.delete(groups.keys().next().value!);
    const resources = dispatch.bindings.map((binding, position): GPUBindingResource =>
      copies.get(position)?.texture.createView() ?? this.#bound(binding, this.#buffer(binding, inputs, outputs))
    );
    if (uniform) resources.push({ buffer: uniform });
    group = this.device.createBindGroup({
      label: dispatch.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
    groups.set(key, group);
    this.services.statistics.bindGroupsCreated++;
    return group;
  }

  /** A memory slot may be larger than the tensor in it, and than one binding may be. */
  #bound({ range }: Binding, buffer: GPUBuffer): GPUBufferBinding {
    if (range) return { buffer, offset: range.offset, size: range.bytes };
    return { buffer, size: Math.min(buffer.size, this.services.limits.maxBindingBytes) };
  }

  #id(buffer: GPUBuffer): number {
    let id = this.#ids.get(buffer);
    if (id === undefined) this.#ids.set(buffer, id = this.#nextId++);
    return id;
  }

  #uniform(params: Uint32Array<ArrayBuffer>): GPUBuffer | undefined {
    if (params.length === 0) return undefined;
    const size = Math.ceil(params.byteLength / 16) * 16;
    const buffer = this.device.createBuffer({ size, usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true });
    new Uint32Array(buffer.getMappedRange()).set(params);
    buffer.unmap();
    this.services.statistics.buffersCreated++;
    return buffer;
  }
}

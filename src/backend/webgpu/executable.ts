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

/** What an executable borrows from its device. */
export interface Services {
  readonly limits: DeviceLimits;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  readonly scratch: ScratchArena;
  readonly statistics: BackendStatistics;
  /** Throws what the device has reported. */
  check(): void;
}

interface Launch {
  readonly dispatch: Dispatch;
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
    this.#checkSizes();
    this.#scratch = services.scratch.assign(program.scratchBytes);
    this.#launches = program.dispatches.map((dispatch) => ({
      dispatch,
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
    const pass = encoder.beginComputePass();
    for (const launch of this.#launches) {
      pass.setPipeline(launch.pipeline);
      pass.setBindGroup(0, this.#bindGroup(launch, inputs as readonly GPUBuffer[], outputs));
      pass.dispatchWorkgroups(...launch.dispatch.grid);
    }
    pass.end();
    this.device.queue.submit([encoder.finish()]);
    for (const index of this.program.released) this.services.pool.give(inputs[index] as GPUBuffer);
    this.services.statistics.submissions++;
    this.services.statistics.dispatches += this.#launches.length;
    return outputs;
  }

  #buffer({ slot }: Binding, inputs: readonly GPUBuffer[], outputs: readonly GPUBuffer[]): GPUBuffer {
    if (slot.kind === "scratch") return this.#scratch[slot.index];
    return slot.kind === "input" ? inputs[slot.index] : outputs[slot.index];
  }

  #bindGroup(
    { dispatch, pipeline, uniform, groups }: Launch,
    inputs: readonly GPUBuffer[],
    outputs: readonly GPUBuffer[],
  ): GPUBindGroup {
    let key = "";
    for (const binding of dispatch.bindings) {
      if (binding.slot.kind !== "scratch") key += `${this.#id(this.#buffer(binding, inputs, outputs))},`;
    }
    let group = groups.get(key);
    if (group) return group;
    if (groups.size >= maxGroups) groups.delete(groups.keys().next().value!);
    const buffers = dispatch.bindings.map((binding) => this.#buffer(binding, inputs, outputs));
    if (uniform) buffers.push(uniform);
    group = this.device.createBindGroup({
      label: dispatch.label,
      layout: pipeline.getBindGroupLayout(0),
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    groups.set(key, group);
    this.services.statistics.bindGroupsCreated++;
    return group;
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

  #checkSizes(): void {
    const { inputBytes, outputs, scratchBytes } = this.program;
    const largest = Math.max(0, ...inputBytes, ...outputs.map(({ bytes }) => bytes), ...scratchBytes);
    const { maxBindingBytes } = this.services.limits;
    if (largest > maxBindingBytes) {
      throw new RangeError(
        `Cannot run on this adapter: a tensor takes ${largest} bytes, and one binding holds at most ${maxBindingBytes}`,
      );
    }
  }
}

/**
 * Compute pipelines by shader text and overrides.
 *
 * @module
 */

import type { BackendStatistics } from "../backend.ts";

/** Makes each pipeline once. */
export class PipelineCache {
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();

  constructor(private readonly device: GPUDevice, private readonly statistics: BackendStatistics) {}

  get(label: string, shader: string, overrides: Readonly<Record<string, number>>): GPUComputePipeline {
    const key = `${JSON.stringify(overrides)}\n${shader}`;
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      pipeline = this.device.createComputePipeline({
        label,
        layout: "auto",
        compute: { module: this.#module(label, shader), entryPoint: "main", constants: { ...overrides } },
      });
      this.#pipelines.set(key, pipeline);
      this.statistics.pipelinesCreated++;
    }
    return pipeline;
  }

  #module(label: string, code: string): GPUShaderModule {
    let module = this.#modules.get(code);
    if (!module) this.#modules.set(code, module = this.device.createShaderModule({ label, code }));
    return module;
  }
}

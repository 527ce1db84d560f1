/**
 * Compute pipelines by shader text and overrides.
 *
 * @module
 */

import type { Dispatch } from "../../core/program.ts";
import { Recent } from "../../core/recent.ts";
import type { BackendStatistics } from "../backend.ts";

/** Most that are remembered; those that a living program uses stay in any case. */
const maxPipelines = 4096;
const maxModules = 256;

/** Makes each pipeline once, as long as it is remembered. */
export class PipelineCache {
  readonly #modules = new Recent<GPUShaderModule>(maxModules);
  readonly #pipelines = new Recent<GPUComputePipeline>(maxPipelines);

  constructor(private readonly device: GPUDevice, private readonly statistics: BackendStatistics) {}

  /** Forgets all: one that the device refused would be refused again, without a word of why. */
  clear(): void {
    this.#modules.clear();
    this.#pipelines.clear();
  }

  get({ label, shader, overrides }: Pick<Dispatch, "label" | "shader" | "overrides">): GPUComputePipeline {
    return this.#pipelines.get(`${JSON.stringify(overrides)}\n${shader}`, () => {
      this.statistics.pipelinesCreated++;
      const module = this.#modules.get(shader, () => this.device.createShaderModule({ label, code: shader }));
      return this.device.createComputePipeline({
        label,
        layout: "auto",
        compute: { module, entryPoint: "main", constants: { ...overrides } },
      });
    });
  }
}

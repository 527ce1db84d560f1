/**
 * Finds out by timing whether a device reads textures faster than storage buffers.
 *
 * @module
 */

import { TEXEL_BYTES, TEXTURE_WIDTH } from "../../core/texels.ts";
import { copyToTexture } from "./textures.ts";

const texels = 16 * TEXTURE_WIDTH;
const loads = 4; // of each texel: more than elementwise kernels have, fewer than products
const repetitions = 8; // in one submission: the wait for it is not exact to the millisecond
const rounds = 2; // of which the better counts: the first may have to compile

/** Most of the time of buffers that textures may take, their filling included, to be preferred. */
const largestShare = 0.75;

const known = new Map<string, Promise<boolean>>();

/**
 * Whether reading textures, their filling included, takes less time than reading buffers. Software drivers gain several times; on
 * a GPU the copies are a loss. Measured once for each adapter in a process: later devices of the adapter are like the first.
 */
export function texelReadsRepay(device: GPUDevice, info: GPUAdapterInfo): Promise<boolean> {
  const adapter = [info.vendor, info.architecture, info.device, info.description].join("\n");
  let answer = known.get(adapter);
  if (!answer) {
    answer = compare(device);
    answer.catch(() => known.delete(adapter));
    known.set(adapter, answer);
  }
  return answer;
}

async function compare(device: GPUDevice): Promise<boolean> {
  const trial = new Trial(device);
  const ways = [trial.way("buffer"), trial.way("texture")];
  const best = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    for (const [index, way] of ways.entries()) best[index] = Math.min(best[index], await trial.time(way));
  }
  trial.destroy();
  return best[1] < largestShare * best[0];
}

interface Way {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly copies: boolean;
}

/** One small map, from a buffer or from its copy in a texture. */
class Trial {
  readonly #input: GPUBuffer;
  readonly #output: GPUBuffer;
  readonly #staging: GPUBuffer;
  readonly #texture: GPUTexture;

  constructor(private readonly device: GPUDevice) {
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const buffer = (size: number, usage: number) => device.createBuffer({ size, usage });
    this.#input = buffer(texels * TEXEL_BYTES, STORAGE | COPY_SRC);
    this.#output = buffer(texels * TEXEL_BYTES, STORAGE | COPY_SRC);
    this.#staging = buffer(TEXEL_BYTES, MAP_READ | COPY_DST);
    this.#texture = device.createTexture({
      size: [TEXTURE_WIDTH, texels / TEXTURE_WIDTH],
      format: "rgba32float",
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
    });
  }

  way(kind: "buffer" | "texture"): Way {
    const copies = kind === "texture";
    const module = this.device.createShaderModule({ code: shader(kind) });
    const pipeline = this.device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const resources = [copies ? this.#texture.createView() : { buffer: this.#input }, { buffer: this.#output }];
    const entries = resources.map((resource, binding) => ({ binding, resource }));
    return { pipeline, copies, group: this.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }) };
  }

  /** Milliseconds until the device is done. */
  async time({ pipeline, group, copies }: Way): Promise<number> {
    const start = performance.now();
    const encoder = this.device.createCommandEncoder();
    for (let repetition = 0; repetition < repetitions; repetition++) {
      if (copies) copyToTexture(encoder, this.#input, this.#texture, texels);
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(texels / 64);
      pass.end();
    }
    encoder.copyBufferToBuffer(this.#output, 0, this.#staging, 0, TEXEL_BYTES);
    this.device.queue.submit([encoder.finish()]);
    await this.#staging.mapAsync(GPUMapMode.READ);
    this.#staging.unmap();
    return performance.now() - start;
  }

  destroy(): void {
    for (const resource of [this.#input, this.#output, this.#staging, this.#texture]) resource.destroy();
  }
}

function shader(kind: "buffer" | "texture"): string {
  const declaration = kind === "buffer" ? "var<storage, read> data: array<vec4f>;" : "var data: texture_2d<f32>;";
  const load = kind === "buffer" ? "data[q]" : `textureLoad(data, vec2(q % ${TEXTURE_WIDTH}u, q / ${TEXTURE_WIDTH}u), 0)`;
  return `
    @group(0) @binding(0) ${declaration}
    @group(0) @binding(1) var<storage, read_write> result: array<vec4f>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      var sum = vec4f();
      for (var k = 0u; k < ${loads}u; k++) {
        let q = (id.x + k) % ${texels}u;
        sum += ${load};
      }
      result[id.x] = sum;
    }`;
}

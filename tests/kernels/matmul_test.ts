import { deepEqual, equal, ok } from "../assert.ts";
import { copyToTexture, TextureMaker } from "../../src/backend/webgpu/textures.ts";
import { TEXTURE_WIDTH } from "../../src/core/texels.ts";
import { isFor, type Kernel, kernelFor } from "../../src/kernels/kernel.ts";
import { MATMUL_MAX_K, type MatmulCall, type MatmulKernel, matmulKernels, type MatmulOperand } from "../../src/kernels/matmul.ts";
import { MAX_TEXELS } from "../../src/kernels/textures.ts";

const limits = { maxBindingBytes: 2 ** 27, maxStorageBuffers: 8, maxTextures: 4, maxWorkgroups: 65_535 };
const byName = new Map(matmulKernels.map((kernel) => [kernel.name, kernel]));

/** The kernel that takes a call where textures are read, or not. */
const usual = (call: MatmulCall, texelReads = true): string | undefined =>
  kernelFor(matmulKernels, call, { texelReads, packedDots: true, float16: true })?.name;
const deep = Deno.env.get("HESTIA_DEEP") === "1";

/** Kernels that apply to a call: all of them where minutes do not matter, else those that suit it and read textures or buffers. */
function applicable(call: MatmulCall): MatmulKernel[] {
  const kernels = matmulKernels.filter((kernel) => kernel.applies(call));
  return deep
    ? kernels
    : kernels.filter((kernel) =>
      isFor(kernel, { texelReads: true, packedDots: true, float16: true }) && (kernel.suits?.(call) ?? true)
    );
}

// --- calls: layouts are two letters, one for each operand: N is stored as read, T is stored transposed

type Layout = "NN" | "NT" | "TN" | "TT";

interface Variation {
  layout?: Layout;
  batch?: readonly [number, number, number];
  /** Whether all batch indices read the same B. */
  sharedB?: boolean;
  /** Elements before the first one, in both operands. */
  offset?: number;
  /** Elements between the end of a stored line and the next. */
  gap?: number;
  /** Distance of neighbours in a stored line. */
  spread?: number;
}

function denseOperand(rows: number, columns: number, transposed: boolean, variation: Variation): MatmulOperand {
  const { offset = 0, gap = 0, spread = 1, batch = [1, 1, 1] } = variation;
  const line = (transposed ? rows : columns) * spread + gap;
  const matrix = line * (transposed ? columns : rows);
  const strides = transposed ? { row: spread, col: line } : { row: line, col: spread };
  return { ...strides, offset, batch: [matrix * batch[1] * batch[2], matrix * batch[2], matrix] };
}

function product(m: number, n: number, k: number, variation: Variation = {}): MatmulCall {
  const { layout = "NN", batch = [1, 1, 1], sharedB = false } = variation;
  const a = denseOperand(m, k, layout[0] === "T", variation);
  const b = denseOperand(k, n, layout[1] === "T", variation);
  return { m, n, k, batch, a, b: sharedB ? { ...b, batch: [0, 0, 0] } : b };
}

function elementsRead(operand: MatmulOperand, call: MatmulCall, rows: number, columns: number): number {
  const batch = operand.batch.reduce((sum, stride, axis) => sum + stride * (call.batch[axis] - 1), 0);
  return operand.offset + batch + operand.row * Math.max(0, rows - 1) + operand.col * Math.max(0, columns - 1) + 1;
}

function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

// --- the float64 oracle: the product and, for its tolerance, the product of magnitudes

interface Expected {
  value: Float64Array;
  magnitude: Float64Array;
}

function expectedProduct(call: MatmulCall, a: Float32Array, b: Float32Array): Expected {
  const { m, n, k, batch: [outer, middle, inner] } = call;
  const value = new Float64Array(outer * middle * inner * m * n);
  const magnitude = new Float64Array(value.length);
  for (let matrix = 0; matrix < outer * middle * inner; matrix++) {
    const place = [Math.floor(matrix / inner / middle), Math.floor(matrix / inner) % middle, matrix % inner];
    const first = (operand: MatmulOperand) =>
      operand.offset + operand.batch.reduce((sum, stride, axis) => sum + stride * place[axis], 0);
    const [firstA, firstB] = [first(call.a), first(call.b)];
    for (let element = 0; element < m * n; element++) {
      const startA = firstA + Math.floor(element / n) * call.a.row;
      const startB = firstB + (element % n) * call.b.col;
      for (let step = 0; step < k; step++) {
        const term = a[startA + step * call.a.col] * b[startB + step * call.b.row];
        value[matrix * m * n + element] += term;
        magnitude[matrix * m * n + element] += Math.abs(term);
      }
    }
  }
  return { value, magnitude };
}

/** The worst error, in units of what rounding to float32 explains: below 1 is right. */
function worstError(call: MatmulCall, actual: Float32Array, expected: Expected): number {
  const roundings = 2 ** -24 * (4 + 2 * Math.sqrt(call.k));
  return actual.reduce((worst, element, i) => {
    const error = Math.abs(element - expected.value[i]);
    return Math.max(worst, Number.isNaN(error) ? Infinity : error && error / (roundings * expected.magnitude[i]));
  }, 0);
}

// --- a device, just enough to run one kernel

Deno.env.set("XDG_RUNTIME_DIR", Deno.env.get("XDG_RUNTIME_DIR") ?? "/tmp");
const adapter = await navigator.gpu?.requestAdapter();

class Harness {
  readonly #device: GPUDevice;
  readonly #textures: TextureMaker;
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  #uncaptured = "";

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#textures = new TextureMaker(device, { bytesHeld: 0 });
    device.addEventListener("uncapturederror", (event) => this.#uncaptured += (event as GPUUncapturedErrorEvent).error.message);
  }

  #pipeline(kernel: Kernel<MatmulCall>, call: MatmulCall): GPUComputePipeline {
    const constants = kernel.overrides(call);
    const key = kernel.name + JSON.stringify(constants);
    const module = () => this.#device.createShaderModule({ code: kernel.source });
    const pipeline = this.#pipelines.get(key) ??
      this.#device.createComputePipeline({ layout: "auto", compute: { module: module(), entryPoint: "main", constants } });
    this.#pipelines.set(key, pipeline);
    return pipeline;
  }

  #buffer(data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, usage: number): GPUBuffer {
    const size = Math.max(16, Math.ceil(data.byteLength / 16) * 16); // whole texels
    const buffer = this.#device.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST });
    this.#device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  #fill(encoder: GPUCommandEncoder, buffers: GPUBuffer[], texels: readonly number[]): GPUTextureView[] {
    return texels.map((count, binding) => {
      const { texture, view } = this.#textures.make(Math.ceil(count / TEXTURE_WIDTH));
      copyToTexture(encoder, buffers[binding], { texture, texels: count });
      return view;
    });
  }

  async run(kernel: Kernel<MatmulCall>, call: MatmulCall, inputs: Float32Array<ArrayBuffer>[]): Promise<Float32Array> {
    const length = call.batch.reduce((x, y) => x * y) * call.m * call.n;
    const pipeline = this.#pipeline(kernel, call);
    const buffers = [
      ...inputs.map((data) => this.#buffer(data, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC)),
      this.#buffer(new Float32Array(length).fill(NaN), GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC),
      this.#buffer(kernel.params(call), GPUBufferUsage.UNIFORM),
      this.#buffer(new Float32Array(length), GPUBufferUsage.MAP_READ),
    ];
    const encoder = this.#device.createCommandEncoder();
    const textures = this.#fill(encoder, buffers, (kernel.texels?.(call) ?? []) as readonly number[]);
    const entries = buffers.slice(0, 4).map((buffer, binding) => ({ binding, resource: textures[binding] ?? { buffer } }));
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, this.#device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(...kernel.grid(call, limits));
    pass.end();
    encoder.copyBufferToBuffer(buffers[2], 0, buffers[4], 0, length * 4);
    this.#device.queue.submit([encoder.finish()]);
    await buffers[4].mapAsync(GPUMapMode.READ);
    const result = new Float32Array(buffers[4].getMappedRange()).slice(0, length);
    buffers.forEach((buffer) => buffer.destroy());
    equal(this.#uncaptured, "");
    return result;
  }
}

// one device for all tests, so that each pipeline is compiled once
const harness = adapter && new Harness(await adapter.requestDevice());

/** Runs kernels, compares each with float64, and those that add up in one order with each other. */
async function check(call: MatmulCall, kernels = applicable(call)): Promise<void> {
  const a = noise(elementsRead(call.a, call, call.m, call.k), 1);
  const b = noise(elementsRead(call.b, call, call.k, call.n), 2);
  const expected = expectedProduct(call, a, b);
  const byOrder = new Map<string, Uint32Array>();
  for (const kernel of kernels) {
    const { name, order = name } = kernel;
    const result = await harness!.run(kernel, call, [a, b]);
    const error = worstError(call, result, expected);
    ok(error < 1, `${name} of ${JSON.stringify(call)} is ${error} times further off than rounding explains`);
    const bits = new Uint32Array(result.buffer, result.byteOffset, result.length);
    const wanted = byOrder.get(order) ?? bits;
    byOrder.set(order, wanted);
    const other = bits.findIndex((each, at) => each !== wanted[at]);
    equal(other, -1, `${name} adds up "${order}" and gives other bits than the first that does so: ${JSON.stringify(call)}`);
  }
}

// --- what is checked; `uses` names the default kernel

interface Case {
  says: string;
  uses: string;
  calls: MatmulCall[];
}

const layouts: Layout[] = ["NN", "NT", "TN", "TT"];
const inLayouts = (m: number, n: number, k: number, variation: Variation = {}): MatmulCall[] =>
  layouts.map((layout) => product(m, n, k, { ...variation, layout }));

const cases: Case[] = [
  { says: "tiles, just full", uses: "matmul_tile_16x16", calls: inLayouts(16, 16, 16) },
  { says: "tiles, one more and one less", uses: "matmul_tile_16x16", calls: [...inLayouts(20, 12, 4), ...inLayouts(12, 20, 36)] },
  {
    says: "tiles, any number of rows",
    uses: "matmul_tile_16x16",
    calls: [17, 31, 37].map((m) => product(m, 8, 8, { layout: "NT" })),
  },
  {
    says: "tiles, any k where no operand runs along it",
    uses: "matmul_tile_16x16",
    calls: [1, 7, 45].map((k) => product(20, 36, k, { layout: "TN" })),
  },
  {
    says: "tiles of a batch with offsets, gaps and a shared operand",
    uses: "matmul_tile_16x16",
    calls: inLayouts(20, 16, 8, { batch: [2, 1, 3], sharedB: true, offset: 4, gap: 8 }),
  },
  { says: "textures", uses: "matmul_texture_16x16", calls: [...inLayouts(68, 100, 64), product(67, 100, 64)] },
  {
    says: "textures, any k where no operand runs along it",
    uses: "matmul_texture_16x16",
    calls: [product(20, 36, 511, { layout: "TN" })],
  },
  {
    says: "textures of attention heads",
    uses: "matmul_texture_16x16",
    calls: [product(63, 64, 32, { layout: "NT", batch: [2, 2, 1] })],
  },
  {
    says: "textures of a batch with offsets, gaps and a shared operand",
    uses: "matmul_texture_16x16",
    calls: inLayouts(20, 16, 64, { batch: [2, 1, 3], sharedB: true, offset: 4, gap: 8 }),
  },
  { says: "textures and wide tiles", uses: "matmul_texture_16x32", calls: [product(257, 132, 128, { layout: "NT" })] },
  { says: "few rows", uses: "matmul_rows", calls: [1, 2, 3, 4, 5, 8].map((m) => product(m, 41, 64, { layout: "NT" })) },
  { says: "few rows, B along n", uses: "matmul_rows", calls: [1, 3].map((m) => product(m, 44, 12, { layout: "NN" })) },
  {
    says: "few rows of a batch with offsets, gaps and a shared operand",
    uses: "matmul_rows",
    calls: [product(3, 7, 8, { layout: "NT", batch: [3, 2, 2], sharedB: true, offset: 8, gap: 4 })],
  },
  {
    says: "few rows from textures",
    uses: "matmul_texture_rows",
    calls: [
      product(4, 132, 64, { layout: "NT" }),
      product(3, 44, 260),
      product(5, 43, 32, { layout: "NT", batch: [3, 2, 1], offset: 8, gap: 4 }),
    ],
  },
  {
    says: "odd lengths",
    uses: "matmul_general",
    calls: [...inLayouts(1, 1, 1), ...inLayouts(7, 9, 3), ...inLayouts(13, 17, 11), ...inLayouts(8, 1, 5), product(2, 3, 5)],
  },
  {
    says: "strides of no layout, odd offsets and gaps",
    uses: "matmul_general",
    calls: [
      product(9, 10, 8, { spread: 3, offset: 1, gap: 1, batch: [2, 2, 2] }),
      product(12, 12, 12, { offset: 2 }),
      product(12, 12, 12, { gap: 1 }),
    ],
  },
  { says: "no k", uses: "matmul_general", calls: [product(3, 5, 0), product(16, 16, 0, { layout: "NT" })] },
  {
    says: "one column of a long k",
    uses: "matmul_general",
    calls: [1, 2, 3].map((m) => product(m, m, 70_001, { layout: "NT" })),
  },
];

for (const { says, uses, calls } of cases) {
  Deno.test(`matmul: ${says}: ${uses} and all that apply are right`, { ignore: !harness }, async () => {
    for (const call of calls) {
      equal(usual(call), uses);
      await check(call);
    }
  });
}

Deno.test(
  "matmul: kernels that use workgroup memory are right, and preferred where neighbours share loads",
  { ignore: !harness },
  async () => {
    const calls = {
      matmul_shared_32x32: [
        ...inLayouts(33, 31, 17),
        product(9, 70, 40, { layout: "NT", batch: [2, 1, 3], sharedB: true, offset: 1, gap: 3 }),
        product(20, 20, 5, { spread: 3 }),
      ],
      matmul_rows_shared: [
        ...[1, 2, 5].flatMap((m) => [product(m, 41, 132, { layout: "NT" }), product(m, 44, 36)]),
        product(3, 7, 64, { layout: "NT", batch: [3, 2, 2], sharedB: true, offset: 8, gap: 4 }),
        product(1, 4, 2000, { layout: "NT" }),
        product(8, 4 * 2 ** 14, 16),
      ],
      matmul_shared_64x64: [
        product(65, 63, 15, { batch: [1, 40, 1], sharedB: true }),
        product(64, 64, 32, { layout: "TT", batch: [1, 64, 1] }),
      ],
    };
    for (const [name, each] of Object.entries(calls)) {
      for (const call of each) {
        equal(usual(call, false), name);
        const variants = matmulKernels.filter((kernel) => kernel.tiled && kernel.applies(call));
        await check(call, deep || name === "matmul_shared_64x64" ? variants : [byName.get(name)!]);
      }
    }
  },
);

Deno.test("matmul: every kernel sums the longest k that it takes", { ignore: !harness }, async () => {
  for (const layout of ["NT", "TN"] as const) await check(product(4, 4, MATMUL_MAX_K, { layout }));
  await check(product(8, 4, MATMUL_MAX_K, { layout: "NT" }));
  await check(product(5, 5, MATMUL_MAX_K - 1));
  deepEqual(applicable(product(4, 4, MATMUL_MAX_K + 4)), []);
});

Deno.test("matmul: a repeated row or column has stride 0", { ignore: !harness }, async () => {
  const dense = product(12, 16, 8);
  const call = { ...dense, a: { ...dense.a, row: 0 }, b: { ...dense.b, row: 0 } };
  equal(usual(call), "matmul_tile_16x16");
  await check(call);
});

Deno.test("matmul: operands larger than a texture are read from buffers", () => {
  const dense = product(256, 256, 64);
  const spread = (texels: number) => ({ ...dense, a: { ...dense.a, row: 4 * texels } });
  const full = MAX_TEXELS / 256;
  deepEqual(byName.get("matmul_texture_16x32")!.texels!(spread(full)), [255 * full + 16, 64 * 64]);
  equal(usual(spread(full)), "matmul_texture_16x32");
  equal(usual(spread(2 * full)), "matmul_tile_32x32");
});

Deno.test("matmul: strides of axes of length 1 do not matter", () => {
  const dense = product(1, 16, 8);
  const call = { ...dense, a: { ...dense.a, row: 3, batch: [1, 1, 1] as const } };
  deepEqual(applicable(call), applicable(dense));
  deepEqual(matmulKernels[0].params(call), matmulKernels[0].params(dense));
});

Deno.test("matmul: kernels without workgroup memory choose between buffers without a branch", () => {
  const call = product(16, 16, 8);
  const parts = [0, 1].map((buffer) => ({ a: { buffer, offset: 0 }, b: { buffer, offset: 0 } }));
  const branching = matmulKernels.filter((kernel) => !kernel.texels && /switch buffer/.test(kernel.text({ ...call, parts })));
  deepEqual(branching.filter(({ tiled }) => !tiled), []);
  ok(
    branching.length > 0 &&
      matmulKernels.some((kernel) => /select\(a_0\[\w+\], a_1\[\w+\], buffer == 1u\)/.test(kernel.text({ ...call, parts }))),
  );
});

Deno.test("matmul: grids fold onto a second axis", () => {
  const tall = product(16, 16, 4, { batch: [1000, 1000, 1] });
  const [x, y, z] = byName.get("matmul_tile_16x16")!.grid(tall, limits);
  ok(x <= limits.maxWorkgroups && x * y * 8 >= 1_000_000 && z === 1);
  deepEqual(byName.get("matmul_rows")!.grid(product(1, 64, 8), limits), [2, 1, 1]);
});

Deno.test("matmul: folded grids compute every tile", { ignore: !harness }, async () => {
  const call = product(1, 1, 1, { batch: [1, 530_001, 1], sharedB: true });
  equal(matmulKernels.at(-1)!.grid(call, limits)[1], 2);
  await check(call);
});

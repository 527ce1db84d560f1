/**
 * Runs graphs node by node in float64 on the host: slow and obviously right. It is the oracle of the tests, and computes where there is
 * no WebGPU adapter.
 *
 * @module
 */

import { type DType, isFloat, type TensorData, wideArray } from "../../core/dtype.ts";
import type { TensorType } from "../../core/graph.ts";
import type { FlatNode, Graph, Program } from "../../core/program.ts";
import { sizeOf } from "../../core/shape.ts";
import type { Backend, BackendStatistics, Executable } from "../backend.ts";
import { evaluate } from "./evaluate.ts";

interface HostBuffer {
  data: TensorData;
}

/** The float64 device. */
export class ReferenceBackend implements Backend {
  readonly name = "reference";
  readonly description = "float64 on the host, one thread";
  readonly adapter = "reference";
  readonly limits = { maxBindingBytes: 2 ** 32, maxStorageBuffers: 1 << 20, maxTextures: 0, maxWorkgroups: 2 ** 31 };
  readonly float16 = true;
  readonly texelReads = false;
  readonly packedDots = false;
  readonly statistics: BackendStatistics = {
    pipelinesCreated: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
    dispatches: 0,
    submissions: 0,
    readbacks: 0,
    bytesHeld: 0,
  };

  prepare(graph: Graph, _lower: () => Program): Executable {
    const needed = liveNodes(graph);
    return { textureInputs: new Set(), run: (inputs) => this.#run(graph, needed, inputs as readonly HostBuffer[]) };
  }

  upload(data: TensorData, { dtype }: TensorType): HostBuffer {
    const wide = wideArray(dtype, data.length);
    wide.set(dtype === "float16" ? (data as Float64Array).map(Math.f16round) : data);
    return { data: wide };
  }

  readsAtOnce(): boolean {
    return true;
  }

  read(buffers: readonly object[], _types: readonly { dtype: DType; length: number }[]): Promise<TensorData[]> {
    this.statistics.readbacks++;
    return Promise.resolve((buffers as readonly HostBuffer[]).map(({ data }) => data.slice()));
  }

  free(buffer: object): void {
    (buffer as HostBuffer).data = new Float64Array(0);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #run(graph: Graph, needed: readonly number[], inputs: readonly HostBuffer[]): HostBuffer[] {
    const values: (TensorData | undefined)[] = graph.nodes.map(() => undefined);
    const uses = countUses(graph, needed);
    for (const position of needed) {
      const node = graph.nodes[position];
      const sources = sourcesOf(node);
      values[position] = node.leaf !== undefined ? inputs[node.leaf].data : this.#compute(node, sources, graph, values);
      for (const source of sources) {
        if (--uses[source] === 0 && graph.nodes[source].leaf === undefined) values[source] = undefined;
      }
    }
    this.statistics.submissions++;
    return graph.outputs.map((output) => ({ data: values[output]!.slice() }));
  }

  #compute(node: FlatNode, sources: readonly number[], graph: Graph, values: readonly (TensorData | undefined)[]): TensorData {
    this.statistics.dispatches++;
    if (node.composition !== undefined) return values[node.composition]!;
    const inputs = sources.map((source) => ({ type: graph.nodes[source] as TensorType, data: values[source]! }));
    const result = evaluate(node, inputs);
    if (result.length !== sizeOf(node.shape)) {
      throw new Error(`${node.op.name} gave ${result.length} elements, wanted ${sizeOf(node.shape)}`);
    }
    return node.dtype === "float16" && isFloat(node.dtype) ? (result as Float64Array).map(Math.f16round) : result;
  }
}

/** A fused operation is computed by its composition. */
function sourcesOf(node: FlatNode): readonly number[] {
  return node.composition === undefined ? node.inputs : [node.composition];
}

function liveNodes({ nodes, outputs }: Graph): number[] {
  const live = new Set<number>();
  const stack = [...outputs];
  while (stack.length > 0) {
    const position = stack.pop()!;
    if (live.has(position)) continue;
    live.add(position);
    stack.push(...sourcesOf(nodes[position]));
  }
  return [...live].sort((a, b) => a - b);
}

function countUses({ nodes, outputs }: Graph, needed: readonly number[]): number[] {
  const uses = nodes.map(() => 0);
  for (const position of needed) for (const source of sourcesOf(nodes[position])) uses[source]++;
  for (const output of outputs) uses[output]++;
  return uses;
}

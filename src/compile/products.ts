/**
 * Matrix products share kernels: sums of products are one, what follows a product is computed where it is stored, and independent
 * products of one layout run side by side.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { sameShape, sizeOf } from "../core/shape.ts";
import { MATMUL_MAX_PARTS, type MatmulCall } from "../kernels/matmul.ts";
import { matmulBinding } from "../kernels/matmul_binding.ts";
import { prune } from "./choose.ts";
import { type Fusion, type Group, kernelInput, type Product, readsOf } from "./groups.ts";
import { GroupJoiner, type Join } from "./joining.ts";

/** A product, or a sum of products: the call of the first, and where the operands of each lie. */
export interface ProductTerms {
  readonly call: MatmulCall;
  readonly terms: readonly Record<"a" | "b", { readonly base: number; readonly offset: number }>[];
}

export const isProduct = ({ op }: FlatNode): boolean => op.name === "matmul";
/** Whether kernels of a fused operation may go on with its elements. */
const goesOn = ({ op }: FlatNode): boolean => op.kind === "fused" && op.binding.goesOn === true;

/** What a `matmul` node multiplies; its inputs are pairs of operands, all of one layout, whose products are added up. */
export function productTerms(nodes: readonly FlatNode[], node: FlatNode): ProductTerms {
  const inputs = node.inputs.map((_, position) => kernelInput(nodes, node, position));
  const views = inputs.map(({ view }) => view);
  const terms = Array.from({ length: inputs.length / 2 }, (_, pair) => {
    const [a, b] = inputs.slice(2 * pair);
    return { a: { base: a.base, offset: a.view.offset }, b: { base: b.base, offset: b.view.offset } };
  });
  const half = { a: nodes[inputs[0].base].dtype === "float16", b: nodes[inputs[1].base].dtype === "float16" };
  return { call: { ...matmulBinding.call(views, node, node.attributes), half }, terms };
}

/** Text that is equal for products that one kernel can compute together. */
function layoutText({ call: { m, n, k, batch, a, b, half } }: ProductTerms): string {
  return JSON.stringify([m, n, k, batch, half, a.batch, a.row, a.col, a.offset % 4, b.batch, b.row, b.col, b.offset % 4]);
}

function buffersOf(products: readonly ProductTerms[]): Set<number> {
  return new Set(products.flatMap(({ terms }) => terms.flatMap(({ a, b }) => [a.base, b.base])));
}

/** How many buffers a kernel binds for the operands of products: those of each side, even if both have one in common. */
function boundOperands(products: readonly ProductTerms[]): number {
  const distinct = (side: "a" | "b") => new Set(products.flatMap(({ terms }) => terms.map((term) => term[side].base))).size;
  return distinct("a") + distinct("b");
}

/** What the elements that follow products read besides these: it is bound once more where it is an operand too. */
function readAfter({ graph, stored }: Fusion, products: readonly Product[]): Set<number> {
  const nodes = products.map(({ node }) => node);
  const after = products.flatMap(({ roots }) => roots).filter((root) => !nodes.includes(root));
  const reads = after.flatMap((root) => [...readsOf(graph, stored, root, nodes).keys()]);
  return new Set(reads.filter((node) => !nodes.includes(node)));
}

/** Rewrites trees of additions. */
class SumRewriter {
  readonly #nodes: FlatNode[] = [];
  readonly #positions: number[] = [];
  readonly #users: number[];
  /** Additions that are part of a larger one. */
  readonly #inner: ReadonlySet<number>;

  constructor(private readonly graph: Graph, private readonly maxBuffers: number) {
    this.#users = graph.nodes.map(() => 0);
    for (const { inputs } of graph.nodes) inputs.forEach((input) => this.#users[input]++);
    graph.outputs.forEach((output) => this.#users[output] += 2);
    const sums = graph.nodes.filter(({ op }) => op.name === "add");
    this.#inner = new Set(sums.flatMap(({ inputs }) => inputs.flatMap((input) => this.#innerSum(input) ?? [])));
  }

  run(): Graph {
    const { nodes, leaves, outputs, donated } = this.graph;
    nodes.forEach((node, position) => this.#positions.push(this.#sum(position) ?? this.#push(this.#moved(node))));
    const moved = (list: readonly number[]) => list.map((position) => this.#positions[position]);
    return prune({ nodes: this.#nodes, leaves: moved(leaves), outputs: moved(outputs), donated });
  }

  #moved(node: FlatNode): FlatNode {
    return { ...node, inputs: node.inputs.map((input) => this.#positions[input]) };
  }

  #push(node: FlatNode): number {
    return this.#nodes.push(node) - 1;
  }

  /** The addition behind reshapes, where nobody else needs it. */
  #innerSum(position: number): number | undefined {
    const { nodes } = this.graph;
    while (nodes[position].op.name === "reshape" && this.#users[position] === 1) [position] = nodes[position].inputs;
    return nodes[position].op.name === "add" && this.#users[position] === 1 ? position : undefined;
  }

  /** What an addition adds up, through additions that nobody else needs. */
  #summands(position: number): number[] {
    const { nodes } = this.graph;
    const found: number[] = [];
    const left = nodes[position].inputs.toReversed();
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const inner = this.#innerSum(next);
      if (inner === undefined) found.push(next);
      else left.push(...nodes[inner].inputs.toReversed());
    }
    return found;
  }

  /** The product behind reshapes, where nobody else needs it. */
  #product(position: number): number | undefined {
    const { nodes } = this.graph;
    while (this.#users[position] === 1 && nodes[position].op.name === "reshape") [position] = nodes[position].inputs;
    return this.#users[position] === 1 && isProduct(nodes[position]) ? position : undefined;
  }

  /** The position of a sum with its products joined, or `undefined` where there are not two of one layout. */
  #sum(position: number): number | undefined {
    const { nodes } = this.graph;
    const root = nodes[position];
    if (root.op.name !== "add" || root.dtype !== "float32" || this.#inner.has(position)) return undefined;
    const byLayout = new Map<string, number[]>();
    const summands = this.#summands(position);
    for (const summand of summands) {
      const product = this.#product(summand);
      const key = product === undefined ? `${summand}` : layoutText(productTerms(nodes, nodes[product]));
      const alike = byLayout.get(key);
      if (alike) alike.push(product ?? summand);
      else byLayout.set(key, [product ?? summand]);
    }
    if (byLayout.size === summands.length) return undefined;
    const joined = [...byLayout.values()].flatMap((list) => this.#chunks(list)).map((list) => this.#joined(list, root));
    return joined.reduce((sum, term) => this.#push({ ...root, inputs: [sum, term] }));
  }

  /** Lists of products that one kernel may add up. */
  #chunks(products: readonly number[]): number[][] {
    const { nodes } = this.graph;
    const chunks: number[][] = [];
    const fits = (list: readonly number[]) => {
      const operands = boundOperands(list.map((product) => productTerms(nodes, nodes[product])));
      return list.length <= MATMUL_MAX_PARTS && operands + 1 <= this.maxBuffers;
    };
    for (const product of products) {
      const last = chunks.at(-1);
      if (last && isProduct(nodes[product]) && fits([...last, product])) last.push(product);
      else chunks.push([product]);
    }
    return chunks;
  }

  #joined(products: readonly number[], root: FlatNode): number {
    const { nodes } = this.graph;
    const first = nodes[products[0]];
    const inputs = products.flatMap((product) => this.#moved(nodes[product]).inputs);
    const sum = isProduct(first) ? this.#push({ ...first, inputs }) : this.#positions[products[0]];
    if (sameShape(first.shape, root.shape)) return sum;
    const reshape = nodes.find(({ op }) => op.name === "reshape")!.op;
    return this.#push({ ...root, op: reshape, attributes: { shape: root.shape }, inputs: [sum] });
  }
}

/** Joins the products that a sum adds up, so that the parts of a gradient need no memory. `maxBuffers` bounds what a kernel binds. */
export function sumProducts(graph: Graph, { maxBuffers }: { maxBuffers: number }): Graph {
  return new SumRewriter(graph, maxBuffers).run();
}

/** How many buffers a kernel binds for the operands of a product. */
function operandCount(nodes: readonly FlatNode[], node: FlatNode): number {
  return isProduct(node) ? boundOperands([productTerms(nodes, node)]) : node.inputs.length;
}

/** Settings of `absorbProducts`. */
interface AbsorbOptions {
  /** Bounds what a kernel binds. */
  readonly maxBuffers: number;
  /** Where textures are read, only `matmul` goes on: another kernel takes seconds to compile, and a launch less gains nothing. */
  readonly texelReads: boolean;
}

/** The product that a kernel of elementwise results can begin with: nobody else needs it, and each element only where it is stored. */
function absorbedProduct({ graph, stored }: Fusion, group: Group, { readers, maxBuffers, texelReads }: AbsorbOptions & {
  readers: ReadonlyMap<number, number>;
}): number | undefined {
  const { nodes, outputs } = graph;
  const [root] = group.roots;
  if (group.reduction !== undefined || group.rows || nodes[root].op.kind === "kernel" || nodes[root].op.kind === "fused") {
    return undefined;
  }
  const reads = new Map<number, boolean>();
  for (const each of group.roots) {
    for (const [node, aligned] of readsOf(graph, stored, each)) reads.set(node, (reads.get(node) ?? true) && aligned);
  }
  const fits = (product: number) => {
    const others = readAfter({ graph, stored, groups: [] }, [{ node: product, roots: group.roots }]).union(new Set(group.roots));
    return operandCount(nodes, nodes[product]) + others.size <= maxBuffers;
  };
  return [...reads.keys()].sort((a, b) => b - a).find((node) =>
    (isProduct(nodes[node]) || !texelReads && goesOn(nodes[node])) && reads.get(node) && readers.get(node) === 1 &&
    !outputs.includes(node) &&
    sizeOf(nodes[node].shape) === sizeOf(nodes[root].shape) && fits(node)
  );
}

/** Kernels of elementwise results begin with the product that only they need. */
export function absorbProducts(fusion: Fusion, options: AbsorbOptions): Fusion {
  const { graph, stored } = fusion;
  const readers = new Map<number, number>();
  for (const { roots } of fusion.groups) {
    const read = new Set(roots.flatMap((root) => [...readsOf(graph, stored, root).keys()]));
    for (const node of read) readers.set(node, (readers.get(node) ?? 0) + 1);
  }
  const kept = [...stored];
  const groups = fusion.groups.map((group): Group => {
    const [root] = group.roots;
    if (isProduct(graph.nodes[root])) return { ...group, products: [{ node: root, roots: [root] }] };
    const node = absorbedProduct(fusion, group, { ...options, readers });
    if (node === undefined) return group;
    kept[node] = false;
    return { ...group, products: [{ node, roots: group.roots }] };
  });
  return { graph, stored: kept, groups: groups.filter(({ roots }) => roots.some((root) => kept[root])) };
}

/** Largest operands, in elements, of products that run side by side: those of larger ones keep a device busy alone. */
const maxShared = 2 ** 24;

/** Two kernels of products of one layout as one. */
function productsTogether(fusion: Fusion, maxBuffers: number): Join {
  const { nodes } = fusion.graph;
  const known = new Map<number, ProductTerms & { readonly text: string }>();
  const termsOf = ({ node }: Product) => {
    let found = known.get(node);
    if (!found) {
      const terms = productTerms(nodes, nodes[node]);
      known.set(node, found = { ...terms, text: `${terms.terms.length}${layoutText(terms)}` });
    }
    return found;
  };
  return (a, b, joiner) => {
    if (!a.products || !b.products || ![a, b].every(({ products }) => isProduct(nodes[products![0].node]))) return undefined;
    const products = [...a.products, ...b.products];
    const [first, second] = [a, b].map((group) => termsOf(group.products![0]));
    if (first.text !== second.text || products.length * first.terms.length > MATMUL_MAX_PARTS) return undefined;
    const [readsA, readsB] = [a, b].map((group) => joiner.reads(group));
    if (a.roots.some((root) => readsB.has(root)) || b.roots.some((root) => readsA.has(root))) return undefined;
    const roots = [...a.roots, ...b.roots];
    const terms = products.map(termsOf);
    if (boundOperands(terms) + readAfter(fusion, products).union(new Set(roots)).size > maxBuffers) return undefined;
    const sources = [...buffersOf(terms)];
    const elements = sources.reduce((sum, source) => sum + sizeOf(nodes[source].shape), 0);
    return elements <= maxShared ? { roots, products } : undefined;
  };
}

/** Runs independent products of one layout side by side. */
export function joinProducts(fusion: Fusion, maxBuffers: number): Fusion {
  return new GroupJoiner(fusion).run(productsTogether(fusion, maxBuffers));
}

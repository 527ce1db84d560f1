/**
 * Rewritings of a listed graph that leave fewer kernels, or less for them to do: transposed products, sums of sums, and factors of sums.
 *
 * @module
 */

import type { FlatNode, Graph } from "../core/program.ts";
import { sameShape } from "../core/shape.ts";
import { prune } from "./choose.ts";

/** A list under construction. */
interface Rewriting {
  readonly nodes: readonly FlatNode[];
  /** Whether nobody else needs a node of the new list. */
  isPrivate(position: number): boolean;
  push(node: FlatNode): number;
}

/** What takes the place of a node whose inputs are in the new list, or `undefined` where it stays. */
type Rule = (node: FlatNode, list: Rewriting) => number | undefined;

const swapsLast = (order: readonly number[]): boolean => {
  const last = order.length - 1;
  return order[last] === last - 1 && order.every((axis, index) => index >= last - 1 || axis === index);
};

/** (a b + c d)ᵀ = bᵀ aᵀ + dᵀ cᵀ: operands are read transposed in place, where the product would be copied. */
const transposedProduct: Rule = (node, { nodes, isPrivate, push }) => {
  if (node.op.name !== "permute" || !swapsLast(node.attributes.order as readonly number[])) return undefined;
  const [product] = node.inputs;
  if (nodes[product].op.name !== "matmul" || !isPrivate(product)) return undefined;
  const transposed = (operand: number) => {
    const { shape, dtype } = nodes[operand];
    return push({ ...node, inputs: [operand], shape: [...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!], dtype });
  };
  const operands = nodes[product].inputs.map(transposed);
  const inputs = operands.map((_, index) => operands[index % 2 === 0 ? index + 1 : index - 1]);
  return push({ ...nodes[product], inputs, shape: node.shape });
};

/** Two sums along the same axes, added up, are the sum of what they add up. */
const sumOfSums: Rule = (node, { nodes, isPrivate, push }) => {
  if (node.op.name !== "add") return undefined;
  const reshapes = node.inputs.map((input) => nodes[input].op.name === "reshape" && isPrivate(input) ? input : undefined);
  const [a, b] = node.inputs.map((input, index) => reshapes[index] === undefined ? input : nodes[input].inputs[0]);
  const [left, right] = [a, b].map((position) => nodes[position]);
  const isSum = (position: number) => nodes[position].op.name === "sum" && isPrivate(position);
  if (a === b || !isSum(a) || !isSum(b) || `${left.attributes.axes}` !== `${right.attributes.axes}`) return undefined;
  const [x, y] = [left, right].map(({ inputs: [input] }) => input);
  if (!sameShape(nodes[x].shape, nodes[y].shape) || nodes[x].dtype !== left.dtype || nodes[y].dtype !== left.dtype) {
    return undefined;
  }
  const { shape } = nodes[x];
  const sum = push({ ...left, inputs: [push({ ...node, inputs: [x, y], shape })] });
  const reshape = reshapes.find((position) => position !== undefined);
  return reshape === undefined ? sum : push({ ...nodes[reshape], inputs: [sum] });
};

/** An expression as what varies along some axes, and what that is multiplied by or divided by, or that it is negated. */
interface Factored {
  readonly varying: number;
  readonly factors: readonly { readonly op: FlatNode; readonly operand?: number }[];
}

/** Takes an expression apart, as far as it is of products, quotients and signs. */
function factored(position: number, axes: readonly number[], list: Rewriting): Factored {
  const { nodes, push } = list;
  const node = nodes[position];
  const [a, b] = node.inputs;
  if (node.dtype !== "float32") return { varying: position, factors: [] };
  if (node.op.name === "neg") {
    const { varying, factors } = factored(a, axes, list);
    return { varying, factors: [...factors, { op: node }] };
  }
  if (node.op.name !== "mul" && node.op.name !== "div") return { varying: position, factors: [] };
  const isFixed = (operand: number) => {
    const { op, inputs: [input] } = nodes[operand];
    return op.name === "expand" && axes.every((axis) => nodes[input].shape[axis] === 1);
  };
  if (isFixed(b)) {
    const { varying, factors } = factored(a, axes, list);
    return { varying, factors: [...factors, { op: node, operand: nodes[b].inputs[0] }] };
  }
  if (node.op.name === "mul" && isFixed(a)) {
    const { varying, factors } = factored(b, axes, list);
    return { varying, factors: [...factors, { op: node, operand: nodes[a].inputs[0] }] };
  }
  const [left, right] = node.op.name === "mul" ? [a, b].map((each) => factored(each, axes, list)) : [factored(a, axes, list)];
  const factors = [...left.factors, ...right?.factors ?? []];
  if (factors.length === 0) return { varying: position, factors };
  return { varying: push({ ...node, inputs: [left.varying, right?.varying ?? b] }), factors };
}

/** Σ a b = b Σ a, where b does not vary along the axes of the sum: it need not be known before. */
const factorsOfSum: Rule = (node, list) => {
  const { nodes, push } = list;
  if (node.op.name !== "sum" || node.dtype !== "float32") return undefined;
  const { varying, factors } = factored(node.inputs[0], node.attributes.axes as readonly number[], list);
  if (factors.length === 0) return undefined;
  const { shape } = node;
  return factors.reduce((product, { op, operand }) => {
    if (operand === undefined) return push({ ...op, inputs: [product], shape });
    const expand = nodes.find(({ op }) => op.name === "expand")!;
    const spread = sameShape(nodes[operand].shape, shape)
      ? operand
      : push({ ...expand, attributes: { shape }, inputs: [operand], shape, dtype: nodes[operand].dtype });
    return push({ ...op, inputs: [product, spread], shape });
  }, push({ ...node, inputs: [varying] }));
};

const rules = [transposedProduct, sumOfSums, factorsOfSum];

/** Applies the rules to every node. */
export function rewrite(graph: Graph): Graph {
  const nodes: FlatNode[] = [];
  const positions: number[] = [];
  const users = new Map<number, number>(); // of the new list, as far as they are known from the old one
  const oldUsers = graph.nodes.map(() => 0);
  for (const { inputs } of graph.nodes) inputs.forEach((input) => oldUsers[input]++);
  for (const output of graph.outputs) oldUsers[output] += 2;
  const list: Rewriting = {
    nodes,
    isPrivate: (position) => users.get(position) === 1,
    push: (node) => {
      users.set(nodes.length, 1);
      return nodes.push(node) - 1;
    },
  };
  graph.nodes.forEach((node, index) => {
    const moved = { ...node, inputs: node.inputs.map((input) => positions[input]) };
    const position = rules.reduce<number | undefined>((found, rule) => found ?? rule(moved, list), undefined) ?? list.push(moved);
    positions.push(position);
    users.set(position, oldUsers[index]);
  });
  const moved = (all: readonly number[]) => all.map((position) => positions[position]);
  return prune({ nodes, leaves: moved(graph.leaves), outputs: moved(graph.outputs), donated: graph.donated });
}

/** Outputs without reshapes, which are the same memory. */
export function bareOutputs(graph: Graph): Graph {
  const { nodes } = graph;
  const bare = (position: number): number => nodes[position].op.name === "reshape" ? bare(nodes[position].inputs[0]) : position;
  return prune({ ...graph, outputs: graph.outputs.map(bare) });
}

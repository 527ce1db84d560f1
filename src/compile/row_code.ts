/**
 * Text of kernels that reduce rows and go over them again.
 *
 * @module
 */

import { saturate } from "../core/dtype.ts";
import type { Reduction } from "../core/graph.ts";
import type { FlatNode, Graph } from "../core/program.ts";
import { sizeOf } from "../core/shape.ts";
import { wgslLiteral, wgslType } from "../core/wgsl.ts";
import { shaders } from "../kernels/shaders.ts";
import { type CodeBinding, CodeBuffers, type Load } from "./code_buffers.ts";
import { ExpressionWriter } from "./expression.ts";
import type { RowShape } from "./groups.ts";
import type { GeneratedCode } from "./map_code.ts";
import { RowWalk } from "./row_walk.ts";

/** Fewest rows that keep a device busy with few invocations each. */
export const fewRows = 64;
/** Invocations that keep a device busy. */
const busy = 2 ** 16;
/** Most invocations that share a row: every device has as many in a workgroup. */
const mostMembers = 256;

/** How a workgroup shares rows. */
interface RowLayout {
  /** Whether elements are taken four at a time. */
  readonly wide: boolean;
  /** Invocations that share a row, a power of two. */
  readonly members: number;
  /** Invocations of a workgroup. */
  readonly lanes: number;
}

/**
 * An invocation for each row where textures are read and rows are many, which suits drivers that compute on the host; neighbours that
 * read side by side elsewhere.
 */
export function layoutRows({ count, width }: RowShape, texelReads: boolean): RowLayout {
  const wide = width % 4 === 0;
  if (texelReads) return { wide, members: count < fewRows ? 8 : 1, lanes: count < 1024 ? 8 : 64 };
  const floor = (n: number) => 2 ** Math.floor(Math.log2(Math.max(1, n)));
  const members = Math.min(floor(wide ? width / 4 : width), Math.max(32, floor(busy / count)), mostMembers);
  return { wide, members, lanes: Math.max(64, members) };
}

/** What `rowCode` needs. */
export interface RowRequest {
  readonly graph: Graph;
  readonly stored: readonly boolean[];
  readonly rows: RowShape;
  readonly texelReads: boolean;
  readonly bindings: readonly CodeBinding[];
  /** Name of the output of each node that is stored. */
  readonly stores: ReadonlyMap<number, string>;
}

/** Shader of a group that works on rows. */
export function rowCode(request: RowRequest): GeneratedCode {
  const { graph: { nodes }, rows, texelReads, bindings } = request;
  const layout = layoutRows(rows, texelReads);
  const isElement = (node: number) => node >= 0 && sizeOf(nodes[node].shape) !== rows.count;
  const wide = (binding: CodeBinding) => layout.wide && isElement(binding.node);
  const buffers = new CodeBuffers(
    bindings.map((binding) => binding.access === "write" ? { ...binding, wide: wide(binding) } : binding),
    layout.wide,
  );
  const writer = new RowWriter(request, layout, buffers);
  const passes = buffers.settle(() => writer.passes());
  const sizes = {
    ROWS: rows.count,
    WIDTH: layout.wide ? rows.width / 4 : rows.width,
    MEMBERS: layout.members,
    LANES: layout.lanes,
  };
  const constants = Object.entries(sizes).map(([name, value]) => `const ${name}: u32 = ${value}u;`).join(" ");
  const shader = buffers.fill(shaders.rows, { constants, joins: writer.joins(), passes });
  return { shader, invocations: rows.count * layout.members, workgroup: layout.lanes };
}

const indented = (lines: readonly string[], by: string) => lines.map((line) => `${by}${line}`);

/** Writes the passes over a row. */
class RowWriter {
  readonly #nodes: readonly FlatNode[];
  readonly #walk: RowWalk;
  readonly #levels: ReadonlyMap<number, number>;

  constructor(
    private readonly request: RowRequest,
    private readonly layout: RowLayout,
    private readonly buffers: CodeBuffers,
  ) {
    const { graph, stored, rows, stores } = request;
    this.#nodes = graph.nodes;
    this.#walk = new RowWalk(graph, stored, new Set(stores.keys()), rows);
    this.#levels = new Map([...stores.keys()].map((root) => [root, this.#walk.root(root)]));
  }

  /** The ways to combine what the members of a row have. */
  joins(): string {
    if (this.layout.members === 1) return "";
    const kinds = new Map([...this.#walk.reductions.keys()].map((node) => [this.#joinName(node), node]));
    return [...kinds].map(([name, node]) => {
      const { op, dtype } = this.#nodes[node];
      const type = wgslType(dtype);
      const combined = (op as Reduction).wgsl("parts[lane]", "parts[lane + step]", { dtype, wide: false }).replaceAll(
        "parts[",
        `${name}_parts[`,
      );
      return `var<workgroup> ${name}_parts: array<${type}, LANES>;
fn ${name}(part: ${type}, lane: u32, member: u32) -> ${type} {
  ${name}_parts[lane] = part;
  for (var step = MEMBERS / 2u; step > 0u; step /= 2u) {
    workgroupBarrier();
    if (member < step) {
      ${name}_parts[lane] = ${combined};
    }
  }
  workgroupBarrier();
  let result = ${name}_parts[lane - member];
  workgroupBarrier();
  return result;
}`;
    }).join("\n");
  }

  #joinName(node: number): string {
    const { op, dtype } = this.#nodes[node];
    return `join_${op.name}_${wgslType(dtype)}`;
  }

  passes(): string {
    const { stores, texelReads } = this.request;
    const known = new Map<number, string>();
    const atRow = new ExpressionWriter(this.#nodes, this.#load(known), "r");
    const last = Math.max(...this.#levels.values());
    const opaque = "WIDTH * groups.z"; // groups.z is 1, which no driver knows: loops that are unrolled take long to compile
    const lines = [`let width = ${texelReads ? opaque : "WIDTH"};`, "let start = row * WIDTH;"];
    for (let pass = 0; pass <= last; pass++) {
      for (const [node, level] of this.#walk.known()) {
        if (level === pass && !known.has(node)) known.set(node, atRow.value(node, { linear: "row" }));
      }
      const rowRoots = [...stores.keys()].filter((root) => this.#levels.get(root) === pass && !this.#isElement(root));
      const values = rowRoots.map((root) => this.buffers.store(stores.get(root)!, "row", atRow.value(root, { linear: "row" })));
      lines.push(...atRow.lines.splice(0));
      if (values.length > 0) lines.push(`if (exists && member == 0u) {`, ...indented(values, "  "), "}");
      lines.push(...this.#pass(pass, known));
    }
    return indented(lines, "  ").join("\n");
  }

  #isElement(node: number): boolean {
    return sizeOf(this.#nodes[node].shape) !== this.request.rows.count;
  }

  #load(known: ReadonlyMap<number, string>): Load {
    const { stores } = this.request;
    return (node, linear, wide) => {
      const name = known.get(node);
      if (name !== undefined) return wide ? `${wgslType(this.#nodes[node].dtype, true)}(${name})` : name;
      return stores.has(node) ? undefined : this.buffers.load(node, linear, wide);
    };
  }

  /** One loop over a row: what it stores, and what it reduces. */
  #pass(pass: number, known: Map<number, string>): string[] {
    const { stores } = this.request;
    const { wide, members } = this.layout;
    const writer = new ExpressionWriter(this.#nodes, this.#load(known), `p${pass}_`);
    const value = (node: number) => wide ? writer.wideValue(node, { linear: "i" }) : writer.value(node, { linear: "i" });
    const reductions = [...this.#walk.reductions].flatMap(([node, level]) => level === pass + 1 ? [node] : []);
    const roots = [...stores.keys()].filter((root) => this.#levels.get(root) === pass && this.#isElement(root));
    if (reductions.length + roots.length === 0) return [];
    const before: string[] = [], body: string[] = [], after: string[] = [];
    for (const node of reductions) {
      const name = `${pass}_${before.length}`; // counted, so that equal kernels have equal texts
      const { op, dtype, inputs: [input] } = this.#nodes[node];
      const { identity, wgsl } = op as Reduction;
      before.push(`var a${name} = ${wgslType(dtype, wide)}(${wgslLiteral(saturate(identity, dtype), dtype)});`);
      body.push(`a${name} = ${wgsl(`a${name}`, value(input), { dtype, wide })};`);
      const lanes = wide
        ? ["x", "y", "z", "w"].map((lane) => `a${name}.${lane}`).reduce((a, b) => `(${wgsl(a, b, { dtype, wide: false })})`)
        : `a${name}`;
      after.push(`let t${name} = ${members === 1 ? lanes : `${this.#joinName(node)}(${lanes}, lane, member)`};`);
      known.set(node, `t${name}`);
    }
    const stored = roots.map((root) => this.buffers.store(stores.get(root)!, "i", value(root)));
    if (stored.length > 0) body.push("if (exists) {", ...indented(stored, "  "), "}");
    const loop = ["let i = start + c;", ...writer.lines, ...body];
    return [...before, "for (var c = member; c < width; c += MEMBERS) {", ...indented(loop, "  "), "}", ...after];
  }
}

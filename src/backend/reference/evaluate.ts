/**
 * Float64 meaning of each kind of operation.
 *
 * @module
 */

import { type DType, isFloat, saturate, type TensorData, wideArray } from "../../core/dtype.ts";
import type { AxisMap, Elementwise, TensorType } from "../../core/graph.ts";
import type { FlatNode } from "../../core/program.ts";
import { type Shape, sizeOf, stridesOf } from "../../core/shape.ts";

interface Operand {
  readonly type: TensorType;
  readonly data: TensorData;
}

/** Calls `visit` for each element of a shape, in row-major order, with its coordinates (one array, changed in place). */
function forEachCoordinate(shape: Shape, visit: (coordinates: readonly number[], position: number) => void): void {
  const coordinates = shape.map(() => 0);
  const size = sizeOf(shape);
  for (let position = 0; position < size; position++) {
    visit(coordinates, position);
    for (let axis = shape.length - 1; axis >= 0 && ++coordinates[axis] === shape[axis]; axis--) coordinates[axis] = 0;
  }
}

/** From floats to integers: 1 or 0 of a comparison, or a cast. */
function saturating(rule: Elementwise["evaluate"], dtype: DType): Elementwise["evaluate"] {
  return (...operands) => saturate(rule(...operands), dtype);
}

function elementwise(op: Elementwise, inputs: readonly Operand[], output: TensorType): TensorData {
  const result = wideArray(output.dtype, sizeOf(output.shape));
  const integer = op.evaluateInteger && inputs.every(({ type }) => !isFloat(type.dtype));
  const truncates = !isFloat(output.dtype) && isFloat(inputs[0].type.dtype);
  const rule = integer ? op.evaluateInteger! : truncates ? saturating(op.evaluate, output.dtype) : op.evaluate;
  const [a, b, c] = inputs.map(({ data }) => data);
  if (!b) { for (let i = 0; i < result.length; i++) result[i] = rule(a[i]); }
  else if (!c) { for (let i = 0; i < result.length; i++) result[i] = rule(a[i], b[i]); }
  else for (let i = 0; i < result.length; i++) result[i] = rule(a[i], b[i], c[i]);
  return result;
}

function mapped({ type, data }: Operand, maps: readonly AxisMap[], output: TensorType): TensorData {
  const result = wideArray(output.dtype, sizeOf(output.shape));
  const strides = stridesOf(type.shape);
  forEachCoordinate(output.shape, (coordinates, position) => {
    let source = 0;
    for (let axis = 0; axis < maps.length; axis++) {
      const map = maps[axis];
      const at = map.axis < 0 ? map.start : coordinates[map.axis] * map.step + map.start;
      if (at < 0 || at >= type.shape[axis]) return; // padding stays zero
      source += at * strides[axis];
    }
    result[position] = data[source];
  });
  return result;
}

function gathered([table, indices]: readonly Operand[], output: TensorType): TensorData {
  const result = wideArray(output.dtype, sizeOf(output.shape));
  const width = sizeOf(table.type.shape.slice(1));
  indices.data.forEach((row, i) => {
    if (row >= 0 && row < table.type.shape[0]) result.set(table.data.subarray(row * width, (row + 1) * width), i * width);
  });
  return result;
}

function reduced(node: FlatNode, { type, data }: Operand): TensorData {
  if (node.op.kind !== "reduction") throw new Error("not a reduction");
  const result = wideArray(node.dtype, sizeOf(node.shape)).fill(saturate(node.op.identity, node.dtype));
  const strides = stridesOf(node.shape);
  const { evaluate } = node.op;
  forEachCoordinate(type.shape, (coordinates, position) => {
    let target = 0;
    for (let axis = 0; axis < coordinates.length; axis++) if (node.shape[axis] !== 1) target += coordinates[axis] * strides[axis];
    result[target] = evaluate(result[target], data[position]);
  });
  return result;
}

/** Computes one node from the data of its inputs. */
export function evaluate(node: FlatNode, inputs: readonly Operand[]): TensorData {
  const { op } = node;
  switch (op.kind) {
    case "elementwise":
      return elementwise(op, inputs, node);
    case "view": {
      const maps = op.map(inputs[0].type.shape, node.attributes);
      return maps ? mapped(inputs[0], maps, node) : inputs[0].data;
    }
    case "generator": {
      const result = wideArray(node.dtype, sizeOf(node.shape));
      forEachCoordinate(node.shape, (coordinates, position) => result[position] = op.evaluate(coordinates, node.attributes));
      return result;
    }
    case "gather":
      return gathered(inputs, node);
    case "reduction":
      return reduced(node, inputs[0]);
    case "kernel":
      return op.reference(inputs, node, node.attributes);
    case "leaf":
    case "fused":
      throw new Error(`${op.name} is not evaluated on its own`);
    default:
      return op satisfies never;
  }
}

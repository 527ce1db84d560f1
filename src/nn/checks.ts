/**
 * What the functions of this folder ask of their arguments, told at the line of the caller.
 *
 * @module
 */

import { atCaller } from "../core/errors.ts";
import { isFloat } from "../core/dtype.ts";
import { sameShape } from "../core/shape.ts";
import { isTensor, type Tensor } from "../tensor.ts";

/** Throws at the caller unless `holds`. */
export function require(holds: boolean, message: () => string): void {
  if (!holds) throw atCaller(new TypeError(message()));
}

/** Checks queries, keys and values of attention, and the position of the first query. */
export function checkAttention(q: Tensor, k: Tensor, v: Tensor, offset: Tensor | number): void {
  const action = `Cannot attend with ${q} to ${k} and ${v}`;
  const floats = [q, k, v].every(({ shape, dtype }) => shape.length === 4 && isFloat(dtype));
  require(floats, () => `${action}: wanted floating-point [batch, heads, positions, headDim] each`);
  const [batch, heads, , headDim] = q.shape;
  const [, keyValueHeads, keys] = k.shape;
  const wanted = [batch, keyValueHeads, keys, headDim];
  require(sameShape(k.shape, wanted), () => `${action}: wanted keys of [${wanted}], batch and headDim as in the queries`);
  require(sameShape(v.shape, k.shape), () => `${action}: wanted values of the shape of the keys`);
  require(heads % keyValueHeads === 0, () => `${action}: wanted a multiple of ${keyValueHeads} query heads, got ${heads}`);
  const fits = isTensor(offset) ? offset.size === 1 && offset.dtype === "uint32" : Number.isInteger(offset) && offset >= 0;
  require(fits, () => `${action} at the offset ${offset}: wanted an integer of at least 0, or a uint32 scalar`);
}

/** Checks document numbers of attention, and gives them back. */
export function checkDocuments(documents: Tensor, q: Tensor, k: Tensor, offset: Tensor | number): Tensor {
  const [batch, , positions] = q.shape;
  const action = `Cannot attend with ${q} to ${k} within the documents ${documents}`;
  const fits = !isFloat(documents.dtype) && sameShape(documents.shape, [batch, positions]);
  require(fits, () => `${action}: wanted int32 or uint32 [${batch}, ${positions}], one for each query`);
  require(k.shape[2] === positions && offset === 0, () => `${action}: wanted as many keys as queries, and no offset`);
  return documents;
}

/** Checks the operands of a norm over the last axis. */
export function checkNorm(x: Tensor, weight: Tensor, epsilon: number): void {
  const action = `Cannot normalise ${x} with the weight ${weight}`;
  require(isFloat(x.dtype) && isFloat(weight.dtype), () => `${action}: wanted floating-point tensors`);
  require(x.shape.length > 0, () => `${action}: wanted at least one axis`);
  const width = x.shape[x.shape.length - 1];
  require(sameShape(weight.shape, [width]), () => `${action}: wanted a weight of [${width}], one for each element of a row`);
  require(epsilon >= 0, () => `${action} and epsilon ${epsilon}: wanted a number of at least 0`);
}

/** The label that does not count, as labels of this dtype hold it. */
export function ignoredLabel({ dtype }: Tensor, ignoreIndex: number): number {
  return dtype === "uint32" ? ignoreIndex >>> 0 : ignoreIndex;
}

/** Checks that labels whose numbers are on the host are classes, or do not count. */
export function checkClasses(labels: Tensor, classes: number, ignoreIndex: number): void {
  const numbers = labels.node.value?.host;
  const ignored = ignoredLabel(labels, ignoreIndex);
  const wrong = numbers?.findIndex((label: number) => !(label >= 0 && label < classes) && label !== ignored) ?? -1;
  if (wrong < 0) return;
  throw atCaller(
    new RangeError(
      `Cannot take the cross-entropy against ${labels}: the label ${numbers![wrong]} at ${wrong} is no class, wanted 0 to ${
        classes - 1
      }, ` +
        `or ${ignored} for one that does not count`,
    ),
  );
}

/** Checks logits and labels of a cross-entropy. */
export function checkLabels(logits: Tensor, labels: Tensor, ignoreIndex: number): void {
  const action = `Cannot take the cross-entropy of ${logits} against ${labels}`;
  require(isFloat(logits.dtype), () => `${action}: wanted floating-point logits`);
  require(!isFloat(labels.dtype), () => `${action}: wanted int32 or uint32 labels`);
  const fits = logits.shape.length > 0 && sameShape(logits.shape.slice(0, -1), labels.shape);
  require(fits, () => `${action}: wanted one label for each row of logits`);
  checkClasses(labels, logits.shape[logits.shape.length - 1], ignoreIndex);
}

/** Checks the operands of a cross-entropy with its head, and the number of classes of a chunk. */
export function checkHead(hidden: Tensor, head: Tensor, labels: Tensor, chunk: number | undefined): void {
  const action = `Cannot take the cross-entropy of ${hidden} times the head ${head} against ${labels}`;
  require(hidden.dtype === "float32" && head.dtype === "float32", () => `${action}: wanted a float32 product, cast its factors`);
  require(!isFloat(labels.dtype), () => `${action}: wanted int32 or uint32 labels`);
  const fits = head.shape.length === 2 && head.shape[0] > 0 && sameShape(hidden.shape, [...labels.shape, head.shape[1]]);
  require(fits, () => `${action}: wanted a head of [classes, width], and a label for each row of [..., width]`);
  if (chunk === undefined || Number.isInteger(chunk) && chunk >= 1) return;
  throw atCaller(new RangeError(`${action} in chunks of ${chunk} classes: wanted an integer of at least 1`));
}

/** Checks the logits and settings of a distillation. */
export function checkDistillation(
  logits: Tensor,
  teacher: Tensor,
  { temperature, topK }: { readonly temperature: number; readonly topK?: number },
): void {
  const action = `Cannot distil ${teacher} into ${logits}`;
  require(isFloat(logits.dtype) && isFloat(teacher.dtype), () => `${action}: wanted floating-point logits`);
  const fits = logits.shape.length > 0 && sameShape(logits.shape, teacher.shape);
  require(fits, () => `${action}: wanted logits of one shape, of at least one axis`);
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw atCaller(new RangeError(`${action}: temperature must be above 0, got ${temperature}`));
  }
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) {
    throw atCaller(new RangeError(`${action}: topK must be an integer of at least 1, got ${topK}`));
  }
}

import { tensor, useBackend } from "../../mod.ts";
import { joinBytes } from "../../src/io/bytes.ts";
import { bytesOf } from "../../src/io/bytes.ts";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "../../src/io/float16.ts";
import { downloaded, savedDTypes, type StoredDType, uploaded } from "../../src/llama/transfer.ts";
import { deepEqual, equal, rejects } from "../assert.ts";
import { noise } from "../support/numbers.ts";

const files = {
  F32: { bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(x), rounded: (x: Float32Array<ArrayBuffer>) => x },
  F64: {
    bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(Float64Array.from(x)),
    rounded: (x: Float32Array<ArrayBuffer>) => x,
  },
  F16: {
    bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(float32ToFloat16(x)),
    rounded: (x: Float32Array<ArrayBuffer>) => float16ToFloat32(float32ToFloat16(x)),
  },
  BF16: {
    bytes: (x: Float32Array<ArrayBuffer>) => bytesOf(float32ToBfloat16(x)),
    rounded: (x: Float32Array<ArrayBuffer>) => bfloat16ToFloat32(float32ToBfloat16(x)),
  },
} as const;

/** A tensor in a file that counts how many bytes are asked for at once. */
function stored(dtype: StoredDType, shape: readonly number[]) {
  const values = Float32Array.from(noise(shape.reduce((a, b) => a * b, 1), { seed: 7, low: -2, high: 2 }), (x) => x / 3);
  const all = files[dtype].bytes(values);
  let most = 0;
  const bytes = (start: number, length: number) => {
    most = Math.max(most, length);
    return all.slice(start, start + length);
  };
  return { stored: { dtype, shape, bytes }, all, wanted: files[dtype].rounded(values), most: () => most };
}

const shapes = [[7], [13, 9], [2, 8, 3]];

for (const backend of ["webgpu", "reference"] as const) {
  Deno.test(`tensors of every type come to the device and back to the bit, whole and in pieces (${backend})`, async () => {
    await useBackend(backend);
    for (const dtype of ["F32", "F16", "BF16", "F64"] as const) {
      for (const shape of shapes) {
        for (const pieceElements of [1 << 24, 30]) {
          const says = `${dtype} [${shape}] in pieces of ${pieceElements}`;
          const { stored: file, all, wanted, most } = stored(dtype, shape);
          const value = await uploaded(file, { name: "x", pieceElements });
          deepEqual([...await value.data()], [...wanted], says);
          if (pieceElements === 30 && shape.length > 1 && wanted.length > 60) equal(most() < all.length / 2, true, says);
          if (dtype === "F64") continue;
          const saved = ({ F32: "float32", F16: "float16", BF16: "bfloat16" } as const)[dtype];
          equal(savedDTypes[saved], dtype);
          const pieces = await Array.fromAsync(downloaded(value, { dtype: saved, action: "Cannot save x", pieceElements }));
          deepEqual([...joinBytes(pieces)], [...all], says);
        }
      }
    }
  });
}

Deno.test("a tensor held in half precision has its values, and refuses those that it cannot hold", async () => {
  await useBackend("webgpu");
  const { stored: file, wanted } = stored("F16", [13, 9]);
  const half = await uploaded(file, { name: "x", keep: "float16", pieceElements: 30 });
  equal(half.dtype, "float16");
  deepEqual([...await half.cast("float32").data()], [...wanted]);
  const large = { dtype: "F32", shape: [2], bytes: () => bytesOf(Float32Array.of(1, 70_000)) } as const;
  await rejects(
    uploaded(large, { name: "x.weight", keep: "float16" }),
    /Cannot hold "x\.weight" in float16: it holds 70000, wanted at most 65504/,
  );
  const toFile = downloaded(tensor([1, 70_000]), { dtype: "float16", action: "Cannot save x" });
  await rejects(() => Array.fromAsync(toFile), /Cannot save x: it holds 70000, wanted at most 65504 in magnitude/);
});

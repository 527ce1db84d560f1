import { fromDevice, toDevice } from "../../src/backend/webgpu/convert.ts";
import { deepEqual, equal } from "../assert.ts";

Deno.test("numbers become device bytes and come back", () => {
  const cases = [
    [Float64Array.of(0.1, -2), "float32", false, [Math.fround(0.1), -2]],
    [Float64Array.of(0.1, 70_000, 3), "float16", true, [Math.f16round(0.1), Infinity, 3]],
    [Float64Array.of(0.1, 3), "float16", false, [Math.f16round(0.1), 3]],
    [Int32Array.of(-5, 7), "int32", true, [-5, 7]],
    [Float64Array.of(-5, 7), "int32", true, [-5, 7]],
    [Uint32Array.of(4294967295), "uint32", true, [4294967295]],
  ] as const;
  for (const [data, dtype, float16, wanted] of cases) {
    const bytes = toDevice(data, dtype, float16);
    equal(bytes.byteLength % 4, 0);
    deepEqual(Array.from(fromDevice(bytes.buffer, 0, { length: data.length, dtype, float16 })), [...wanted]);
  }
});

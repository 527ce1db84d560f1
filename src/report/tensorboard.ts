/**
 * Event files that TensorBoard reads: scalars by tag and step, as records of TFRecord that hold protocol buffers.
 *
 * @module
 */

/** The first record of a file: its version. */
export function fileVersion(wallTime: number): Uint8Array<ArrayBuffer> {
  return record([...doubleField(1, wallTime), ...bytesField(3, encoder.encode("brain.Event:2"))]);
}

/** A record of numbers of one step. `wallTime` is in seconds since 1970. */
export function scalars(
  values: Readonly<Record<string, number>>,
  { step, wallTime }: { readonly step: number; readonly wallTime: number },
): Uint8Array<ArrayBuffer> {
  const summary = Object.entries(values).flatMap(([tag, value]) =>
    bytesField(1, [...bytesField(1, encoder.encode(tag)), ...floatField(2, value)])
  );
  return record([...doubleField(1, wallTime), ...varint(2 << 3), ...varint(step), ...bytesField(5, summary)]);
}

const encoder = new TextEncoder();

/** Length and checksum of it, the bytes and their checksum; all numbers little-endian. */
function record(bytes: readonly number[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(bytes.length + 16);
  const view = new DataView(whole.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(8, maskedChecksum(whole.subarray(0, 8)), true);
  whole.set(bytes, 12);
  view.setUint32(12 + bytes.length, maskedChecksum(whole.subarray(12, 12 + bytes.length)), true);
  return whole;
}

/** CRC-32C (polynomial 0x1EDC6F41, mirrored), turned and shifted so that a checksum of checksums is as good. */
export function maskedChecksum(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = table[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  sum = ~sum;
  return ((sum >>> 15 | sum << 17) + 0xa282ead8) >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function varint(value: number): number[] {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 | 128);
  return [...bytes, value];
}

const bytesField = (
  field: number,
  bytes: ArrayLike<number>,
) => [...varint(field << 3 | 2), ...varint(bytes.length), ...Array.from(bytes)];

function doubleField(field: number, value: number): number[] {
  return [...varint(field << 3 | 1), ...new Uint8Array(Float64Array.of(value).buffer)];
}

function floatField(field: number, value: number): number[] {
  return [...varint(field << 3 | 5), ...new Uint8Array(Float32Array.of(value).buffer)];
}

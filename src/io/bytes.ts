/**
 * Reading and writing little-endian bytes, every read checked against what is there.
 *
 * Typed arrays are read and written in the order of the host, which is little-endian on every platform with WebGPU.
 *
 * @module
 */

/** Bytes in memory that can be handed to files and to a GPU. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Smallest multiple of `alignment` that is at least `length`. */
export function alignUp(length: number, alignment: number): number {
  return Math.ceil(length / alignment) * alignment;
}

/** One array with all chunks, in order. */
export function joinBytes(chunks: Iterable<Uint8Array>): Bytes {
  const list = [...chunks];
  const joined = new Uint8Array(list.reduce((length, chunk) => length + chunk.length, 0));
  let offset = 0;
  for (const chunk of list) {
    joined.set(chunk, offset);
    offset += chunk.length;
  }
  return joined;
}

/** Reads the elements of `bytes` as `ctor` stores them: a view where alignment allows it, else a copy. */
export function viewAs<T>(
  bytes: Uint8Array,
  ctor: { new (buffer: ArrayBuffer, byteOffset: number, length: number): T; BYTES_PER_ELEMENT: number },
): T {
  const size = ctor.BYTES_PER_ELEMENT;
  const viewable = bytes.byteOffset % size === 0 && bytes.buffer instanceof ArrayBuffer;
  const source = viewable ? bytes as Bytes : new Uint8Array(bytes);
  return new ctor(source.buffer, source.byteOffset, Math.floor(bytes.length / size));
}

/** The bytes under a typed array, without copying. */
export function bytesOf(array: ArrayBufferView<ArrayBuffer>): Bytes {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Thrown where a reader holds only the beginning of a file, and wants more of it. */
export class BeginningTooShort extends Error {
  override readonly name = "BeginningTooShort";
}

/**
 * Walks little-endian bytes from the start. Every read names what it wants, and throws a `RangeError` when too few bytes are
 * left. Where the bytes are only the beginning of a longer file, a read behind them throws `BeginningTooShort` instead.
 */
export class ByteReader {
  /** Position of the next read, in bytes. */
  offset = 0;
  readonly #view: DataView;
  readonly #utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); // a token may be U+FEFF

  /** Reads `bytes`, the first of `totalBytes`; `source` names them in errors, such as a path. */
  constructor(readonly bytes: Uint8Array, readonly source: string, readonly totalBytes: number = bytes.length) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes not yet read, those of the file that are not here included. */
  get remaining(): number {
    return this.totalBytes - this.offset;
  }

  /** Throws unless `length` more bytes exist. */
  need(length: number, what: string): void {
    if (length <= this.remaining) return;
    throw new RangeError(
      `Cannot read ${what} of ${this.source}: wanted ${length} bytes at byte ${this.offset}, only ${this.remaining} are left`,
    );
  }

  /** A view of the next `length` bytes. */
  take(length: number, what: string): Uint8Array {
    const start = this.#advance(length, what);
    return this.bytes.subarray(start, start + length);
  }

  /** Unsigned integer of 1, 2 or 4 bytes. */
  uint(size: 1 | 2 | 4, what: string): number {
    const start = this.#advance(size, what);
    return size === 1
      ? this.#view.getUint8(start)
      : size === 2
      ? this.#view.getUint16(start, true)
      : this.#view.getUint32(start, true);
  }

  /** Signed integer of 1, 2 or 4 bytes, two's complement. */
  int(size: 1 | 2 | 4, what: string): number {
    const unused = 32 - 8 * size;
    return this.uint(size, what) << unused >> unused;
  }

  /** Unsigned integer of 8 bytes. */
  uint64(what: string): bigint {
    return this.#view.getBigUint64(this.#advance(8, what), true);
  }

  /** Signed integer of 8 bytes. */
  int64(what: string): bigint {
    return BigInt.asIntN(64, this.uint64(what));
  }

  /** Float of 4 or 8 bytes. */
  float(size: 4 | 8, what: string): number {
    const start = this.#advance(size, what);
    return size === 4 ? this.#view.getFloat32(start, true) : this.#view.getFloat64(start, true);
  }

  /** Unsigned 8-byte count of items that take at least `minimumBytes` each: more than the bytes left could hold is an error. */
  count(minimumBytes: number, what: string): number {
    const count = this.uint64(what);
    if (count > BigInt(Math.floor(this.remaining / minimumBytes))) {
      throw new RangeError(
        `Cannot read ${what} of ${this.source}: ${count} items of at least ${minimumBytes} bytes do not fit in the ${this.remaining} bytes left`,
      );
    }
    return Number(count);
  }

  /** UTF-8 text of `length` bytes. `lenient` reads what is not UTF-8 as U+FFFD, for texts that only people read. */
  text(length: number, what: string, { lenient = false }: { lenient?: boolean } = {}): string {
    const bytes = this.take(length, what);
    if (lenient) return new TextDecoder().decode(bytes);
    try {
      return this.#utf8.decode(bytes);
    } catch (cause) {
      throw new RangeError(`Cannot read ${what} of ${this.source}: wanted UTF-8 text`, { cause });
    }
  }

  #advance(length: number, what: string): number {
    this.need(length, what);
    if (this.offset + length > this.bytes.length) throw new BeginningTooShort(`Cannot read ${what} of ${this.source} yet`);
    this.offset += length;
    return this.offset - length;
  }
}

/** Builds little-endian bytes; grows as needed. */
export class ByteWriter {
  #bytes: Bytes = new Uint8Array(1024);
  #view: DataView = new DataView(this.#bytes.buffer);
  /** Bytes written so far. */
  length = 0;

  /** Appends bytes as they are. */
  bytes(bytes: Uint8Array): void {
    const start = this.#extend(bytes.length);
    this.#bytes.set(bytes, start);
  }

  /** Appends an integer of 1, 2 or 4 bytes; negative values as two's complement. */
  int(value: number, size: 1 | 2 | 4): void {
    const start = this.#extend(size);
    if (size === 1) this.#view.setUint8(start, value);
    else if (size === 2) this.#view.setUint16(start, value, true);
    else this.#view.setUint32(start, value, true);
  }

  /** Appends an integer of 8 bytes; negative values as two's complement. */
  int64(value: bigint): void {
    const start = this.#extend(8);
    this.#view.setBigUint64(start, BigInt.asUintN(64, value), true);
  }

  /** Appends a float of 4 or 8 bytes. */
  float(value: number, size: 4 | 8): void {
    const start = this.#extend(size);
    if (size === 4) this.#view.setFloat32(start, value, true);
    else this.#view.setFloat64(start, value, true);
  }

  /** Appends zero bytes up to a multiple of `alignment`. */
  align(alignment: number): void {
    this.#extend(alignUp(this.length, alignment) - this.length);
  }

  /** All bytes written so far. */
  finish(): Bytes {
    return this.#bytes.slice(0, this.length);
  }

  #extend(length: number): number {
    const start = this.length;
    this.length += length;
    if (this.length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.length, 2 * this.#bytes.length));
      grown.set(this.#bytes.subarray(0, start));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return start;
  }
}

/** Whether bytes begin as a gzip file does. */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/** Builds a .npy file as numpy writes it, independently of the reader. */
export function npyBytes(
  shape: readonly number[],
  data: readonly number[],
  { version = 1, fortran = false, dtype = "<f4" }: { version?: number; fortran?: boolean; dtype?: string } = {},
): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const literal = `{'descr': '${dtype}', 'fortran_order': ${fortran ? "True" : "False"}, 'shape': ${tuple}, }`;
  const start = version === 1 ? 10 : 12;
  const length = Math.ceil((start + literal.length + 1) / 64) * 64 - start;
  const head = Buffer.alloc(start + length, " ");
  head.write("\u0093NUMPY", 0, "latin1");
  head[6] = version;
  head[7] = 0;
  if (version === 1) head.writeUInt16LE(length, 8);
  else head.writeUInt32LE(length, 8);
  head.write(literal, start, "latin1");
  head[start + length - 1] = 0x0a;
  return Buffer.concat([head, elementsOf(dtype, fortran ? columnMajor(shape, data) : data)]);
}

function elementsOf(dtype: string, data: readonly number[]): Uint8Array {
  if (dtype === "<f8") return new Uint8Array(Float64Array.from(data).buffer);
  if (dtype === "<f2") return new Uint8Array(Uint16Array.from(data, toHalf).buffer);
  return new Uint8Array(Float32Array.from(data).buffer);
}

/** Only for numbers that half precision holds exactly. */
function toHalf(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.round((Math.abs(value) / 2 ** exponent - 1) * 1024);
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | fraction;
}

function columnMajor(shape: readonly number[], data: readonly number[]): number[] {
  const out: number[] = [];
  const visit = (index: readonly number[]): void => {
    if (index.length === shape.length) {
      out.push(data[index.reduce((at, i, axis) => at * shape[axis]! + i, 0)]!);
      return;
    }
    // The last axis varies slowest.
    const axis = shape.length - 1 - index.length;
    for (let i = 0; i < shape[axis]!; i++) visit([i, ...index]);
  };
  visit([]);
  return out;
}

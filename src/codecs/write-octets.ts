import type { Rows } from "../engine/core/rows.ts";

/** Rows as their float32 bytes, row-major and little-endian: a decode answer. A view where they own their memory. */
export function writeRowsOctets({ data }: Rows): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

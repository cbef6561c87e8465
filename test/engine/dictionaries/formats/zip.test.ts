import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import { ZipArchive } from "../../../../src/engine/dictionaries/formats/zip.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { zipBytes, type ZipFileOf } from "../../../support/zip-bytes.ts";

const folder = temporaryFolder();
let files = 0;
const TEXT = Buffer.from("matching pursuit ".repeat(100_000));

function written(bytes: Uint8Array): string {
  const path = join(folder, `${files++}.zip`);
  writeFileSync(path, bytes);
  return path;
}

/** The first member's content. */
async function readFirst(bytes: Uint8Array, length?: number, mayLackChecksums = false): Promise<Buffer> {
  const zip = await ZipArchive.open(written(bytes), { format: ".zip", maxMembers: 10, mayLackChecksums });
  try {
    return Buffer.from(await zip.readBytes(zip.members[0]!, length));
  } finally {
    await zip.close();
  }
}

const stored: ZipFileOf = { name: "a", bytes: TEXT };
const deflated: ZipFileOf = { name: "a", bytes: deflateRawSync(TEXT), method: 8, size: TEXT.length, crc: crc32(TEXT) };

describe("a member of a zip", () => {
  it.each([stored, deflated])("is read whole, or its beginning alone", async (member) => {
    expect((await readFirst(zipBytes([member]))).equals(TEXT)).toBe(true);
    expect((await readFirst(zipBytes([member]), 8)).toString()).toBe("matching");
  });

  it.each<[string, ZipFileOf, RegExp]>([
    ["no checksum", { ...stored, crc: 0 }, /a is damaged: its CRC-32 is [0-9a-f]{8}, the zip says 00000000/],
    ["another checksum", { ...stored, crc: 1 }, /a is damaged: its CRC-32 is [0-9a-f]{8}, the zip says 00000001/],
    ["a size that is too small", { ...deflated, size: 9 }, /a goes on after all of the 9 bytes that the zip says/],
    ["a size that is too large", { ...deflated, size: TEXT.length + 1 }, /a ends after 1700000 of the 1700001 bytes/],
    ["data that is not deflated", { ...deflated, bytes: Buffer.from("plain text") }, /is not a valid \.zip file \(/],
    ["an unknown method", { ...stored, method: 99 }, /a is compressed by method 99/],
  ])("with %s is refused", async (_, member, message) => {
    const error: unknown = await readFirst(zipBytes([member])).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect(String(error)).toMatch(message);
  });
});

describe("a zip of a format that may lack checksums", () => {
  it("is read without one, and checked where it has one", async () => {
    expect((await readFirst(zipBytes([{ ...stored, crc: 0 }]), undefined, true)).equals(TEXT)).toBe(true);
    await expect(readFirst(zipBytes([{ ...stored, crc: 1 }]), undefined, true)).rejects.toThrow(/a is damaged/);
  });
});

describe("a zip", () => {
  it("whose directory points out of the file is refused, and no error escapes", async () => {
    const whole = zipBytes([stored]);
    const end = whole.subarray(-22);
    // A locator of a zip64 directory at byte 2^62, where fs.read throws.
    const locator = Buffer.alloc(20);
    locator.writeUInt32LE(0x07064b50);
    locator.writeBigUInt64LE(2n ** 62n, 8);
    await expect(readFirst(Buffer.concat([whole.subarray(0, -22), locator, end]))).rejects.toThrow(
      /its directory points to byte 4611686018427388000 of \d+/,
    );
    const local = Buffer.from(whole);
    local.writeUInt32LE(0xffffff00, local.length - 22 - 1 - 46 + 42);
    await expect(readFirst(local)).rejects.toThrow(/its directory points to byte 4294967040 of \d+/);
  });

  it("of more members than the limit, or of two with one name, is refused", async () => {
    const many = Array.from({ length: 11 }, (_, i) => ({ ...stored, name: String(i) }));
    await expect(readFirst(zipBytes(many))).rejects.toThrow("claims to hold 11 files; the limit is 10");
    await expect(readFirst(zipBytes([stored, stored]))).rejects.toThrow('holds "a" twice');
  });
});

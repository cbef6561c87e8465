import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import { openNpz } from "../../../../src/engine/dictionaries/formats/npz.ts";
import { npyBytes } from "../../../support/npy-bytes.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";
import { zipBytes } from "../../../support/zip-bytes.ts";

const fixtures = new URL("../../../fixtures/imports/", import.meta.url);
const stored = new URL("mp-sae/weights.npz", fixtures).pathname;
const deflated = new URL("overcomplete-identity/weights.npz", fixtures).pathname;
const folder = temporaryFolder();
let files = 0;

async function readAll(path: string): Promise<Record<string, Float32Array>> {
  const file = await openNpz(path);
  try {
    const all: Record<string, Float32Array> = {};
    for (const name of file.tensors.keys()) all[name] = await file.readFloats(name);
    return all;
  } finally {
    await file.close();
  }
}

describe("a .npz file", () => {
  it("is read whether numpy stored or compressed it", async () => {
    expect((await readAll(stored))["W"]!.length).toBe(24 * 8);
    const all = await readAll(deflated);
    expect(Object.keys(all)).toEqual(["dictionary._weights", "dictionary.multiplier"]);
    expect([...all["dictionary.multiplier"]!]).toEqual([-0.25]);
  });

  it("names what it holds when something else is asked for", async () => {
    const file = await openNpz(stored);
    await expect(file.readFloats("b")).rejects.toThrow('holds no array "b"; it holds W.');
    await file.close();
  });

  it("may hold what is no simple array, as long as nobody asks for it", async () => {
    const path = join(folder, "odd.npz");
    const structured = Buffer.from(npyBytes([1], [1]))
      .toString("latin1")
      .replace("'<f4'", "[('a', '<f4')]");
    writeFileSync(
      path,
      zipBytes([
        { name: "atoms.npy", bytes: npyBytes([2], [1, 2]) },
        { name: "s.npy", bytes: Buffer.from(structured, "latin1") },
        { name: "x.txt", bytes: Buffer.of(1) },
      ]),
    );
    const file = await openNpz(path);
    expect([...(await file.readFloats("atoms"))]).toEqual([1, 2]);
    await expect(file.readFloats("s")).rejects.toThrow(/s\.npy: its header names no simple element type/);
    await expect(file.readFloats("x.txt")).rejects.toThrow(/x\.txt: is no \.npy file/);
    await file.close();
  });

  it("that is a git-lfs pointer is named as one", async () => {
    const path = join(folder, "pointer.npz");
    writeFileSync(path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n");
    await expect(openNpz(path)).rejects.toThrow(/pointer\.npz: is a git-lfs pointer.*git lfs pull/);
  });

  it("whose content was changed fails the zip's CRC-32", async () => {
    const whole = new Uint8Array(readFileSync(stored));
    const damaged = join(folder, "damaged.npz");
    // The last float of the only array, which ends where the zip's directory begins.
    const end = Buffer.from(whole).indexOf("PK\u0001\u0002", 0, "latin1");
    writeFileSync(damaged, whole.with(end - 1, whole[end - 1]! ^ 0x40));
    await expect(readAll(damaged)).rejects.toThrow(/W\.npy is damaged: its CRC-32 is [0-9a-f]{8}, the zip says/);
  });

  it("whose directory has 0 in the place of a CRC-32 is refused", async () => {
    const bytes = readFileSync(stored);
    bytes.writeUInt32LE(0, bytes.indexOf("PK\u0001\u0002", 0, "latin1") + 16);
    const path = join(folder, "unchecked.npz");
    writeFileSync(path, bytes);
    await expect(readAll(path)).rejects.toThrow(/W\.npy is damaged: its CRC-32 is [0-9a-f]{8}, the zip says 00000000/);
  });

  it.each([stored, deflated])("cut short or changed in any byte is refused, or reads as before", async (path) => {
    const whole = new Uint8Array(readFileSync(path));
    const values = Object.values(await readAll(path));
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
        const damaged = join(folder, `${files++}.npz`);
        writeFileSync(damaged, cut ? whole.slice(0, at) : whole.with(at, byte));
        const outcome = await readAll(damaged).catch((error: unknown) => error as Error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(FormatError);
        else expect(Object.values(outcome)).toEqual(values);
      }),
      { seed: 3, numRuns: 150 },
    );
  });

  it("that claims more than can be held is refused before memory is taken", async () => {
    const path = join(folder, "forged.npz");
    const head = npyBytes([2 ** 20, 2 ** 10 + 1], []);
    const claimed = head.length + 2 ** 20 * (2 ** 10 + 1) * 4;
    // As much as is read to find the header's end, and no more.
    writeFileSync(path, zipClaiming(Buffer.concat([head, Buffer.alloc(2 ** 17)]), claimed));
    await expect(readAll(path)).rejects.toThrow(
      "W.npy claims 4299161728 bytes, packed into 233; over 4294967296 bytes it may be packed into a 20th.",
    );
  });
});

/** A zip of one deflated entry, W.npy, whose directory claims so many bytes. */
function zipClaiming(data: Uint8Array, claimed: number): Uint8Array {
  const name = Buffer.from("W.npy");
  const body = deflateRawSync(data);
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(name.length, 26);
  const zip64 = Buffer.alloc(12);
  zip64.writeUInt16LE(1);
  zip64.writeUInt16LE(8, 2);
  zip64.writeBigUInt64LE(BigInt(claimed), 4);
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50);
  entry.writeUInt16LE(8, 10);
  entry.writeUInt32LE(body.length, 20);
  entry.writeUInt32LE(0xffff_ffff, 24);
  entry.writeUInt16LE(name.length, 28);
  entry.writeUInt16LE(zip64.length, 30);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(entry.length + name.length + zip64.length, 12);
  end.writeUInt32LE(local.length + name.length + body.length, 16);
  return Buffer.concat([local, name, body, entry, name, zip64, end]);
}

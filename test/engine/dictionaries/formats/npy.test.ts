import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FormatError } from "../../../../src/engine/dictionaries/formats/format-error.ts";
import { NPY_TENSOR, openNpy } from "../../../../src/engine/dictionaries/formats/npy.ts";
import { npyBytes } from "../../../support/npy-bytes.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const folder = temporaryFolder();
let files = 0;

async function read(bytes: Uint8Array): Promise<{ shape: readonly number[]; data: Float32Array }> {
  const path = join(folder, `${files++}.npy`);
  writeFileSync(path, bytes);
  const file = await openNpy(path);
  try {
    return { shape: file.tensors.get(NPY_TENSOR)!.shape, data: await file.readFloats(NPY_TENSOR) };
  } finally {
    await file.close();
  }
}

const floats = (count: number): fc.Arbitrary<number[]> =>
  fc.array(fc.float({ noNaN: true }), { minLength: count, maxLength: count });
const arrays = fc
  .array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 })
  .chain((shape) => floats(shape.reduce((a, b) => a * b, 1)).map((data) => ({ shape, data })));

describe("a .npy file", () => {
  it("is read as it was written, in either order and every version", async () => {
    await fc.assert(
      fc.asyncProperty(arrays, fc.constantFrom(1, 2, 3), fc.boolean(), async ({ shape, data }, version, fortran) => {
        const { shape: found, data: read_ } = await read(npyBytes(shape, data, { version, fortran }));
        expect(found).toEqual(shape);
        expect([...read_]).toEqual(data);
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  it("is read in double and in half precision", async () => {
    const data = [0, -1.5, 2 ** -14, 65504];
    for (const dtype of ["<f8", "<f2"] as const) {
      expect([...(await read(npyBytes([2, 2], data, { dtype }))).data]).toEqual(data);
    }
  });

  it("cut short or changed in any byte ends in a fault of the format, or in an array of the size it claims", async () => {
    const whole = npyBytes(
      [3, 4],
      Array.from({ length: 12 }, (_, i) => i),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), async (at, byte, cut) => {
        const bytes = cut ? whole.slice(0, at) : whole.with(at, byte);
        const outcome = await read(bytes).catch((error: unknown) => error as Error);
        if (outcome instanceof Error) {
          expect(outcome).toBeInstanceOf(FormatError);
          return;
        }
        expect(cut).toBe(false);
        expect(outcome.data.length).toBe(outcome.shape.reduce((a, b) => a * b, 1));
      }),
      { seed: 2, numRuns: 200 },
    );
  });

  it.each([
    ["|O", /pickled Python objects/],
    [">f4", /<f8, <f4 and <f2 are read\. Save array\.astype\(numpy\.float32\)\.$/],
    ["<i8", /is of type <i8.*Save array\.astype\(numpy\.float32\)\.$/],
    // numpy saves ml_dtypes' bfloat16 so, and gives raw bytes back, of which astype fails.
    ["<V2", /likely bfloat16\..*numpy\.load\(path\)\.view\(ml_dtypes\.bfloat16\).*astype\(numpy\.float32\)/],
    // astype would drop the imaginary part.
    ["<c8", /is of type <c8.*Save an array of floating-point numbers\.$/],
  ])("of type %s is refused with what to do", async (dtype, said) => {
    await expect(read(npyBytes([1], [0], { dtype }))).rejects.toThrow(said);
  });

  it.each(["descr", "fortran_order", "shape"])("whose header holds %s twice is refused", async (key) => {
    const entries = { descr: "'<f4'", fortran_order: "False", shape: "(2, 2)" };
    const text = Object.entries({ ...entries, again: entries[key as keyof typeof entries] })
      .map(([name, value]) => `'${name === "again" ? key : name}': ${value}`)
      .join(", ");
    const header = Buffer.from(`{${text}, }`.padEnd(117) + "\n", "latin1");
    const length = Buffer.from(Uint16Array.of(header.length).buffer);
    const path = join(folder, `twice-${key}.npy`);
    writeFileSync(path, Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), length, header, Buffer.alloc(16)]));
    await expect(openNpy(path)).rejects.toThrow(`its header holds ${key} twice.`);
  });

  it("that is a git-lfs pointer, a web page or a device is named as one", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    await expect(read(Buffer.from(pointer))).rejects.toThrow(/is a git-lfs pointer.*git lfs pull/);
    await expect(read(Buffer.from("<!doctype html>\n"))).rejects.toThrow(/is a web page/);
    await expect(openNpy("/dev/zero")).rejects.toThrow("/dev/zero: is not a plain file");
  });

  it("of a shape beyond any file is refused before memory is taken", async () => {
    await expect(read(npyBytes([2 ** 40, 2 ** 20], []))).rejects.toThrow(/invalid shape/);
    await expect(read(npyBytes([2 ** 40], []))).rejects.toThrow(/ends at/);
  });
});

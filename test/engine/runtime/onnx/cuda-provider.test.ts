import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  CUDA_PROVIDER_FILES,
  type CudaProvider,
  cudaFault,
  inspectCudaProvider,
  versionInside,
} from "../../../../src/engine/runtime/onnx/cuda-provider.ts";
import { temporaryFolder } from "../../../support/temporary-folder.ts";

const folder = temporaryFolder();
let files = 0;

function library(...pieces: (string | Buffer)[]): string {
  const file = join(folder, `${files++}.so`);
  writeFileSync(file, Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
  return file;
}

describe("versionInside", () => {
  it("finds a version that stands as a C string of its own", async () => {
    expect(await versionInside(library("\x7fELF", "\0", "1.30.0", "\0", "more"), "1.30.0")).toBe("1.30.0");
  });

  it("does not take part of a longer string for it", async () => {
    expect(await versionInside(library("\0onnx 1.30.0\0", "\x001.30.0-rc1\0", "\x001.30\0"), "1.30.0")).toBeNull();
  });

  it("prefers the one expected, and tells another where that is all there is", async () => {
    expect(await versionInside(library("\x001.2.13\0", "\x001.30.0\0"), "1.30.0")).toBe("1.30.0");
    expect(await versionInside(library("\x001.29.0\0"), "1.30.0")).toBe("1.29.0");
    expect(await versionInside(library("nothing"), "1.30.0")).toBeNull();
  });

  it("finds one that lies across two reads of the file", async () => {
    const read = 8 << 20;
    for (let before = 1; before <= 7; before++) {
      const file = library(Buffer.alloc(read - before, "x"), "\x001.30.0\0", "x");
      expect(await versionInside(file, "1.30.0"), `${before} bytes before the end`).toBe("1.30.0");
    }
  });
});

describe("inspectCudaProvider", () => {
  it("knows the binding's version, and finds nothing usable without a matching provider", async () => {
    const require = createRequire(import.meta.url);
    const { version } = require("onnxruntime-node/package.json") as { version: string };
    const provider = await inspectCudaProvider();
    expect(provider.bindingVersion).toBe(version);
    expect(provider.usable).toBe(provider.missing.length === 0 && provider.providerVersion === version);
  });
});

describe("cudaFault", () => {
  const provider: CudaProvider = {
    bindingVersion: "1.30.0",
    folder: "/binding",
    missing: [],
    providerVersion: "1.30.0",
    usable: true,
  };

  it("is none where the files are in order", () => {
    expect(cudaFault(provider)).toBeNull();
  });

  it.each<[string, Partial<CudaProvider>, RegExp]>([
    [
      "no binding for the platform",
      { folder: null, missing: CUDA_PROVIDER_FILES },
      /^onnxruntime-node 1\.30\.0 ships no binding for /,
    ],
    [
      "no provider",
      { missing: CUDA_PROVIDER_FILES, providerVersion: null },
      /1\.30\.0 is not installed; "pursuit doctor" says how/,
    ],
    [
      "a provider of another version",
      { providerVersion: "1.29.0" },
      /in \/binding is of version 1\.29\.0, the binding of 1\.30\.0; only equal/,
    ],
    ["a provider that does not say", { providerVersion: null }, /is of version unknown/],
  ])("says in one sentence what to do about %s", (_what, found, sentence) => {
    expect(cudaFault({ ...provider, usable: false, ...found })).toMatch(sentence);
  });
});

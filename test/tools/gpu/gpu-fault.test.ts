import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import type { CudaProvider } from "../../../src/engine/runtime/onnx/cuda-provider.ts";
import { gpuFault } from "../../../tools/gpu/gpu-fault.ts";

const PROVIDER: CudaProvider = {
  bindingVersion: "1.30.0",
  folder: "somewhere",
  missing: [],
  providerVersion: "1.30.0",
  usable: true,
};

describe("tools/gpu", () => {
  it("refuses without a GPU, and with one but no provider; else it goes on", () => {
    expect(gpuFault(null, PROVIDER)).toContain("no NVIDIA GPU");
    const bare = { ...PROVIDER, missing: ["libonnxruntime_providers_cuda.so"], providerVersion: null, usable: false };
    expect(gpuFault("NVIDIA H100", bare)).toMatch(/GPU \(NVIDIA H100\), but the CUDA provider .* is not installed/);
    expect(gpuFault("NVIDIA H100", PROVIDER)).toBeNull();
  });

  it("refuses as a script, by exit code and in words, before it looks for anything else", () => {
    // Nothing on the path but what it needs to get that far, so there is no nvidia-smi, whatever the machine has.
    const { status, stderr } = spawnSync("/bin/bash", ["tools/gpu/run.sh", "no-such-python"], {
      encoding: "utf8",
      env: { PATH: "/nowhere" },
    });
    expect(status).toBe(1);
    expect(stderr).toContain("no NVIDIA GPU");
  });
});

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // onnxruntime-node has crashed when several threads of one process load it at once, so workers are processes.
    pool: "forks",
    // A worker runs one file after another and loads what they share once.
    isolate: false,
    // One more than two cores: some tests wait for time-outs and for processes to end.
    maxWorkers: 3,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    env: { ORT_DISABLE_TELEMETRY: "1" },
  },
});

import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { createArena, scatterIntoShards } from "../../../../src/engine/runtime/kernel/arena.ts";
import { LANES, type LoopThreads, startPursuitThreads } from "../../../../src/engine/runtime/kernel/loop-threads.ts";
import { compilePursuitKernel } from "../../../../src/engine/runtime/kernel/pursuit-kernel.ts";
import { createRowJob, type RowJob } from "../../../../src/engine/runtime/kernel/row-job.ts";
import { createColumns } from "../../../../src/engine/runtime/sessions/prepare-rows.ts";
import { takeDescriptors } from "../../../support/take-descriptors.ts";
import { normals } from "../../../support/seeded.ts";

const THREADS = 3;
const ROWS = 64;
const M = 4096;
const D = 16;

const arena = createArena({ d: D, m: M, lanes: LANES * THREADS, slots: ROWS, gram: true });
const correlations = normals(ROWS * M, 1);
const module = compilePursuitKernel();
const startThreads = (): Promise<LoopThreads<RowJob>> => {
  const gain = new Float32Array(M).fill(1);
  return startPursuitThreads({ module, arena, gain }, THREADS);
};
let threads: LoopThreads<RowJob>;
beforeAll(async () => {
  threads = await startThreads();
});
afterAll(() => threads.close());

const makeJob = (): RowJob => {
  const columns = createColumns(ROWS, { inputNorm: "none", residualThreshold: 0 });
  columns.maxAtoms.fill(32);
  columns.energy.fill(1e9);
  const [rows] = arena.rows;
  const pursuit = { kind: "matching_pursuit", score: "absolute", reselect: "forbid" } as const;
  return createRowJob(columns, 0, ROWS, {
    rows,
    residualWidth: 0,
    prefetch: false,
    traced: false,
    gram: true,
    pursuit,
  });
};

const place = (ready: (count: number) => void): void => {
  for (let i = 0; i < ROWS; i++) {
    const row = correlations.subarray(i * M, (i + 1) * M);
    scatterIntoShards(arena, row, (shard) => shard.correlations + 4 * shard.width * i);
    ready(i + 1);
  }
};

it("leaves no thread at work on a job whose placing failed", () => {
  const expected = makeJob();
  threads.run(expected, true, place);
  for (let round = 0; round < 20; round++) {
    const failed = (): void =>
      threads.run(makeJob(), true, (ready) => {
        place(ready);
        throw new RangeError("no memory");
      });
    expect(failed).toThrow("no memory");
    const job = makeJob();
    threads.run(job, true, place);
    expect(job.indices).toEqual(expected.indices);
    expect(job.entries).toEqual(expected.entries);
  }
});

it("works with the threads that the system grants, and says how many are missing", async () => {
  const expected = makeJob();
  threads.run(expected, true, place);
  const said = vi.spyOn(console, "error").mockImplementation(() => {});
  const lift = await takeDescriptors(process.pid);
  const [alone] = await Promise.allSettled([startThreads()]);
  await lift();
  if (alone.status === "rejected") throw alone.reason;
  expect(said).toHaveBeenCalledWith(expect.stringMatching(/^0 of 2 helping threads could be started: .*EMFILE/));
  said.mockRestore();
  const job = makeJob();
  alone.value.run(job, true, place);
  expect(job.indices).toEqual(expected.indices);
  await alone.value.close();
});

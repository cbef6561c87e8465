/** POST /v1/transfer over the application, with a fake engine: what is asked of the engine, and what comes back. */
import { npyBytes } from "../support/npy-bytes.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EngineError } from "../../src/engine/core/errors.ts";
import { testApp, type TestApp } from "../support/test-app.ts";

let running: TestApp;
beforeAll(async () => {
  running = await testApp();
});
afterAll(() => running.app.close());

const transfer = (payload: object) => running.app.inject({ method: "POST", url: "/v1/transfer", payload });

describe("POST /v1/transfer", () => {
  it("answers rows of the second dictionary, and the first one's codes", async () => {
    const answer = await transfer({ from: "small", to: "small", inputs: [[2, 0]] });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.json()).toEqual({
      outputs: [[0.1, 0.1]],
      to: { dictionary: "small", sha256: "cd".repeat(32), input_norm: "none" },
      from: {
        dictionary: "small",
        sha256: "ab".repeat(32),
        codes: [
          {
            indices: [0],
            values: [2],
            atoms: 1,
            steps: 1,
            residual_norm: 0.5,
            relative_error: 0.25,
            stop: "max_atoms",
          },
        ],
      },
    });
    expect(running.engine.transfers.at(-1)).toMatchObject({ encoder: { kind: "orthogonal" }, budget: {} });
  });

  it("adds the summary of the first dictionary's codes where it is asked for", async () => {
    const answer = await transfer({ from: "small", to: "small", inputs: [[2, 0]], include: ["summary"] });
    expect(answer.json()).toMatchObject({ from: { mean_atoms: 1, explained_variance: null } });
  });

  it("passes budgets and the encoder on", async () => {
    await transfer({ from: "small", to: "small", inputs: [[2, 0]], budget: { max_atoms: 3 }, encoder: "own" });
    expect(running.engine.transfers.at(-1)).toMatchObject({ budget: { maxAtoms: 3 } });
    expect(running.engine.transfers.at(-1)).not.toHaveProperty("encoder");
  });

  it("takes a .npy file, the other fields in the query", async () => {
    const answer = await running.app.inject({
      method: "POST",
      url: "/v1/transfer?from=small&to=small&max_atoms=3",
      headers: { "content-type": "application/x-npy" },
      payload: Buffer.from(npyBytes([2, 2], [1, 2, 3, 4])),
    });
    expect(answer.statusCode).toBe(200);
    expect(running.engine.transfers.at(-1)!.rows.data).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  it.each(["from", "to", "encoder"])("refuses %s in the query beside a body of fields", async (field) => {
    const answer = await running.app.inject({
      method: "POST",
      url: `/v1/transfer?${field}=small`,
      payload: { from: "small", to: "small", inputs: [[2, 0]] },
    });
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toMatchObject({ detail: expect.stringContaining(`${field} is in the query`) });
  });

  it("takes rows as bytes, the other fields in the query", async () => {
    const answer = await running.app.inject({
      method: "POST",
      url: "/v1/transfer?from=small&to=small&dtype=float32&rows=2&max_atoms=3&encoder=own",
      headers: { "content-type": "application/octet-stream" },
      payload: Buffer.from(Float32Array.of(1, 2, 3, 4).buffer),
    });
    expect(answer.statusCode).toBe(200);
    const { encoder, budget, rows } = running.engine.transfers.at(-1)!;
    expect({ encoder, budget, rows: [...rows.data] }).toEqual({
      encoder: undefined,
      budget: { maxAtoms: 3 },
      rows: [1, 2, 3, 4],
    });
  });

  it.each([
    [{ to: "small", inputs: [[1, 2]] }, 422, "PURSUIT_INVALID_FIELD"],
    [{ from: "small", inputs: [[1, 2]] }, 422, "PURSUIT_INVALID_FIELD"],
    [{ from: "small", to: "small" }, 422, "PURSUIT_INVALID_FIELD"],
    [{ from: "small", to: "small", inputs: [[1, 2]], encoder: "plain" }, 422, "PURSUIT_INVALID_FIELD"],
    [{ from: "small", to: "small", inputs: [[1, 2]], extra: 1 }, 422, "PURSUIT_INVALID_FIELD"],
    [{ from: "no", to: "small", inputs: [[1, 2]] }, 404, "PURSUIT_DICTIONARY_NOT_FOUND"],
    [{ from: "small", to: "no", inputs: [[1, 2]] }, 404, "PURSUIT_DICTIONARY_NOT_FOUND"],
  ])("refuses %j", async (payload, status, code) => {
    const answer = await transfer(payload);
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([status, code]);
  });

  it("answers what the engine refuses as its problem", async () => {
    running.engine.failure = new EngineError("PURSUIT_NOT_TRANSFERABLE", "A has 3 atoms and B has 4.");
    const answer = await transfer({ from: "small", to: "small", inputs: [[1, 2]] });
    running.engine.failure = null;
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([422, "PURSUIT_NOT_TRANSFERABLE"]);
  });
});

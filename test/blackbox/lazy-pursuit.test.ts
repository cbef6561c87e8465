/** PURSUIT_LOAD=lazy: many one-pass dictionaries in room for five processes, encoded by their own encoders and by pursuit. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeDictionary } from "../../src/engine/dictionaries/importing/write-dictionary.ts";
import type { DictionaryWeights } from "../../src/engine/core/dictionary-weights.ts";
import type { OnePassSettings } from "../../src/engine/encoders/one-pass.ts";
import { FULL } from "../support/full.ts";
import { type RunningServer, startServer } from "../support/running-server.ts";
import { random } from "../support/seeded.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

const MiB = 2 ** 20;
const D = 4;
const [DICTIONARIES, REQUESTS, CLIENTS] = FULL ? [26, 120, 8] : [6, 10, 4];
/** Beside the server's 129 MiB: room for five processes of 64 MiB. */
const LIMIT = (129 + 5 * 70) * MiB;

const axes = (factor: number): Float32Array =>
  Float32Array.from({ length: D * D }, (_, at) => (at % (D + 1) === 0 ? factor : 0));

/** A ReLU dictionary whose own code of a row is 2 · i times it; a pursuit's is i times it, as its atoms are 1 / i long. */
function dictionary(i: number): DictionaryWeights<OnePassSettings> {
  return {
    kind: "relu",
    role: "autoencoder",
    dIn: D,
    d: D,
    m: D,
    atoms: axes(1 / i),
    center: null,
    settings: { center: false, subtractCenter: false, inputNorm: "none" },
    tensors: { encoder_weight: axes(2 * i), encoder_bias: new Float32Array(D) },
  };
}

describe("with PURSUIT_LOAD=lazy and one-pass dictionaries", () => {
  const models = temporaryFolder();
  let server: RunningServer;
  beforeAll(async () => {
    for (let i = 1; i <= DICTIONARIES; i++) {
      const understood = { source: "a test", weights: dictionary(i), origins: {}, notes: [], provenance: {} };
      await writeDictionary(understood, { modelsDir: models, id: `d${i}`, force: false });
    }
    server = await startServer(models, temporaryFolder(), {
      PURSUIT_LOAD: "lazy",
      PURSUIT_MEMORY_LIMIT: String(LIMIT),
      PURSUIT_GRAM_LIMIT: "0",
      PURSUIT_MAX_BYTES_IN_FLIGHT: String(MiB),
      PURSUIT_MAX_WAIT_MS: "20000",
    });
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });

  /** The value of the row's only number, asked for again whenever the server says so. */
  const ask = async (i: number, value: number, pursuit: boolean): Promise<number> => {
    const encoder = pursuit ? { encoder: "matching_pursuit" } : {};
    const body = JSON.stringify({ inputs: [[value, 0, 0, 0]], budget: { max_atoms: 1 }, ...encoder });
    for (;;) {
      const answer = await fetch(`${server.base}/v1/dictionaries/d${i}/encode`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
      });
      const said = (await answer.json()) as { codes: { values: number[] }[] };
      if (answer.status !== 503) {
        expect([answer.status, said]).toEqual([200, expect.objectContaining({ dictionary: `d${i}` })]);
        return said.codes[0]!.values[0]!;
      }
      expect(answer.headers.get("retry-after")).toMatch(/^[1-9]\d*$/);
    }
  };

  it("unloads idle dictionaries for a pursuit's process", async () => {
    for (let i = 1; i <= 4; i++) expect(await ask(i, 3, false)).toBeCloseTo(6 * i, 4);
    for (const i of [4, 3, 2, 1]) expect(await ask(i, 3, true)).toBeCloseTo(3 * i, 4);
    expect(server.log()).toMatch(/is unloaded to make room/);
  });

  it(
    "answers mixed traffic over all of them, each by its own dictionary and encoder, and loses nothing",
    { timeout: 300_000 },
    async () => {
      const { next } = random(11);
      const requests = Array.from({ length: REQUESTS }, (_, n) => ({
        i: 1 + Math.floor(next() * DICTIONARIES),
        value: n + 1,
        pursuit: next() < 0.4,
      }));
      let at = 0;
      let answered = 0;
      const client = async (): Promise<void> => {
        for (let request = requests[at++]; request !== undefined; request = requests[at++]) {
          const { i, value, pursuit } = request;
          expect(await ask(i, value, pursuit)).toBeCloseTo((pursuit ? 1 : 2) * i * value, 2);
          answered++;
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
      expect(answered).toBe(REQUESTS);
      // A process counts 64 MiB while it loads, and somewhat less from then on.
      expect(server.runtimes().length).toBeLessThanOrEqual(6);
    },
  );
});

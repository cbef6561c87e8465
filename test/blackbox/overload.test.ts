/** The built server with more to do than it can: who is shortened, who is refused, and that it is as it was afterwards. */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readExamples } from "../../src/engine/dictionaries/examples.ts";
import { type Encoded, get, post } from "../support/client.ts";
import { killedAfterEach } from "../support/kill-after.ts";
import { type RunningServer, runtimeOf, startServer } from "../support/running-server.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { until } from "../support/until.ts";

const KINDS = { pursuit: "minilm-wordnet-mp", topk: "minilm-wordnet-topk" } as const;
const D = 384;
const models = temporaryFolder();
let server: RunningServer;
let inputs: object;
let count: number;

beforeAll(async () => {
  for (const id of Object.values(KINDS)) {
    cpSync(fileURLToPath(new URL(`../../models/${id}`, import.meta.url)), join(models, id), { recursive: true });
  }
  const examples = (await readExamples(join(models, KINDS.pursuit), D))!;
  count = Math.min(64, examples.texts.length);
  const data = Buffer.from(examples.rows.buffer, examples.rows.byteOffset, count * D * 4).toString("base64");
  inputs = { data, dtype: "float32", shape: [count, D] };
  // Any wait at all is too long.
  server = await startServer(models, temporaryFolder(), { PURSUIT_DEGRADE_MS: "1", PURSUIT_MAX_WAIT_MS: "600000" });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const encode = (id: string, body: object): Promise<Encoded> =>
  post(server.base, `/v1/dictionaries/${id}/encode`, { inputs, ...body });
const together = (id: string, body: object): Promise<Encoded[]> =>
  Promise.all(Array.from({ length: 24 }, () => encode(id, body)));

describe("on_overload", () => {
  it("degrade shortens rows to what a smaller budget gives, exactly, and says which", async () => {
    const budget = { max_atoms: 64, tolerance: 0.3 };
    const alone = await encode(KINDS.pursuit, { budget, on_overload: "degrade" });
    expect(alone.codes.map(({ stop }) => stop)).not.toContain("degraded");
    const answers = await together(KINDS.pursuit, { budget, on_overload: "degrade" });
    const shortened = answers.flatMap(({ codes }) => codes.filter(({ stop }) => stop === "degraded"));
    expect(shortened.length).toBeGreaterThan(0);
    const prefixes = new Map<number, Encoded>();
    for (const { codes } of answers) {
      expect(codes).toHaveLength(count);
      for (const [row, code] of codes.entries()) {
        if (code.stop !== "degraded") {
          // Not cut short: what it would have been alone.
          expect(code.stop).toBe(alone.codes[row]!.stop);
          expect(code.indices).toEqual(alone.codes[row]!.indices);
          continue;
        }
        expect(code.steps).toBeGreaterThanOrEqual(1);
        expect(code.steps).toBeLessThan(64);
        if (!prefixes.has(code.steps)) {
          const smaller = { ...budget, max_atoms: code.steps };
          prefixes.set(code.steps, await encode(KINDS.pursuit, { budget: smaller }));
        }
        const prefix = prefixes.get(code.steps)!.codes[row]!;
        expect({ ...code, stop: "max_atoms" }).toMatchObject({
          indices: prefix.indices,
          steps: prefix.steps,
          stop: prefix.stop,
        });
        for (const [k, value] of code.values.entries()) expect(value).toBeCloseTo(prefix.values[k]!, 5);
      }
    }
    const metrics = await (await fetch(`${server.base}/metrics`)).text();
    const counted = /^pursuit_stops_total\{dictionary="minilm-wordnet-mp",stop="degraded"\} (\d+)$/m.exec(metrics)?.[1];
    expect(Number(counted)).toBe(shortened.length);
  });

  it("reject shortens nothing, and is what is done where nothing is said", async () => {
    for (const said of [{ on_overload: "reject" }, {}]) {
      for (const { codes } of await together(KINDS.pursuit, { budget: { max_atoms: 32 }, ...said })) {
        expect(codes.every(({ steps, stop }) => steps === 32 && stop === "max_atoms")).toBe(true);
      }
    }
  });

  it("degrade shortens nothing of an encoder that makes one pass", async () => {
    for (const { codes } of await together(KINDS.topk, { budget: { max_atoms: 16 }, on_overload: "degrade" })) {
      expect(codes.every(({ stop }) => stop === "max_atoms")).toBe(true);
    }
  });

  it("leaves no row behind", async () => {
    const leaving = Array.from({ length: 20 }, () => {
      const gone = new AbortController();
      const answer = fetch(`${server.base}/v1/dictionaries/${KINDS.pursuit}/encode`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ inputs, budget: { max_atoms: 64 } }),
        signal: gone.signal,
      }).then(
        (reply) => reply.status,
        () => "gone",
      );
      return { gone, answer };
    });
    // Some run and some wait: the first has an answer when the others are left.
    await leaving[0]!.answer;
    for (const { gone } of leaving) gone.abort();
    await Promise.all(leaving.map(({ answer }) => answer));
    await encode(KINDS.pursuit, { budget: { max_atoms: 4 } });
    const line = new RegExp(`^pursuit_queue_rows\\{dictionary="${KINDS.pursuit}"\\} (\\d+)$`, "m");
    const rows = async (): Promise<number> =>
      Number(line.exec(await (await fetch(`${server.base}/metrics`)).text())![1]);
    // Hang-ups are seen when the sockets' ends arrive, all of them soon.
    while ((await rows()) > 0) await get(server.base, "/health/live");
    expect(await rows()).toBe(0);
  });
});

describe("PURSUIT_READY_WAIT_MS", () => {
  const running = killedAfterEach();

  it("takes a server out of its load balancer while requests would wait longer, and puts it back", async () => {
    const limited = await startServer(models, temporaryFolder(), {
      PURSUIT_READY_WAIT_MS: "1",
      PURSUIT_MAX_WAIT_MS: "600000",
      PURSUIT_WATCHDOG_MS: "600000",
    });
    running.push(limited);
    const ready = async (path = "/health/ready"): Promise<readonly [number, string]> => {
      const answer = await fetch(`${limited.base}${path}`);
      return [answer.status, await answer.text()];
    };
    await until(async () => (await ready())[0] === 200);
    const runtime = await runtimeOf(limited, KINDS.pursuit);
    // Nothing ends before the readiness has been read.
    process.kill(runtime, "SIGSTOP");
    const waiting = Array.from({ length: 24 }, () =>
      post<Encoded>(limited.base, `/v1/dictionaries/${KINDS.pursuit}/encode`, { inputs, budget: { max_atoms: 64 } }),
    );
    await until(async () => (await ready())[0] === 503);
    const reason = new RegExp(
      `${KINDS.pursuit} would wait about \\d+ ms; the limit is 1 ms \\(PURSUIT_READY_WAIT_MS\\)`,
    );
    for (const path of ["/health/ready", "/v2/health/ready"]) {
      expect(await ready(path)).toEqual([503, expect.stringMatching(reason)]);
    }
    const metrics = await (await fetch(`${limited.base}/metrics`)).text();
    expect(metrics).toMatch(/^pursuit_ready 0$/m);
    expect((await ready("/health/live"))[0]).toBe(200);
    process.kill(runtime, "SIGCONT");
    for (const { codes } of await Promise.all(waiting)) expect(codes).toHaveLength(count);
    await until(async () => (await ready())[0] === 200);
    expect(await limited.stop()).toBe(0);
  });
});

import { type Codec, writeRequest } from "../client/codecs.ts";
import { type ExpectedCodes, expectedCodes } from "../client/expected-codes.ts";
import { type AnsweredCode, readAnswer } from "../client/read-answer.ts";
import { readRowPool, type RowPool } from "../client/row-pool.ts";
import { STEPS_16 } from "../scenarios/peak.ts";
import { random } from "../../test/support/seeded.ts";

/** Milliseconds after which a request that clients would repeat counts as lost. */
const PATIENCE = 120_000;

const CODECS: readonly Codec[] = ["octets", "json", "base64"];

/** What a spell of traffic came to. */
export interface TrafficTally {
  /** Requests answered 200 in the end. */
  answered: number;
  rows: number;
  /** Never answered 200, though repeated as told. */
  lost: number;
  /** Rows whose code is not that of the row alone, nor undecided. */
  wrong: number;
  /** Wrong rows whose code is that of another row. */
  crossed: number;
  undecided: number;
  /** Answers 429 and 503, each with a time to come back. */
  deferred: number;
  /** Connections that the server closed or refused; the request was repeated. */
  broken: number;
  /** Other statuses → how often. */
  readonly others: Map<number, number>;
  /** Milliseconds from the first try of a request to its answer 200, at most. */
  longest: number;
  readonly faults: string[];
}

export const emptyTally = (): TrafficTally => ({
  answered: 0,
  rows: 0,
  lost: 0,
  wrong: 0,
  crossed: 0,
  undecided: 0,
  deferred: 0,
  broken: 0,
  others: new Map(),
  longest: 0,
  faults: [],
});

/** Rows of a dictionary and their codes. */
interface Source {
  readonly pool: RowPool;
  readonly expected: ExpectedCodes;
}

/**
 * Mixed traffic: clients that encode 1 to 32 rows by either dictionary in any codec, one request after another, and repeat a refused
 * request when they were told to. Every answer is compared with the codes that its rows give alone.
 */
export class Traffic {
  readonly #base: string;
  readonly #sources: readonly Source[];
  readonly #state = { over: false };
  #clients: Promise<void>[] = [];
  #tally = emptyTally();

  private constructor(base: string, sources: readonly Source[]) {
    this.#base = base;
    this.#sources = sources;
  }

  /** Asks for the codes of each row alone. */
  static async prepare(base: string, modelsDir: string, ids: readonly string[]): Promise<Traffic> {
    const sources: Source[] = [];
    for (const id of ids) {
      const pool = await readRowPool(modelsDir, id);
      sources.push({ pool, expected: await expectedCodes(base, pool, STEPS_16) });
    }
    return new Traffic(base, sources);
  }

  /** @param rate requests a second of all clients together, at most; default: each sends as soon as it is answered */
  start(clients: number, rate = Infinity): void {
    this.#state.over = false;
    this.#clients = Array.from({ length: clients }, (_, i) => this.#run(i + 1, (clients / rate) * 1000));
  }

  /** Resolves when the last answers are there. @returns what there was since the last call */
  async stop(): Promise<TrafficTally> {
    this.#state.over = true;
    await Promise.all(this.#clients);
    return this.take();
  }

  /** Starts a new tally. @returns the one before */
  take(): TrafficTally {
    const tally = this.#tally;
    this.#tally = emptyTally();
    return tally;
  }

  /** Resolves when so many further requests are answered. */
  async answered(count: number): Promise<void> {
    const until = this.#tally.answered + count;
    while (this.#tally.answered < until && !this.#state.over) await pause(20);
  }

  /** @param interval milliseconds from one request to the next, at least */
  async #run(seed: number, interval: number): Promise<void> {
    const { integer } = random(seed);
    for (let due = performance.now(); !this.#state.over; due += interval) {
      const early = due - performance.now();
      if (early > 0) await pause(early);
      else due = performance.now();
      const source = this.#sources[integer(this.#sources.length)]!;
      const from = integer(source.pool.count);
      const chosen = Array.from({ length: 1 + integer(32) }, (_, k) => (from + k) % source.pool.count);
      await this.#request(source, chosen, CODECS[integer(CODECS.length)]!);
    }
  }

  async #request({ pool, expected }: Source, chosen: readonly number[], codec: Codec): Promise<void> {
    const { path, headers, body } = writeRequest(pool, chosen, codec, { budget: STEPS_16 });
    const started = performance.now();
    const tally = this.#tally;
    for (;;) {
      if (performance.now() - started > PATIENCE) {
        tally.lost++;
        return;
      }
      let answer: Response;
      let bytes: Buffer;
      try {
        answer = await fetch(this.#base + path, { method: "POST", headers, body });
        bytes = Buffer.from(await answer.arrayBuffer());
      } catch {
        tally.broken++;
        await pause(50);
        continue;
      }
      if (answer.status === 429 || answer.status === 503) {
        tally.deferred++;
        const milliseconds = Number(
          answer.headers.get("retry-after-ms") ?? Number(answer.headers.get("retry-after")) * 1000,
        );
        await pause(Math.min(Math.max(milliseconds, 10), 1000));
        continue;
      }
      if (answer.status !== 200) {
        tally.others.set(answer.status, (tally.others.get(answer.status) ?? 0) + 1);
        if (tally.faults.length < 5) tally.faults.push(`${answer.status}: ${bytes.toString("utf8").slice(0, 300)}`);
        tally.lost++;
        return;
      }
      tally.answered++;
      tally.longest = Math.max(tally.longest, performance.now() - started);
      this.#judge(
        tally,
        expected,
        pool,
        chosen,
        readAnswer({ contentType: answer.headers.get("content-type")!, body: bytes }),
      );
      return;
    }
  }

  #judge(
    tally: TrafficTally,
    expected: ExpectedCodes,
    pool: RowPool,
    chosen: readonly number[],
    codes: readonly AnsweredCode[],
  ): void {
    tally.rows += chosen.length;
    for (const [k, row] of chosen.entries()) {
      const code = codes[k];
      const verdict = code === undefined ? "wrong" : expected.judge(row, code);
      if (verdict === "undecided") tally.undecided++;
      if (verdict !== "wrong") continue;
      tally.wrong++;
      if (
        code !== undefined &&
        Array.from({ length: pool.count }, (_, i) => i).some((i) => expected.judge(i, code) === "same")
      )
        tally.crossed++;
      if (tally.faults.length < 5) tally.faults.push(`row ${row} of ${pool.id} differs`);
    }
  }
}

export const pause = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds));

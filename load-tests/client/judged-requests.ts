import { type Codec, type Options, writeRequest, type WrittenOnce } from "./codecs.ts";
import type { Answer, Post } from "./drive.ts";
import type { ExpectedCodes } from "./expected-codes.ts";
import { type AnsweredCode, readAnswer } from "./read-answer.ts";
import type { RowPool } from "./row-pool.ts";

/**
 * Bytes of answers kept for later at most; over that they are judged at once, in the midst of the load, which holds the
 * clients up for seconds. Only what differs from the answer before it to the same request is kept.
 */
const KEPT_BYTES = 384 * 2 ** 20;

/** What the answers of a scenario were. */
export interface Tally {
  rows: number;
  undecided: number;
  wrong: number;
  degraded: number;
  /** The first few that were wrong, in words. */
  readonly faults: string[];
}

export interface Judge {
  readonly tally: Tally;
  /** Requests of one connection: `count` different ones of `rows` rows each. */
  readonly posts: (request: {
    readonly pool: RowPool;
    readonly expected: ExpectedCodes;
    readonly connection: number;
    readonly count: number;
    readonly rows: number;
    readonly codec: Codec;
    readonly options: Options;
    readonly written: WrittenOnce;
    /** Called for each good code, when it is judged. */
    readonly onCode?: (code: AnsweredCode) => void;
  }) => Post[];
  /** Judges what was kept. Called between drives, so that judging takes no time from the server. */
  readonly settle: () => void;
}

export function createJudge(): Judge {
  const tally: Tally = { rows: 0, undecided: 0, wrong: 0, degraded: 0, faults: [] };
  const kept: Kept[] = [];
  let bytes = 0;
  const fault = (message: string, rows: number): void => {
    tally.wrong += rows;
    if (tally.faults.length < 5) tally.faults.push(message);
  };

  const settle = (): void => {
    for (const one of kept.splice(0)) {
      one.judged = true;
      judgeCodes(one);
    }
    bytes = 0;
  };

  const judgeCodes = ({ answer, times, chosen, expected, options, onCode }: Kept): void => {
    let codes: readonly AnsweredCode[];
    try {
      codes = readAnswer(answer);
    } catch (error) {
      return fault(`an answer cannot be read: ${String(error)}`, chosen.length * times);
    }
    if (codes.length !== chosen.length)
      return fault(`${codes.length} codes for ${chosen.length} rows`, chosen.length * times);
    for (const [k, code] of codes.entries()) {
      const shortened = code.stop === "degraded" && options.on_overload !== "degrade";
      const verdict = shortened ? "wrong" : expected.judge(chosen[k]!, code);
      tally.rows += times;
      if (code.stop === "degraded") tally.degraded += times;
      if (verdict === "undecided") tally.undecided += times;
      if (verdict === "wrong")
        fault(`row ${chosen[k]} of the pool, ${k} of ${chosen.length} in its request, differs`, times);
      for (let i = 0; i < times; i++) onCode?.(code);
    }
  };

  return {
    tally,
    settle,
    posts: ({ pool, expected, connection, count, rows, codec, options, written, onCode }) =>
      Array.from({ length: count }, (_, q) => {
        // Connections begin at rows of their own: an answer that belongs to another's request is not taken for right.
        const from = (connection * 7 + q * 61) % pool.count;
        const chosen = Array.from({ length: rows }, (_row, k) => (from + k) % pool.count);
        let last: Kept | null = null;
        return {
          ...written.of(from, () => writeRequest(pool, chosen, codec, options)),
          rows,
          judge: (answer) => {
            if (answer.status !== 200) return;
            if (last !== null && !last.judged && same(last.answer, answer)) {
              last.times++;
              return;
            }
            last = { answer, times: 1, judged: false, chosen, expected, options, onCode };
            kept.push(last);
            bytes += answer.body.length;
            if (bytes > KEPT_BYTES) settle();
          },
        };
      }),
  };
}

/** An answer that waits to be judged, and how often in a row its request got it, byte for byte. */
interface Kept {
  readonly answer: Answer;
  times: number;
  judged: boolean;
  /** The rows that were sent, by their places in the pool. */
  readonly chosen: readonly number[];
  readonly expected: ExpectedCodes;
  readonly options: Options;
  readonly onCode: ((code: AnsweredCode) => void) | undefined;
}

const same = (a: Answer, b: Answer): boolean => a.contentType === b.contentType && a.body.equals(b.body);

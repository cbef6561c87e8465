import { type Codec, type Options, writeRequest } from "./codecs.ts";
import type { Answer, Post } from "./drive.ts";
import type { ExpectedCodes } from "./expected-codes.ts";
import { type AnsweredCode, readAnswer } from "./read-answer.ts";
import type { RowPool } from "./row-pool.ts";

/** Bytes of answers kept for later at most; over that they are judged at once, in the midst of the load. */
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
    /** Called for each good code, when it is judged. */
    readonly onCode?: (code: AnsweredCode) => void;
  }) => Post[];
  /** Judges what was kept. Called between drives, so that judging takes no time from the server. */
  readonly settle: () => void;
}

export function createJudge(): Judge {
  const tally: Tally = { rows: 0, undecided: 0, wrong: 0, degraded: 0, faults: [] };
  const kept: (() => void)[] = [];
  let bytes = 0;
  const fault = (message: string, rows: number): void => {
    tally.wrong += rows;
    if (tally.faults.length < 5) tally.faults.push(message);
  };

  const settle = (): void => {
    for (const judge of kept.splice(0)) judge();
    bytes = 0;
  };

  const judgeCodes = (answer: Answer, rows: readonly number[], expected: ExpectedCodes, more: More): void => {
    let codes: readonly AnsweredCode[];
    try {
      codes = readAnswer(answer);
    } catch (error) {
      return fault(`an answer cannot be read: ${String(error)}`, rows.length);
    }
    if (codes.length !== rows.length) return fault(`${codes.length} codes for ${rows.length} rows`, rows.length);
    for (const [k, code] of codes.entries()) {
      const shortened = code.stop === "degraded" && more.options.on_overload !== "degrade";
      const verdict = shortened ? "wrong" : expected.judge(rows[k]!, code);
      tally.rows++;
      if (code.stop === "degraded") tally.degraded++;
      if (verdict === "undecided") tally.undecided++;
      if (verdict === "wrong") fault(`row ${rows[k]} of the pool, ${k} of ${rows.length} in its request, differs`, 1);
      more.onCode?.(code);
    }
  };

  return {
    tally,
    settle,
    posts: ({ pool, expected, connection, count, rows, codec, options, onCode }) =>
      Array.from({ length: count }, (_, q) => {
        // Connections begin at rows of their own: an answer that belongs to another's request is not taken for right.
        const from = (connection * 7 + q * 61) % pool.count;
        const chosen = Array.from({ length: rows }, (_row, k) => (from + k) % pool.count);
        return {
          ...writeRequest(pool, chosen, codec, options),
          rows,
          judge: (answer) => {
            if (answer.status !== 200) return;
            kept.push(() => judgeCodes(answer, chosen, expected, { options, onCode }));
            bytes += answer.body.length;
            if (bytes > KEPT_BYTES) settle();
          },
        };
      }),
  };
}

interface More {
  readonly options: Options;
  readonly onCode: ((code: AnsweredCode) => void) | undefined;
}

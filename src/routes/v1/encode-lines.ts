import type { Budget, RequestBudget } from "../../engine/core/budget.ts";
import type { RequestEncoder } from "../../engine/core/dictionary.ts";
import type { EncodeAnswer } from "../../engine/engine.ts";
import { EngineError } from "../../engine/core/errors.ts";
import type { Rows } from "../../engine/core/rows.ts";
import type { SparseCodes } from "../../engine/core/sparse-codes.ts";
import { budgetOf } from "./request-fields.ts";
import { type Fault, faultOf, problemLine } from "./problem-line.ts";
import type { AnswerLine, Line, Lines } from "../../codecs/lines.ts";
import type { RowHead } from "../../codecs/write-codes.ts";

/** What encodes the lines of one request, whatever they hold. */
export interface LineEncoder {
  readonly encode: (rows: Rows, budget: RequestBudget, encoder: RequestEncoder | undefined) => Promise<EncodeAnswer>;
  /** For lines that bring no budget of their own; null: the dictionary's default. */
  readonly budget: Budget | null;
  /** For lines that name none; undefined: the dictionary's own. */
  readonly encoder: RequestEncoder | undefined;
  readonly head: Omit<RowHead, "labels">;
  /** Texts of features; null where none are asked for. */
  readonly labels: ((answer: EncodeAnswer) => RowHead["labels"]) | null;
  readonly write: (codes: SparseCodes | null, head: RowHead, lines: readonly AnswerLine[]) => Promise<Uint8Array>;
}

/** Faults of rows: encoded one by one, all lines but those that have them are answered. */
const OF_ROWS: ReadonlySet<string> = new Set([
  "PURSUIT_BUDGET_OUT_OF_RANGE",
  "PURSUIT_NOT_FINITE",
  "PURSUIT_WRONG_WIDTH",
  "PURSUIT_RUNTIME_CRASHED",
  "PURSUIT_ANSWER_TOO_LARGE",
]);

/**
 * The answers to a group of lines, in their order: a code, or a problem in its place.
 * @throws what ends the stream: a dictionary that is gone, a server that closes, a fault of ours
 */
export async function encodeLines(group: Lines, encoder: LineEncoder): Promise<readonly Uint8Array[]> {
  const runs = runsOf(group, encoder.encoder);
  const answers = await Promise.all(runs.map(([run, by]) => encodeRun(run, by, encoder)));
  return answers.flat();
}

/** Lines that follow each other and have one encoder. A line with a fault goes with those before it. */
function runsOf(
  { rows, lines }: Lines,
  common: RequestEncoder | undefined,
): readonly (readonly [Lines, RequestEncoder | undefined])[] {
  const runs: [Lines, RequestEncoder | undefined][] = [];
  const last = { from: 0, row: 0, key: "" };
  let row = 0;
  const encoderOf = ({ encoder = common }: Line): RequestEncoder | undefined =>
    encoder === "own" ? undefined : encoder;
  const close = (to: number): void => {
    const part = lines.slice(last.from, to);
    const data = rows.data.subarray(last.row * rows.width, row * rows.width);
    const by = part.find(({ fault }) => fault === undefined);
    runs.push([{ rows: { ...rows, data, count: row - last.row }, lines: part }, by && encoderOf(by)]);
  };
  for (const [i, line] of lines.entries()) {
    if (line.fault !== undefined) continue;
    const key = JSON.stringify(encoderOf(line)) ?? "";
    if (row > 0 && key !== last.key) {
      close(i);
      last.from = i;
      last.row = row;
    }
    last.key = key;
    row++;
  }
  close(lines.length);
  return runs;
}

async function encodeRun(
  { rows, lines }: Lines,
  by: RequestEncoder | undefined,
  encoder: LineEncoder,
): Promise<readonly Uint8Array[]> {
  const { write, head, labels } = encoder;
  if (rows.count === 0) return [await write(null, { ...head, labels: null }, lines.map(answerOf))];
  try {
    const answer = await encoder.encode(rows, budgetsOf(lines, encoder.budget), by);
    const texts = labels?.(answer) ?? null;
    const { codes, pursuit } = answer;
    const about = { ...head, labels: texts, ...(pursuit && { encoder: pursuit }) };
    return [await write(codes, about, lines.map(answerOf))];
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    // Of all its rows at once: they had one time to be encoded in. The next lines are tried.
    if (error.code === "PURSUIT_TIMEOUT" || (OF_ROWS.has(error.code) && rows.count === 1)) {
      const fault = faultOf(error);
      return [
        await write(
          null,
          { ...head, labels: null },
          lines.map((line) => answerOf({ fault, ...line })),
        ),
      ];
    }
    if (!OF_ROWS.has(error.code)) throw error;
  }
  const answers: (readonly Uint8Array[])[] = [];
  let row = 0;
  for (const line of lines) {
    const from = row * rows.width;
    if (line.fault === undefined) row++;
    const data = rows.data.subarray(from, row * rows.width);
    answers.push(
      await encodeRun({ rows: { ...rows, data, count: data.length / rows.width }, lines: [line] }, by, encoder),
    );
  }
  return answers.flat();
}

/** One budget where no line has its own. */
function budgetsOf(lines: readonly Line[], common: Budget | null): RequestBudget {
  if (lines.every(({ budget }) => budget === undefined)) return common;
  return lines
    .filter(({ fault }) => fault === undefined)
    .map(({ budget }) => (budget === undefined ? common : budgetOf(budget)));
}

function answerOf({ line, id, fault }: Omit<Line, "fault"> & { readonly fault?: Fault }): AnswerLine {
  return { line, ...(id !== undefined && { id }), ...(fault && { error: problemLine(fault) }) };
}

import type { Budget, Encoder, Problem, SparseCode } from "./schema.ts";

/** A row of numbers, or a row with an id that its answer repeats, or with a budget of its own. */
export type Line =
  | ArrayLike<number>
  | {
      readonly input: ArrayLike<number>;
      readonly id?: string | number;
      readonly budget?: Budget;
      readonly encoder?: Encoder;
    };

/** A line's code, or what is wrong with it; `line` counts from 1. */
export type LineAnswer =
  | (SparseCode & { readonly id?: string | number; readonly error?: undefined })
  | { readonly error: Omit<Problem, "request_id">; readonly line: number; readonly id?: string | number };

/** Rows as lines of JSON, read no faster than they are sent. */
export function linesOf(lines: Iterable<Line> | AsyncIterable<Line>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const source = Symbol.asyncIterator in lines ? lines[Symbol.asyncIterator]() : lines[Symbol.iterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await source.next();
      if (done) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(plain(value))}\n`));
    },
    async cancel() {
      await source.return?.();
    },
  });
}

/** Typed arrays would become objects in JSON. */
const plain = (line: Line): unknown =>
  "input" in line ? { ...line, input: Array.from(line.input) } : Array.from(line);

/** The answers of a stream of lines, as they come. */
export async function* codesOfLines(send: () => Promise<Response>): AsyncGenerator<LineAnswer> {
  const { body } = await send();
  const reader = body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as LineAnswer;
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as LineAnswer;
  } finally {
    // Also where the caller stops in the middle: the server then ends the stream.
    await reader.cancel();
  }
}

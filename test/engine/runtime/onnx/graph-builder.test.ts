/** Each word of the vocabulary, run through ONNX Runtime and compared with plain arithmetic. */
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { createOnnxSession, encodeModel } from "../../../../src/engine/runtime/onnx/onnx-session.ts";
import { GraphBuilder } from "../../../../src/engine/runtime/onnx/graph-builder.ts";
import type { Element, Value } from "../../../../src/engine/runtime/onnx/protos.ts";

type Numbers = readonly (number | boolean)[];

interface Answer {
  readonly dims: readonly number[];
  readonly data: Numbers;
}

const A = [3, -1, 4, 1, -5, 9];
const B = [2, 7, -1, 8, 2, -8];

/** Runs what `write` makes of a [2, 3] and b [2, 3]; each value of the record becomes an output. */
async function run(
  write: (g: GraphBuilder, a: Value, b: Value) => Readonly<Record<string, readonly [Value, Element]>>,
): Promise<Readonly<Record<string, Answer>>> {
  const g = new GraphBuilder("test");
  const a = g.input("a", "float32", ["n", 3]);
  const b = g.input("b", "float32", ["n", 3]);
  for (const [name, [value, element]] of Object.entries(write(g, a, b))) g.outputAs(name, value, element, []);
  const graph = g.build();
  // Nothing said of the outputs' shapes: what the runtime makes of them is what is looked at.
  for (const output of graph.output) delete output.type!.tensorType!.shape;
  const session = await createOnnxSession(
    { model: encodeModel(graph), external: g.externalTensors },
    { runtime: "cpu", threads: 1 },
  );
  const tensor = (data: readonly number[]): Tensor => new Tensor("float32", Float32Array.from(data), [2, 3]);
  const results = await session.run({ a: tensor(A), b: tensor(B) });
  const answers = Object.entries(results).map(([name, { data, dims, type }]): [string, Answer] => [
    name,
    { dims, data: Array.from(data as ArrayLike<number | bigint>, (x) => (type === "bool" ? Boolean(x) : Number(x))) },
  ]);
  await session.release();
  return Object.fromEntries(answers);
}

const flat = (data: Numbers): Answer => ({ dims: [2, 3], data });
const column = (data: Numbers): Answer => ({ dims: [2, 1], data });

describe("a graph", () => {
  it("adds, subtracts, multiplies, takes magnitudes", async () => {
    const answers = await run((g, a, b) => ({
      add: [g.add(a, b), "float32"],
      sub: [g.sub(a, g.float(1)), "float32"],
      mul: [g.mul(a, g.floats([1, 10, 100])), "float32"],
      abs: [g.abs(a), "float32"],
      cast: [g.cast(g.mul(a, g.float(0.5)), "int32"), "int32"],
    }));
    expect(answers).toEqual({
      add: flat(A.map((x, i) => x + B[i]!)),
      sub: flat(A.map((x) => x - 1)),
      mul: flat(A.map((x, i) => x * 10 ** (i % 3))),
      abs: flat(A.map(Math.abs)),
      cast: flat(A.map((x) => Math.trunc(x / 2) + 0)),
    });
  });

  it("multiplies by a transposed matrix that lies outside it, and sums squares", async () => {
    const { products, squares } = await run((g, a) => ({
      products: [
        g.matmulTransposed(a, g.weights("w", Float32Array.of(1, 0, 0, 1, 1, 1, 0, 0, 2, -1, 0, 1), [4, 3])),
        "float32",
      ],
      squares: [g.sumSquares(a), "float32"],
    }));
    expect(products).toEqual({ dims: [2, 4], data: [3, 6, 8, 1, 1, 5, 18, 8] });
    expect(squares).toEqual(column([26, 107]));
  });

  it("compares and decides", async () => {
    const answers = await run((g, a, b) => {
      const less = g.less(a, b);
      return {
        equal: [g.equal(g.abs(b), g.float(2)), "bool"],
        less: [less, "bool"],
        lessOrEqual: [g.lessOrEqual(a, g.float(3)), "bool"],
        greater: [g.greater(a, g.float(3)), "bool"],
        greaterOrEqual: [g.greaterOrEqual(a, g.float(3)), "bool"],
        and: [g.and(less, g.greater(b, g.float(7))), "bool"],
        or: [g.or(less, g.greater(a, g.float(3))), "bool"],
        not: [g.not(less), "bool"],
        where: [g.where(less, a, b), "float32"],
      };
    });
    const less = A.map((x, i) => x < B[i]!);
    expect(answers).toEqual({
      equal: flat(B.map((x) => Math.abs(x) === 2)),
      less: flat(less),
      lessOrEqual: flat(A.map((x) => x <= 3)),
      greater: flat(A.map((x) => x > 3)),
      greaterOrEqual: flat(A.map((x) => x >= 3)),
      and: flat(less.map((yes, i) => yes && B[i]! > 7)),
      or: flat(less.map((yes, i) => yes || A[i]! > 3)),
      not: flat(less.map((yes) => !yes)),
      where: flat(less.map((yes, i) => (yes ? A[i]! : B[i]!))),
    });
  });

  it("asks whether any is true, at all or in a row", async () => {
    const answers = await run((g, a) => ({
      any: [g.any(g.greater(a, g.float(8))), "bool"],
      none: [g.any(g.greater(a, g.float(9))), "bool"],
      inRow: [g.anyInRow(g.greater(a, g.float(8))), "bool"],
    }));
    expect(answers).toEqual({
      any: { dims: [], data: [true] },
      none: { dims: [], data: [false] },
      inRow: column([false, true]),
    });
  });

  it("finds the largest of each row, the lowest place on a tie", async () => {
    const answers = await run((g, a) => {
      const [value, place] = g.largest(a);
      const [, tied] = g.largest(g.where(g.greater(a, g.float(0)), g.mul(a, g.float(0)), g.float(-1)));
      return { value: [value, "float32"], place: [place, "int64"], tied: [tied, "int64"] };
    });
    expect(answers).toEqual({ value: column([4, 9]), place: column([2, 2]), tied: column([0, 0]) });
  });

  it("gathers and scatters rows and elements", async () => {
    const answers = await run((g, a, b) => ({
      rows: [g.gatherRows(a, g.ints([1, 0, 1])), "float32"],
      elements: [g.gatherInRow(a, g.ints([2, 0], [2, 1])), "float32"],
      replaced: [g.scatterInRow(a, g.ints([0, 1], [2, 1]), g.floats([70, 80], [2, 1])), "float32"],
      replacedRow: [g.scatterRows(a, g.ints([1], [1, 1]), g.gatherRows(b, g.ints([0]))), "float32"],
      where: [g.rowsWhere(g.greater(g.sumSquares(a), g.float(26))), "int64"],
      nowhere: [g.rowsWhere(g.greater(g.sumSquares(a), g.float(1e9))), "int64"],
    }));
    expect(answers).toEqual({
      rows: { dims: [3, 3], data: [1, -5, 9, 3, -1, 4, 1, -5, 9] },
      elements: column([4, 1]),
      replaced: flat([70, -1, 4, 1, 80, 9]),
      replacedRow: flat([3, -1, 4, 2, 7, -1]),
      where: { dims: [1], data: [1] },
      nowhere: { dims: [0], data: [] },
    });
  });

  it("changes shapes", async () => {
    const answers = await run((g, a, b) => ({
      concat: [g.concat([a, b], 1), "float32"],
      reshape: [g.reshape(a, [3, -1]), "float32"],
      squeeze: [g.squeeze(g.sumSquares(a), 1), "float32"],
      unsqueeze: [g.unsqueeze(g.ints([5, 6]), 1), "int64"],
      transpose: [g.transpose(a), "float32"],
      expand: [g.expand(g.float(7), g.ints([2, 2])), "float32"],
      size: [g.sizeOf(a, 1), "int64"],
      slice: [g.slice(a, 1, 2), "float32"],
      allButLast: [g.slice(a, 0, -1), "float32"],
    }));
    expect(answers).toEqual({
      concat: { dims: [2, 6], data: [3, -1, 4, 2, 7, -1, 1, -5, 9, 8, 2, -8] },
      reshape: { dims: [3, 2], data: A },
      squeeze: { dims: [2], data: [26, 107] },
      unsqueeze: { dims: [2, 1], data: [5, 6] },
      transpose: { dims: [3, 2], data: [3, 1, -1, -5, 4, 9] },
      expand: { dims: [2, 2], data: [7, 7, 7, 7] },
      size: { dims: [1], data: [3] },
      slice: { dims: [1, 3], data: [1, -5, 9] },
      allButLast: { dims: [1, 3], data: [3, -1, 4] },
    });
  });

  it("takes one branch of two, each seeing the values around it", async () => {
    const { yes, no } = await run((g, a, b) => {
      const pick = (limit: number): Value =>
        g.ifElse(
          g.any(g.greater(a, g.float(limit))),
          (inner) => [[inner.add(a, inner.float(1)), "float32"]],
          () => [[b, "float32"]],
        )[0]!;
      return { yes: [pick(8), "float32"], no: [pick(9), "float32"] };
    });
    expect([yes, no]).toEqual([flat(A.map((x) => x + 1)), flat(B)]);
  });

  it("repeats a body while its condition holds, hands values on and collects one of each turn", async () => {
    const answers = await run((g, a) => {
      const [doubled, count, seen] = g.loop(
        g.ints([10], []),
        g.greater(g.float(1), g.float(0)),
        [
          [a, "float32"],
          [g.int32(0), "int32"],
        ],
        (body, turn, [x, n]) => {
          const twice = body.add(x!, x!);
          return {
            // Ends once a number passes 50: 9, 18, 36, 72.
            condition: body.not(body.any(body.greater(twice, body.float(50)))),
            carried: [twice, body.add(n!, body.int32(1))],
            collected: [[body.reshape(turn, [1]), "int64"]],
          };
        },
      );
      return { doubled: [doubled!, "float32"], turns: [count!, "int32"], seen: [seen!, "int64"] };
    });
    expect(answers).toEqual({
      doubled: flat(A.map((x) => x * 8)),
      turns: { dims: [], data: [3] },
      seen: { dims: [3, 1], data: [0, 1, 2] },
    });
  });

  it("runs a loop at most as often as it is told to", async () => {
    const answers = await run((g) => {
      const always = g.greater(g.float(1), g.float(0));
      const [sum] = g.loop(g.ints([4], []), always, [[g.float(0), "float32"]], (body, _turn, [x]) => ({
        condition: body.greater(body.float(1), body.float(0)),
        carried: [body.add(x!, body.float(2.5))],
        collected: [],
      }));
      return { sum: [sum!, "float32"] };
    });
    expect(answers).toEqual({ sum: { dims: [], data: [10] } });
  });
});

import { describe, expect, it } from "vitest";
import type { PursuitWeights } from "../../../../src/engine/core/dictionary-weights.ts";
import { compareCode } from "../../../../src/engine/dictionaries/verify/compare-code.ts";
import type { ServedCode } from "../../../../src/engine/dictionaries/verify/step-margins.ts";

/**
 * Two axes, and two atoms that a row equal along axes 2 and 3 leaves tied: float32 decides between them by its last
 * digit. Either one gives axis 0 a little back, so that atom 0 may be hit again.
 */
const D = 4;
const HALF = Math.SQRT1_2;
const ATOMS = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [-0.3, 0, HALF, 0.64],
  [-0.3, 0, 0.64, HALF],
];

const dictionary = (reselect: PursuitWeights["settings"]["reselect"]): PursuitWeights => ({
  kind: "matching_pursuit",
  d: D,
  m: ATOMS.length,
  atoms: Float32Array.from(ATOMS.flat()),
  center: null,
  settings: { score: "relu", reselect, center: false, residualThreshold: 0, maxAtoms: null, inputNorm: "none" },
});

/** The code of selections made in that order, each with the value that the residual gives it. */
function pursue(row: readonly number[], order: readonly number[]): { served: ServedCode; dense: Float32Array } {
  const r = [...row];
  const values: number[] = [];
  const dense = new Float32Array(ATOMS.length);
  for (const j of order) {
    const value = ATOMS[j]!.reduce((sum, weight, i) => sum + weight * r[i]!, 0);
    for (let i = 0; i < D; i++) r[i]! -= value * ATOMS[j]![i]!;
    values.push(value);
    dense[j]! += value;
  }
  const indices = [...dense.keys()].filter((j) => dense[j] !== 0);
  const served: ServedCode = {
    indices,
    values: indices.map((j) => dense[j]!),
    stop: "max_atoms",
    trace: { indices: order, values },
    residualNorms: [],
  };
  return { served, dense };
}

const ROW = [5, 3, 1, 0.5];
const TIED = [5, 3, 0.01, 0.01];

describe("compareCode", () => {
  it("agrees with the same code, whatever rounds differently", () => {
    const { served, dense } = pursue(ROW, [0, 1, 2]);
    const rounded = dense.map((value) => value * (1 + 1e-6));
    expect(compareCode(served, Float32Array.from(ROW), rounded, dictionary("add"))).toMatchObject({ kind: "agreed" });
  });

  it("names the first selection whose value differs", () => {
    const { served, dense } = pursue(ROW, [0, 1, 2]);
    dense[1]! *= 1.01;
    expect(compareCode(served, Float32Array.from(ROW), dense, dictionary("add"))).toMatchObject({
      kind: "differs",
      at: { step: 2, atom: 1, served: 3 },
      undecidedStep: null,
    });
  });

  it("names the atom by which the other goes on", () => {
    const { served } = pursue(ROW, [0, 1]);
    const dense = new Float32Array([5, 3, 0, 0.25]);
    // Too little to be a difference: not what is named.
    dense[2] = 1e-9;
    expect(compareCode(served, Float32Array.from(ROW), dense, dictionary("add"))).toMatchObject({
      kind: "differs",
      at: { step: 3, atom: 3, served: 0, theirs: 0.25 },
    });
  });

  it.each(["add", "stop"] as const)(
    "leaves it undecided when a late tie brings the other back to an atom of the decided steps, reselect %s",
    (reselect) => {
      const { served } = pursue(TIED, [0, 1, 2]);
      const { dense } = pursue(TIED, [0, 1, 3, 0]);
      expect(compareCode(served, Float32Array.from(TIED), dense, dictionary(reselect))).toMatchObject({
        kind: "undecided",
        at: { step: 1, atom: 0 },
        undecidedStep: 3,
      });
    },
  );

  it("does not excuse by a tie what no ReLU score can have done after it", () => {
    const { served } = pursue(TIED, [0, 1, 2]);
    const { dense } = pursue(TIED, [0, 1, 3]);
    dense[1]! -= 1e-3;
    expect(compareCode(served, Float32Array.from(TIED), dense, dictionary("add")).kind).toBe("differs");
  });

  it("does not excuse a changed atom where repeats are forbidden", () => {
    const { served } = pursue(TIED, [0, 1, 2]);
    const { dense } = pursue(TIED, [0, 1, 3]);
    dense[1]! += 1e-3;
    expect(compareCode(served, Float32Array.from(TIED), dense, dictionary("forbid")).kind).toBe("differs");
  });

  it("does not excuse an atom that is absent before the tie", () => {
    const { served } = pursue(TIED, [0, 1, 2]);
    const { dense } = pursue(TIED, [0, 3]);
    expect(compareCode(served, Float32Array.from(TIED), dense, dictionary("add"))).toMatchObject({
      kind: "differs",
      at: { step: 2, atom: 1, theirs: 0 },
    });
  });
});

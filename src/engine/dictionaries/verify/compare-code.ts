import {
  type DictionaryWeights,
  isOrthogonal,
  isPursuit,
  type OrthogonalWeights,
  type PursuitWeights,
} from "../../core/dictionary-weights.ts";
import type { OnePassWeights } from "../../encoders/one-pass.ts";
import { compareOnePass } from "./compare-one-pass.ts";
import { firstUndecidedStep, lengthOf, pursuitStart, type ServedCode } from "./step-margins.ts";

/** Allowed difference between two values of one atom, as a share of the row's largest |value|. */
const VALUE_TOLERANCE = 1e-5;

/** First difference between a served code and a user's. */
export interface Difference {
  /** Selection, counted from 1; one more than were served if only the user's code goes on. */
  readonly step: number;
  readonly atom: number;
  readonly served: number;
  readonly theirs: number;
}

/**
 * `agreed`: the same atoms, values within 1e-5 of the row's largest.
 * `undecided`: they differ from a step that float32 cannot decide, and end equally well.
 */
export type Verdict =
  | { readonly kind: "agreed"; readonly worst: number }
  | {
      readonly kind: "undecided" | "differs";
      readonly worst: number;
      readonly at: Difference;
      readonly undecidedStep: number | null;
    };

/**
 * Compares a served code with a user's own dense code of the same row (docs/algorithm.md, Agreement).
 * @param x [d], as posted. @param z [m]
 */
export function compareCode(served: ServedCode, x: Float32Array, z: Float32Array, weights: DictionaryWeights): Verdict {
  if (!isPursuit(weights) && !isOrthogonal(weights)) return compareOnePass(served, x, z, weights as OnePassWeights);
  const merged = new Map<number, number>();
  for (let k = 0; k < served.indices.length; k++) merged.set(served.indices[k]!, served.values[k]!);
  let largest = 0;
  for (const value of z) largest = Math.max(largest, Math.abs(value));
  for (const value of merged.values()) largest = Math.max(largest, Math.abs(value));
  const apart = (atom: number): number => Math.abs((merged.get(atom) ?? 0) - z[atom]!) / (largest || 1);

  let worst = 0;
  for (let atom = 0; atom < z.length; atom++) worst = Math.max(worst, apart(atom));
  if (worst <= VALUE_TOLERANCE) return { kind: "agreed", worst };

  const differs = (atom: number): boolean => apart(atom) > VALUE_TOLERANCE;
  const at = firstDifference(served, merged, z, differs);
  const start = pursuitStart(x, served, weights);
  const undecided = undecidedStep(served, start, z, weights, largest);
  // If a repeat ends the row, the undecided step also decides its length: the ends are then not compared.
  const ends = weights.kind === "matching_pursuit" && weights.settings.reselect === "stop";
  const free = undecided.excuses && (ends || endEquallyWell(start, merged, z, weights));
  return { kind: free ? "undecided" : "differs", worst, at, undecidedStep: undecided.step };
}

/** First step that float32 cannot decide, and whether the user's code can differ from there. */
interface Undecided {
  /** Counted from 1; null if all steps were decided. */
  readonly step: number | null;
  readonly excuses: boolean;
}

function undecidedStep(
  served: ServedCode,
  start: Float64Array,
  z: Float32Array,
  weights: PursuitWeights | OrthogonalWeights,
  largest: number,
): Undecided {
  // A pursuit's code contains every selected atom, so the first absent atom ends the search. Only non-negative least
  // squares may leave a selected atom at 0.
  const mayLack = weights.kind === "orthogonal_matching_pursuit" && weights.settings.score === "relu";
  const absent = mayLack ? -1 : Array.prototype.findIndex.call(served.trace.indices, (atom: number) => z[atom] === 0);
  const undecided = firstUndecidedStep(start, served, weights, absent < 0 ? Infinity : absent);
  if (undecided === null) return { step: null, excuses: false };
  const excuses =
    weights.kind === "orthogonal_matching_pursuit"
      ? mayContain(served, undecided, z, weights)
      : mayBegin(served, undecided, z, weights.settings, largest);
  return { step: undecided + 1, excuses };
}

/** For orthogonal pursuit: it keeps its selections, unless a coefficient must not be negative. */
function mayContain({ trace }: ServedCode, steps: number, z: Float32Array, { settings }: OrthogonalWeights): boolean {
  if (settings.score === "relu") return true;
  for (let k = 0; k < steps; k++) if (z[trace.indices[k]!] === 0) return false;
  return true;
}

/**
 * Whether the user's pursuit can have begun with the first `steps` served selections. Later steps may have added to the
 * same atoms: to any of them if repeats add, to one if a repeat ends the row, to none if they are forbidden; and ReLU
 * scores only add.
 */
function mayBegin(
  { trace }: ServedCode,
  steps: number,
  z: Float32Array,
  { score, reselect }: PursuitWeights["settings"],
  largest: number,
): boolean {
  const begun = new Map<number, number>();
  for (let k = 0; k < steps; k++) begun.set(trace.indices[k]!, (begun.get(trace.indices[k]!) ?? 0) + trace.values[k]!);
  const repeats = { add: Infinity, stop: 1, forbid: 0 }[reselect];
  let changed = 0;
  for (const [atom, value] of begun) {
    const added = z[atom]! - value;
    if (Math.abs(added) <= VALUE_TOLERANCE * largest) continue;
    if (z[atom] === 0 || (score === "relu" && added < 0) || ++changed > repeats) return false;
  }
  return true;
}

/**
 * The first selection that the user's pursuit cannot have made. A dense code has no order, so an atom counts at its
 * last served selection: a repeat may be the difference.
 */
function firstDifference(
  { trace }: ServedCode,
  merged: ReadonlyMap<number, number>,
  z: Float32Array,
  differs: (atom: number) => boolean,
): Difference {
  const steps = trace.indices.length;
  const last = new Map<number, number>();
  for (let k = 0; k < steps; k++) last.set(trace.indices[k]!, k);
  for (let k = 0; k < steps; k++) {
    const atom = trace.indices[k]!;
    if ((z[atom] === 0 || last.get(atom) === k) && differs(atom)) {
      return { step: k + 1, atom, served: merged.get(atom) ?? 0, theirs: z[atom]! };
    }
  }
  const atom = z.findIndex((_, j) => !merged.has(j) && differs(j));
  return { step: steps + 1, atom, served: 0, theirs: z[atom]! };
}

/** Whether final residual norms are within 1 %, or 1e-3 of the row's. */
function endEquallyWell(
  start: Float64Array,
  merged: ReadonlyMap<number, number>,
  z: Float32Array,
  weights: DictionaryWeights,
): boolean {
  const ours = residual(start, merged, weights);
  const theirs = residual(start, new Map([...z.entries()].filter(([, value]) => value !== 0)), weights);
  const apart = Math.abs(ours - theirs);
  return apart <= 0.01 * Math.max(ours, theirs) || apart <= 1e-3 * lengthOf(start);
}

function residual(start: Float64Array, code: ReadonlyMap<number, number>, { atoms, d }: DictionaryWeights): number {
  const r = start.slice();
  for (const [j, value] of code) for (let c = 0; c < d; c++) r[c]! -= value * atoms[j * d + c]!;
  return lengthOf(r);
}

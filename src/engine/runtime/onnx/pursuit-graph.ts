import type { PursuitSettings } from "../../core/dictionary.ts";
import { STOP_REASONS, type StopReason } from "../../core/sparse-codes.ts";
import { type ExternalTensor, GraphBuilder, type TypedValue } from "./graph-builder.ts";
import type { Value } from "./protos.ts";
import { encodeModel } from "./onnx-session.ts";

/** Options of a pursuit graph. */
export interface PursuitGraphOptions {
  readonly d: number;
  readonly m: number;
  readonly settings: Pick<PursuitSettings, "score" | "reselect"> & { readonly residualThreshold: number };
  /** [m, d] */
  readonly atoms: Float32Array;
  /** [m, m], atoms · atomsᵀ, for the Gram form; null for the residual form. */
  readonly gram: Float32Array | null;
  /** [m] ||D_j|| */
  readonly norms: Float64Array;
  /** Steps in one turn of the loop. */
  readonly unroll: number;
}

export interface PursuitModel {
  readonly model: Uint8Array;
  readonly external: readonly ExternalTensor[];
}

/**
 * A row's correlations are recomputed from its residual once ||r||² has fallen to this share of its value at the last
 * refresh: the rounding error of Gram updates is relative to that value.
 */
const REFRESH_FALL = 1e-4;

/** Steps after which they are refreshed at the latest, so that deep pursuits do not drift. */
const REFRESH_STEPS = 64;

/**
 * Matching pursuit (docs/algorithm.md) as one ONNX graph: a Loop whose body holds `unroll` steps.
 *
 * Inputs, all in the scaled pursuit space of session/prepare-rows.ts; a limit of −1 (for `min_energy` −∞) is off:
 *   r [n, d]            the rows, normed, centred and scaled
 *   max_atoms [n, 1]    int32, selections at most
 *   tolerance [n, 1]    stop before a step once ||r||² ≤ this
 *   residual [n, 1]     the same for the absolute limit
 *   threshold [n, 1]    stop after a step once ||r||² < this; an input only where the dictionary has one
 *   min_energy [n, 1]   stop before a step that would lower ||r||² by less
 *   turns []            int64, turns of the loop at most
 * Outputs, T = turns run × unroll:
 *   indices [T, n]      int64, the atom selected by each step
 *   values [T, n]       its value; meaningless from the row's end on
 *   energies [T, n]     ||r||² after the step
 *   steps [n, 1]        int32, selections of each row
 *   stops [n, 1]        int32, position in STOP_REASONS
 *
 * Both forms keep r itself, so ||r||² is always that of a vector, never a running energy. They differ in how D·r comes
 * about: the residual form multiplies, the Gram form updates c ← c − v·G_j and refreshes c where it must.
 */
export function buildPursuitModel(options: PursuitGraphOptions): PursuitModel {
  const { d, m, unroll, settings } = options;
  const g = new GraphBuilder("pursuit");
  const rows = g.input("r", "float32", ["n", d]);
  const limits: Limits = {
    maxAtoms: g.input("max_atoms", "int32", ["n", 1]),
    tolerance: g.input("tolerance", "float32", ["n", 1]),
    residual: g.input("residual", "float32", ["n", 1]),
    threshold: settings.residualThreshold > 0 ? g.input("threshold", "float32", ["n", 1]) : null,
    minEnergy: g.input("min_energy", "float32", ["n", 1]),
  };
  const turns = g.input("turns", "int64", []);

  const atoms = g.weights("atoms", options.atoms, [m, d]);
  const weights: Weights = {
    atoms,
    gram: options.gram && g.weights("gram", options.gram, [m, m]),
    gain: g.weights(
      "gain",
      Float32Array.from(options.norms, (norm) => 2 - norm ** 2),
      [m, 1],
    ),
  };

  const energy = g.sumSquares(rows);
  const zero = g.mul(limits.maxAtoms, g.int32(0));
  const unset = g.sub(zero, g.int32(1));
  const stop = stopBefore(g, zero, energy, limits, unset);
  const state: State = {
    stop,
    steps: zero,
    residual: rows,
    energy,
    ...(weights.gram && {
      correlations: g.matmulTransposed(rows, atoms),
      refreshedEnergy: energy,
      refreshedStep: zero,
    }),
    ...(settings.reselect === "stop" && { history: g.cast(unset, "int64") }),
    ...(settings.reselect === "forbid" && {
      mask: g.expand(g.float(0), g.concat([g.sizeOf(rows, 0), g.ints([m])], 0)),
    }),
  };
  const names = Object.keys(state) as (keyof State)[];
  const typed = names.map((name): TypedValue => [state[name]!, STATE_TYPES[name]]);

  const results = g.loop(turns, anyActive(g, stop), typed, (body, turn, carried) => {
    let now = Object.fromEntries(names.map((name, i) => [name, carried[i]!])) as unknown as State;
    const collected: Record<"indices" | "values" | "energies", Value[]> = { indices: [], values: [], energies: [] };
    const first = body.mul(body.cast(turn, "int32"), body.int32(unroll));
    for (let u = 0; u < unroll; u++) {
      if (weights.gram !== null) now = refresh(body, now, weights);
      const step = oneStep(body, now, weights, limits, settings, body.add(first, body.int32(u + 1)));
      now = step.state;
      collected.indices.push(step.index);
      collected.values.push(step.value);
      collected.energies.push(now.energy);
    }
    const stacked = (values: Value[]): Value => body.transpose(body.concat(values, 1));
    return {
      condition: anyActive(body, now.stop),
      carried: names.map((name) => now[name]!),
      collected: [
        [stacked(collected.indices), "int64"],
        [stacked(collected.values), "float32"],
        [stacked(collected.energies), "float32"],
      ],
    };
  });

  const last = (name: keyof State): Value => results[names.indexOf(name)]!;
  const [indices, values, energies] = results.slice(names.length) as [Value, Value, Value];
  g.outputAs("indices", indices, "int64", ["turns", unroll, "n"]);
  g.outputAs("values", values, "float32", ["turns", unroll, "n"]);
  g.outputAs("energies", energies, "float32", ["turns", unroll, "n"]);
  g.outputAs("steps", last("steps"), "int32", ["n", 1]);
  g.outputAs("stops", last("stop"), "int32", ["n", 1]);
  return { model: encodeModel(g.build()), external: g.externalTensors };
}

interface Limits {
  readonly maxAtoms: Value;
  readonly tolerance: Value;
  readonly residual: Value;
  /** Only where the dictionary has a residual_threshold. */
  readonly threshold: Value | null;
  readonly minEnergy: Value;
}

interface Weights {
  readonly atoms: Value;
  readonly gram: Value | null;
  /** 2 − ||D_j||², [m, 1]: selecting atom j with value v lowers ||r||² by v² times this. */
  readonly gain: Value;
}

/** Values passed from one step to the next. */
interface State {
  /** [n, 1] position in STOP_REASONS, or −1 while the row is running. */
  readonly stop: Value;
  /** [n, 1] selections so far. */
  readonly steps: Value;
  /** [n, d] */
  readonly residual: Value;
  /** [n, 1] ||r||² */
  readonly energy: Value;
  /** [n, m] D·r, in the Gram form. */
  readonly correlations?: Value;
  /** [n, 1] ||r||² and step of the last refresh. */
  readonly refreshedEnergy?: Value;
  readonly refreshedStep?: Value;
  /** [n, 1 + steps] atoms selected so far, −1 first; used if a repeat ends the row. */
  readonly history?: Value;
  /** [n, m] 0, or −∞ for an atom that must not be selected again. */
  readonly mask?: Value;
}

const STATE_TYPES = {
  stop: "int32",
  steps: "int32",
  residual: "float32",
  energy: "float32",
  correlations: "float32",
  refreshedEnergy: "float32",
  refreshedStep: "int32",
  history: "int64",
  mask: "float32",
} as const satisfies Record<keyof State, TypedValue[1]>;

const stopCode = (g: GraphBuilder, reason: StopReason): Value => g.int32(STOP_REASONS.indexOf(reason));

const active = (g: GraphBuilder, stop: Value): Value => g.less(stop, g.int32(0));
const anyActive = (g: GraphBuilder, stop: Value): Value => g.any(active(g, stop));

/** Tests the limits before a step; the first that holds decides, `otherwise` if none does. */
function stopBefore(g: GraphBuilder, step: Value, energy: Value, limits: Limits, otherwise: Value): Value {
  const full = g.where(g.lessOrEqual(limits.maxAtoms, step), stopCode(g, "max_atoms"), otherwise);
  const small = g.where(g.lessOrEqual(energy, limits.residual), stopCode(g, "residual_norm"), full);
  return g.where(g.lessOrEqual(energy, limits.tolerance), stopCode(g, "tolerance"), small);
}

/**
 * One step of every row, then the tests before the next one, so that the loop ends together with its last row. Rows
 * that have ended go through it with value 0.
 */
function oneStep(
  g: GraphBuilder,
  { stop, steps, residual, energy, ...rest }: State,
  weights: Weights,
  limits: Limits,
  settings: PursuitGraphOptions["settings"],
  nextStep: Value,
): { readonly state: State; readonly index: Value; readonly value: Value } {
  const scores = rest.correlations ?? g.matmulTransposed(residual, weights.atoms);
  const { index, value, noGain } = select(g, scores, rest.mask, settings);

  const gain = g.mul(g.mul(value, value), g.gatherRows(weights.gain, g.squeeze(index, 1)));
  const tooLittle = g.where(g.less(gain, limits.minEnergy), stopCode(g, "min_gain"), stop);
  const unable = g.where(noGain, stopCode(g, "no_gain"), tooLittle);
  const stopped = g.where(active(g, stop), unable, stop);
  const running = active(g, stopped);
  const taken = g.where(running, value, g.float(0));

  const atom = g.squeeze(index, 1);
  const newResidual = g.sub(residual, g.mul(taken, g.gatherRows(weights.atoms, atom)));
  const newEnergy = g.sumSquares(newResidual);

  let after = stopBefore(g, nextStep, newEnergy, limits, stopped);
  if (limits.threshold !== null) {
    after = g.where(g.less(newEnergy, limits.threshold), stopCode(g, "residual_norm"), after);
  }
  if (rest.history) after = g.where(g.anyInRow(g.equal(rest.history, index)), stopCode(g, "repeat"), after);
  const state: State = {
    stop: g.where(running, after, stopped),
    steps: g.add(steps, g.cast(running, "int32")),
    residual: newResidual,
    energy: newEnergy,
    ...rest,
    ...(weights.gram &&
      rest.correlations && { correlations: g.sub(rest.correlations, g.mul(taken, g.gatherRows(weights.gram, atom))) }),
    ...(rest.history && { history: g.concat([rest.history, index], 1) }),
    ...(rest.mask && { mask: g.scatterInRow(rest.mask, index, forbidden(g, taken)) }),
  };
  return { state, index, value };
}

/** −∞ [n, 1] */
const forbidden = (g: GraphBuilder, like: Value): Value => g.add(g.mul(like, g.float(0)), g.float(-Infinity));

/** The arg-max of a step under the dictionary's score, and whether it gains nothing. */
function select(
  g: GraphBuilder,
  correlations: Value,
  mask: Value | undefined,
  { score }: PursuitGraphOptions["settings"],
): { readonly index: Value; readonly value: Value; readonly noGain: Value } {
  const scores = score === "absolute" ? g.abs(correlations) : correlations;
  const [best, index] = g.largest(mask ? g.add(scores, mask) : scores);
  const value = score === "absolute" || mask ? g.gatherInRow(correlations, index) : best;
  const zero = g.float(0);
  if (score === "signed") {
    // Negated comparisons, here and below, also hold for NaN, which ends a diverged row.
    const noValue = g.not(g.greater(g.abs(value), zero));
    return { index, value, noGain: mask ? g.or(noValue, g.not(g.greater(best, g.float(-Infinity)))) : noValue };
  }
  return { index, value, noGain: g.not(g.greater(best, zero)) };
}

/** Recomputes the correlations of the Gram form from the residual, only for the rows that need it. */
function refresh(g: GraphBuilder, state: State, { atoms }: Weights): State {
  const { correlations, refreshedEnergy, refreshedStep, residual, energy, steps, stop } = state;
  if (!correlations || !refreshedEnergy || !refreshedStep) return state;
  const fallen = g.less(energy, g.mul(refreshedEnergy, g.float(REFRESH_FALL)));
  const old = g.lessOrEqual(g.add(refreshedStep, g.int32(REFRESH_STEPS)), steps);
  const due = g.and(active(g, stop), g.or(fallen, old));
  const [fresh] = g.ifElse(
    g.any(due),
    (inner) => {
      const rows = inner.rowsWhere(due);
      // Multiply one row as two: a single row takes another path through the runtime and rounds differently, and a
      // row's code must not depend on how many others are refreshed with it.
      const padded = inner.concat([rows, inner.slice(rows, 0, 1)], 0);
      const product = inner.matmulTransposed(inner.gatherRows(residual, padded), atoms);
      return [[inner.scatterRows(correlations, inner.unsqueeze(rows, 1), inner.slice(product, 0, -1)), "float32"]];
    },
    () => [[correlations, "float32"]],
  );
  return {
    ...state,
    correlations: fresh!,
    refreshedEnergy: g.where(due, energy, refreshedEnergy),
    refreshedStep: g.where(due, steps, refreshedStep),
  };
}

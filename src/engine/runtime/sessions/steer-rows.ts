import type { Atoms } from "../../core/dictionary-weights.ts";
import { DIRECTION_OPS } from "../../core/edits.ts";
import type { DirectionColumns, SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";

/**
 * x + decode(z' − z), then the directions in order, in float64 and rounded once. The centre and an input norm's shift
 * cancel in the difference; its scale does not. A row that nothing changes is copied bit for bit.
 */
export function steerRows({ rows, count, delta, directions }: SteerBatch, { atoms, d }: Atoms): SteeredBatch {
  const e = directions.ops.length;
  const units = unitDirections(directions, atoms, d);
  const steered = {
    rows: rows.slice(),
    norms: new Float64Array(count),
    before: new Float64Array(count * e).fill(NaN),
    after: new Float64Array(count * e).fill(NaN),
  };
  const y = new Float64Array(d);
  for (let i = 0; i < count; i++) {
    const x = rows.subarray(i * d, (i + 1) * d);
    y.set(x);
    let changed = addDelta(y, delta, i, atoms);
    for (let k = 0; k < e; k++) {
      const at = i * e + k;
      if (directions.applies[at] === 0) continue;
      const unit = units.subarray(k * d, (k + 1) * d);
      const component = dot(y, unit);
      const amount = amountOf(directions, k, component, x);
      steered.before[at] = component;
      steered.after[at] = component + amount;
      // Not even a zero is added where nothing changes: −0 + 0 is another float.
      if (amount === 0) continue;
      for (let c = 0; c < d; c++) y[c]! += amount * unit[c]!;
      changed = true;
    }
    if (!changed) continue;
    const out = steered.rows.subarray(i * d, (i + 1) * d);
    out.set(y);
    let squares = 0;
    for (let c = 0; c < d; c++) squares += (out[c]! - x[c]!) ** 2;
    steered.norms[i] = Math.sqrt(squares);
  }
  return steered;
}

/** Whether row i has a delta; it is added to y. */
function addDelta(
  y: Float64Array,
  { indptr, indices, values, scale }: SteerBatch["delta"],
  i: number,
  atoms: Float32Array,
): boolean {
  const d = y.length;
  const back = scale?.[i] ?? 1;
  for (let k = indptr[i]!; k < indptr[i + 1]!; k++) {
    const value = values[k]! * back;
    const atom = indices[k]! * d;
    for (let c = 0; c < d; c++) y[c]! += value * atoms[atom + c]!;
  }
  return indptr[i + 1]! > indptr[i]!;
}

/** What is added along the unit direction. */
function amountOf(
  { ops, strengths, relative, min, max }: DirectionColumns,
  k: number,
  component: number,
  x: Float32Array,
): number {
  const strength = strengths[k]!;
  switch (DIRECTION_OPS[ops[k]!]!) {
    case "add_direction":
      return relative[k] === 1 ? strength * Math.sqrt(dot(x, x)) : strength;
    case "project_out":
      return -strength * component;
    case "project_cap":
      return Math.min(Math.max(component, min[k]!), max[k]!) - component;
  }
}

/** [e · d] */
function unitDirections({ features, vectors }: DirectionColumns, atoms: Float32Array, d: number): Float64Array {
  const units = new Float64Array(features.length * d);
  let next = 0;
  for (const [k, feature] of features.entries()) {
    const from = feature < 0 ? vectors.subarray(next * d, ++next * d) : atoms.subarray(feature * d, (feature + 1) * d);
    const norm = Math.sqrt(dot(from, from));
    for (let c = 0; c < d; c++) units[k * d + c] = from[c]! / norm;
  }
  return units;
}

function dot(a: Float32Array | Float64Array, b: Float32Array | Float64Array): number {
  let sum = 0;
  for (let c = 0; c < a.length; c++) sum += a[c]! * b[c]!;
  return sum;
}

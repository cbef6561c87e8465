/** The parts of a budget that affect a row's cost. 0 is off, as in a budget. */
export interface RowBudget {
  readonly maxAtoms: number;
  readonly tolerance: number;
  readonly residualNorm: number;
  readonly minGain: number;
}

/** A batch that has run. */
export interface MeasuredBatch {
  /** [count] class of each row's budget as asked (see {@link budgetClass}). */
  readonly classes: Uint16Array;
  /** [count] maximum selections as asked */
  readonly asked: Int32Array;
  /** [count] maximum selections allowed; fewer for shortened rows */
  readonly allowed: Int32Array;
  /** [count] selections made */
  readonly steps: Uint32Array;
  readonly milliseconds: number;
}

/** Weight of the newest batch once there have been many: about the last ten count. */
const LEARNING_RATE = 0.2;

/**
 * Largest correction by one batch: a pause of the machine is not a trend. The first batches may correct downward by
 * more.
 */
const MAX_CORRECTION = 4;
const MAX_FIRST_CORRECTION = 64;
const FIRST_BATCHES = 4;

/** Assumed maximum of steps of a row before a similar one was seen. */
const UNSEEN_STEPS = 256;

/** Number of classes of max_atoms, and of each limit: one per power of two. */
const ATOM_CLASSES = 17;
const LIMIT_CLASSES = 16;

/**
 * Predicts the cost of rows as overhead of a run + rows · (dense pass) + steps · (one step). From every batch it learns
 * how many steps rows of a budget take (a tolerance ends most of them early, depending on the data) and the
 * milliseconds of a run, a row and a step.
 */
export class CostModel {
  /** Milliseconds of a run, of a row and of a step. */
  readonly #rates: [run: number, row: number, step: number];
  /** Share of max_atoms that rows of each class use; NaN: none seen. */
  readonly #shares = new Float64Array(ATOM_CLASSES * (1 + 3 * LIMIT_CLASSES)).fill(Number.NaN);
  #batches = 0;

  /**
   * @param warmUp one measured encode of one row. It is spread evenly, which overestimates a row and a step because
   *   they share the run's overhead: the first batches come out small.
   */
  constructor(warmUp: { readonly steps: number; readonly milliseconds: number }) {
    const each = Math.max(warmUp.milliseconds, 1e-3) / (warmUp.steps + 2);
    this.#rates = [each, each, each];
  }

  /** Predicted milliseconds of a run beyond its rows. */
  get overhead(): number {
    return this.#rates[0];
  }

  /** Expected selections of a row of this class. */
  expectedSteps(kind: number, maxAtoms: number): number {
    const share = this.#shares[kind]!;
    if (!Number.isNaN(share)) return share * maxAtoms;
    return Math.min(maxAtoms, UNSEEN_STEPS) / (kind < ATOM_CLASSES ? 1 : 2);
  }

  /** Selections allowed to a row that keeps this share of its expected ones: at least one. */
  keptAtoms(kind: number, maxAtoms: number, keep: number): number {
    if (keep >= 1 || maxAtoms <= 1) return maxAtoms;
    const expected = this.expectedSteps(kind, maxAtoms);
    return Math.min(maxAtoms, Math.max(1, Math.round(1 + (expected - 1) * keep)));
  }

  /** Predicted milliseconds of one row that keeps this share of its expected steps; 0 means one step. */
  rowCost(kind: number, maxAtoms: number, keep = 1): number {
    const expected = this.expectedSteps(kind, maxAtoms);
    return this.#rates[1] + this.#rates[2] * (keep >= 1 || expected <= 1 ? expected : 1 + (expected - 1) * keep);
  }

  /** Predicted milliseconds of a run of these rows, none of them shortened. */
  runCost(classes: Uint16Array, maxAtoms: Int32Array): number {
    let cost = this.overhead;
    for (let i = 0; i < classes.length; i++) cost += this.rowCost(classes[i]!, maxAtoms[i]!);
    return cost;
  }

  learn(batch: MeasuredBatch): void {
    const { steps, milliseconds } = batch;
    let made = 0;
    for (let i = 0; i < steps.length; i++) made += steps[i]!;
    this.#learnRates(steps.length, made, milliseconds);
    this.#learnShares(batch);
    this.#batches++;
  }

  /**
   * Corrects each rate by a power of measured / predicted, in proportion to its share of the prediction: batches of one
   * row teach the cost of a run, long ones that of a step, and no rate turns negative.
   */
  #learnRates(rows: number, made: number, milliseconds: number): void {
    const parts = [1, rows, made].map((units, i) => units * this.#rates[i]!);
    const predicted = parts.reduce((sum, part) => sum + part, 0);
    const most = this.#batches < FIRST_BATCHES ? MAX_FIRST_CORRECTION : MAX_CORRECTION;
    const ratio = Math.min(MAX_CORRECTION, Math.max(1 / most, milliseconds / predicted));
    const squares = parts.reduce((sum, part) => sum + (part / predicted) ** 2, 0);
    // The first batches count more than a warm-up of one row.
    const rate = Math.max(LEARNING_RATE, (this.#batches + 1) ** -0.5);
    for (const [i, part] of parts.entries()) this.#rates[i]! *= ratio ** ((rate * (part / predicted)) / squares);
  }

  /** Shortened rows do not show how many steps they would have made. */
  #learnShares({ classes, asked, allowed, steps }: MeasuredBatch): void {
    const seen = new Map<number, { share: number; rows: number }>();
    let of = -1;
    let alike = { share: 0, rows: 0 };
    for (let i = 0; i < classes.length; i++) {
      if (allowed[i]! < asked[i]! || asked[i] === 0) continue;
      // Rows of one request are mostly alike and adjacent.
      if (classes[i] !== of) {
        of = classes[i]!;
        alike = seen.get(of) ?? { share: 0, rows: 0 };
        seen.set(of, alike);
      }
      alike.share += steps[i]! / asked[i]!;
      alike.rows++;
    }
    for (const [kind, { share, rows }] of seen) {
      const before = this.#shares[kind]!;
      const now = share / rows;
      this.#shares[kind] = Number.isNaN(before) ? now : before + LEARNING_RATE * (now - before);
    }
  }
}

/**
 * Class of budgets whose rows probably take equally long: a power of two of max_atoms, times a power of two of the
 * limit that ends a row early (of several, the first of tolerance, min_gain, residual_norm). Their number is bounded,
 * whatever clients send.
 */
export function budgetClass({ maxAtoms, tolerance, minGain, residualNorm }: RowBudget): number {
  // 0 for budgets 0 and 1, then one class per power of two.
  const atoms = maxAtoms <= 1 ? 0 : Math.min(ATOM_CLASSES - 1, 32 - Math.clz32(maxAtoms - 1));
  return atoms + ATOM_CLASSES * limitClass(tolerance, minGain, residualNorm);
}

function limitClass(tolerance: number, minGain: number, residualNorm: number): number {
  if (tolerance > 0) return 1 + octave(1 / tolerance);
  if (minGain > 0) return 1 + LIMIT_CLASSES + octave(1 / minGain);
  // Absolute: it may be far to either side of 1.
  if (residualNorm > 0) return 1 + 2 * LIMIT_CLASSES + octave(residualNorm * 2 ** (LIMIT_CLASSES / 2));
  return 0;
}

const octave = (value: number): number => Math.min(LIMIT_CLASSES - 1, Math.max(0, Math.floor(Math.log2(value))));

/** What may end a row, as far as its cost goes. 0 is off, as in a budget. */
export interface RowBudget {
  readonly maxAtoms: number;
  readonly tolerance: number;
  readonly residualNorm: number;
  readonly minGain: number;
}

/** A batch that has run. */
export interface MeasuredBatch {
  /** [count] class of each row's budget as asked for (see {@link budgetClass}). */
  readonly classes: Uint16Array;
  /** [count] selections that were asked for at most, */
  readonly asked: Int32Array;
  /** [count] that were allowed, fewer where a row was shortened, */
  readonly allowed: Int32Array;
  /** [count] and that were made. */
  readonly steps: Uint32Array;
  readonly milliseconds: number;
}

/** Weight of the newest batch once there have been many: about the last ten count. */
const LEARNING_RATE = 0.2;

/** A batch counts for this factor at most: a pause of the machine is not a trend. The first ones may lower it by more. */
const MAX_CORRECTION = 4;
const MAX_FIRST_CORRECTION = 64;
const FIRST_BATCHES = 4;

/** Steps that a row is thought to take at most before any like it has been seen. */
const UNSEEN_STEPS = 256;

/** Powers of two of max_atoms, and of each limit, that are told apart. */
const ATOM_CLASSES = 17;
const LIMIT_CLASSES = 16;

/**
 * Predicts what rows cost, as overhead of a run + rows · (dense pass) + steps · (one step), and learns both halves of it
 * from every batch: how many steps rows of such a budget take (a tolerance ends most of them early, and that is the
 * data's own business), and what a run, a row and a step cost in milliseconds.
 */
export class CostModel {
  /** Milliseconds of a run, of a row and of a step. */
  readonly #rates: [run: number, row: number, step: number];
  /** Share of max_atoms that rows of each class use; NaN: none seen. */
  readonly #shares = new Float64Array(ATOM_CLASSES * (1 + 3 * LIMIT_CLASSES)).fill(Number.NaN);
  #batches = 0;

  /**
   * @param warmUp one measured encode of one row. Spread evenly, so that it is too much for a row and a step, which
   *   share what a run costs with others: first batches come out small rather than long.
   */
  constructor(warmUp: { readonly steps: number; readonly milliseconds: number }) {
    const each = Math.max(warmUp.milliseconds, 1e-3) / (warmUp.steps + 2);
    this.#rates = [each, each, each];
  }

  /** Predicted milliseconds of a run beyond those of its rows. */
  get overhead(): number {
    return this.#rates[0];
  }

  /** Selections that a row of this class is expected to make. */
  expectedSteps(kind: number, maxAtoms: number): number {
    const share = this.#shares[kind]!;
    if (!Number.isNaN(share)) return share * maxAtoms;
    return Math.min(maxAtoms, UNSEEN_STEPS) / (kind < ATOM_CLASSES ? 1 : 2);
  }

  /** Selections that a row may make when it keeps this share of what it is expected to make: at least one. */
  keptAtoms(kind: number, maxAtoms: number, keep: number): number {
    if (keep >= 1 || maxAtoms <= 1) return maxAtoms;
    const expected = this.expectedSteps(kind, maxAtoms);
    return Math.min(maxAtoms, Math.max(1, Math.round(1 + (expected - 1) * keep)));
  }

  /** Predicted milliseconds of one row that keeps this share of its expected steps, 0 meaning one step. */
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
   * Each rate is corrected by a power of measured / predicted, in proportion to its share in the prediction: batches of
   * one row teach what a run costs, long ones what a step does, and none of them turns negative.
   */
  #learnRates(rows: number, made: number, milliseconds: number): void {
    const parts = [1, rows, made].map((units, i) => units * this.#rates[i]!);
    const predicted = parts.reduce((sum, part) => sum + part, 0);
    const most = this.#batches < FIRST_BATCHES ? MAX_FIRST_CORRECTION : MAX_CORRECTION;
    const ratio = Math.min(MAX_CORRECTION, Math.max(1 / most, milliseconds / predicted));
    const squares = parts.reduce((sum, part) => sum + (part / predicted) ** 2, 0);
    // The first batches are worth more than a warm-up of one row.
    const rate = Math.max(LEARNING_RATE, (this.#batches + 1) ** -0.5);
    for (const [i, part] of parts.entries()) this.#rates[i]! *= ratio ** ((rate * (part / predicted)) / squares);
  }

  /** Rows that were shortened say nothing of how far they would have gone. */
  #learnShares({ classes, asked, allowed, steps }: MeasuredBatch): void {
    const seen = new Map<number, { share: number; rows: number }>();
    let of = -1;
    let alike = { share: 0, rows: 0 };
    for (let i = 0; i < classes.length; i++) {
      if (allowed[i]! < asked[i]! || asked[i] === 0) continue;
      // Rows of one request are mostly alike, and stand together.
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
 * Budgets whose rows are likely to take alike: one class a doubling of max_atoms, times one a doubling of the limit that
 * ends a row early (of several, the first of tolerance, min_gain, residual_norm). Bounded, whatever clients make up.
 */
export function budgetClass({ maxAtoms, tolerance, minGain, residualNorm }: RowBudget): number {
  // 0 for budgets 0 and 1, then one class a doubling.
  const atoms = maxAtoms <= 1 ? 0 : Math.min(ATOM_CLASSES - 1, 32 - Math.clz32(maxAtoms - 1));
  return atoms + ATOM_CLASSES * limitClass(tolerance, minGain, residualNorm);
}

function limitClass(tolerance: number, minGain: number, residualNorm: number): number {
  if (tolerance > 0) return 1 + octave(1 / tolerance);
  if (minGain > 0) return 1 + LIMIT_CLASSES + octave(1 / minGain);
  // Absolute: it may lie far to both sides of 1.
  if (residualNorm > 0) return 1 + 2 * LIMIT_CLASSES + octave(residualNorm * 2 ** (LIMIT_CLASSES / 2));
  return 0;
}

const octave = (value: number): number => Math.min(LIMIT_CLASSES - 1, Math.max(0, Math.floor(Math.log2(value))));

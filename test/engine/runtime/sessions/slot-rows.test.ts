import fc from "fast-check";
import { expect, it } from "vitest";
import { INPUT_NORMS } from "../../../../src/engine/core/dictionary.ts";
import { createArena } from "../../../../src/engine/runtime/kernel/arena.ts";
import { compilePursuitKernel } from "../../../../src/engine/runtime/kernel/pursuit-kernel.ts";
import { createColumns, prepareRows } from "../../../../src/engine/runtime/sessions/prepare-rows.ts";
import { SlotRows } from "../../../../src/engine/runtime/sessions/slot-rows.ts";
import { batchOf } from "../../../support/batch.ts";

/** Up to 2^-149 and 2^127, beside ordinary ones. */
const value = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true, min: -100, max: 100 }),
  fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e38), max: Math.fround(1e38) }),
  fc.constantFrom(0, -0, 2 ** -149, -(2 ** -140), 2 ** 126),
);

it("readies rows in their slots to the same bits as prepareRows", () => {
  const module = compilePursuitKernel();
  const given = fc.integer({ min: 1, max: 40 }).chain((d) =>
    fc.record({
      d: fc.constant(d),
      rows: fc.array(fc.array(value, { minLength: d, maxLength: d }), { minLength: 1, maxLength: 5 }),
      center: fc.option(fc.array(value, { minLength: d, maxLength: d })),
      inputNorm: fc.constantFrom(...INPUT_NORMS),
    }),
  );
  fc.assert(
    fc.property(given, ({ d, rows, center, inputNorm }) => {
      const rules = { d, center: center && Float32Array.from(center), settings: { inputNorm, residualThreshold: 0.5 } };
      const budget = { maxAtoms: 3, tolerance: 0.25, residualNorm: 2, minGain: 0.125 };
      const batch = batchOf(Float32Array.from(rows.flat()), d, budget);
      const slots = 8;
      const arena = createArena({ d, m: 64, lanes: 2, slots, gram: false });
      const slotRows = new SlotRows(module, arena, rules);
      const [first, second] = arena.rows;
      const columns = createColumns(batch.count, rules.settings);
      slotRows.place(batch, columns, [0, columns.count], second);
      // The next rows stand beside them.
      slotRows.place(
        { ...batch, rows: batch.rows.map(() => 1) },
        createColumns(batch.count, rules.settings),
        [0, columns.count],
        first,
      );
      const { energy, tolerance, minEnergy, scaled, ...expected } = prepareRows(batch, rules);
      expect(slotRows.scaled(second, columns.count)).toEqual(scaled);
      expect(columns).toMatchObject(expected);
      // Sums of squares in another order.
      for (const [i, sum] of energy.entries()) {
        if (Number.isFinite(sum)) expect(Math.abs(columns.energy[i]! - sum)).toBeLessThanOrEqual(1e-14 * sum);
        else expect(columns.energy[i]).toBe(sum);
      }
      expect(columns.tolerance).toHaveLength(tolerance.length);
      expect(columns.minEnergy).toHaveLength(minEnergy.length);
    }),
    { numRuns: 200, seed: 12 },
  );
});

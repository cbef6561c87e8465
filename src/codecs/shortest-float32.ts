/** Powers of ten that a double holds exactly. */
const TENS = Array.from({ length: 23 }, (_, k) => Number(`1e${k}`));

/**
 * The double that prints as the shortest decimal which is the same float32: 0.1 for the float32 nearest to 0.1, whose
 * own digits are 0.10000000149011612. What goes out is then half as long and still bit-exact.
 *
 * A decimal of p ≤ 9 digits is n / 10^k or n · 10^k with exact operands, so one rounded division makes the very double
 * that the decimal's text would be read as: no text is made to find it.
 */
export function shortestFloat32(value: number): number {
  // Small integers, zero among them, are their own shortest decimals; so say NaN and Infinity, which never get here.
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return value;
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  for (let digits = 6; digits <= 9; digits++) {
    const k = digits - 1 - exponent;
    if (k > 22 || k < -22) break;
    const candidate = k >= 0 ? Math.round(value * TENS[k]!) / TENS[k]! : Math.round(value / TENS[-k]!) * TENS[-k]!;
    if (Math.fround(candidate) === value) return candidate;
  }
  return throughText(value);
}

/** The same by way of text, for magnitudes whose powers of ten are not exact. Subnormals have fewer than six digits. */
function throughText(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return Number(value.toPrecision(9));
}

/** The same for a column, as a plain array that JSON.stringify prints. */
export function shortestFloats(column: Float32Array): number[] {
  const numbers: number[] = Array.from({ length: column.length });
  for (let i = 0; i < column.length; i++) numbers[i] = shortestFloat32(column[i]!);
  return numbers;
}

/**
 * JSON numbers (RFC 8259 §6) between commas and white space (§2) → float32, as `Math.fround(JSON.parse(text))` has them.
 *
 * A number is digits w, at most 19 of them, times 10^e. Where w < 2^53 and |e| ≤ 22 both w and 10^|e| are float64
 * values, and the one operation rounds as it should (Clinger 1990). Else w · 10^e in float64 takes at most four operations,
 * is off by less than 2^-50 of itself, and is taken only where every number within 2^-49 of it has the same float32: all but
 * one in millions.
 */

const FAIL: i32 = -1;
const MINUS: u32 = 0x2d;
const PLUS: u32 = 0x2b;
const POINT: u32 = 0x2e;
const COMMA: u32 = 0x2c;
const ZERO: u32 = 0x30;

/** Under these, another eight digits or another one still leave w below 10^19. */
const ROOM_FOR_EIGHT: u64 = 100_000_000_000;
const ROOM_FOR_ONE: u64 = 1_000_000_000_000_000_000;
const EXACT: u64 = 1 << 53;
const MAX_POWER: i32 = 22;

const POWERS: StaticArray<f64> = [
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
];

function skipSpace(at: usize, end: usize): usize {
  while (at < end) {
    const byte = <u32>load<u8>(at);
    if (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09) break;
    at++;
  }
  return at;
}

/** The digit there; 10 or more where there is none. Reading at `end` is allowed, and is no digit. */
function digitAt(at: usize, end: usize): u32 {
  return at < end ? <u32>load<u8>(at) - ZERO : 10;
}

function areEightDigits(bytes: u64): bool {
  return (
    ((bytes & 0xf0f0f0f0f0f0f0f0) | (((bytes + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4)) == 0x3333333333333333
  );
}

/** Eight digits in the order of their bytes, by pairs, then fours, then all. */
function eightDigits(bytes: u64): u64 {
  bytes = ((bytes & 0x0f0f0f0f0f0f0f0f) * 2561) >> 8;
  bytes = ((bytes & 0x00ff00ff00ff00ff) * 6553601) >> 16;
  return ((bytes & 0x0000ffff0000ffff) * 42949672960001) >> 32;
}

/** Largest exponent accepted. */
const MAX_EXPONENT: i32 = 1000;

/**
 * Numbers of bytes [at, end) to `out`. Returns how many, or −1 where something else stands there, or a number's float32 is
 * not certain or not finite.
 */
export function numbers(at: usize, end: usize, out: usize): i32 {
  const first = out;
  if (skipSpace(at, end) == end) return 0;
  do {
    at = skipSpace(at, end);
    const negative = at < end && <u32>load<u8>(at) == MINUS;
    if (negative) at++;
    let w: u64 = 0;
    let exponent: i32 = 0;
    let exact = true;

    let digit = digitAt(at, end);
    if (digit > 9) return FAIL;
    at++;
    if (digit == 0) {
      // No number has a leading zero.
      if (digitAt(at, end) <= 9) return FAIL;
    } else {
      w = digit;
      for (digit = digitAt(at, end); digit <= 9; digit = digitAt(++at, end)) {
        if (w < ROOM_FOR_ONE) w = w * 10 + digit;
        else {
          exponent++;
          exact = false;
        }
      }
    }

    if (at < end && <u32>load<u8>(at) == POINT) {
      at++;
      digit = digitAt(at, end);
      if (digit > 9) return FAIL;
      while (w < ROOM_FOR_EIGHT && at + 8 <= end) {
        const bytes = load<u64>(at);
        if (!areEightDigits(bytes)) break;
        w = w * 100_000_000 + eightDigits(bytes);
        exponent -= 8;
        at += 8;
      }
      for (digit = digitAt(at, end); digit <= 9; digit = digitAt(++at, end)) {
        if (w < ROOM_FOR_ONE) {
          w = w * 10 + digit;
          exponent--;
        } else exact = false;
      }
    }

    if (at < end && (<u32>load<u8>(at) | 0x20) == 0x65) {
      at++;
      const sign = at < end ? <u32>load<u8>(at) : 0;
      if (sign == MINUS || sign == PLUS) at++;
      digit = digitAt(at, end);
      if (digit > 9) return FAIL;
      let power: i32 = 0;
      for (; digit <= 9; digit = digitAt(++at, end)) {
        power = power * 10 + digit;
        if (power > MAX_EXPONENT) return FAIL;
      }
      exponent += sign == MINUS ? -power : power;
    }

    let value: f64 = <f64>w;
    if (w != 0 && exponent != 0) {
      const size = exponent < 0 ? -exponent : exponent;
      // The smallest float32 with 17 digits has 10^-61.
      if (size > 3 * MAX_POWER) return FAIL;
      if (w >= EXACT || size > MAX_POWER) exact = false;
      for (let left = size; left > 0; left -= MAX_POWER) {
        const power = unchecked(POWERS[min(left, MAX_POWER)]);
        value = exponent < 0 ? value / power : value * power;
      }
    } else if (w >= EXACT) exact = false;
    if (!exact && <f32>(value * (1 - 2 ** -49)) != <f32>(value * (1 + 2 ** -49))) return FAIL;
    const rounded = <f32>(negative ? -value : value);
    if (!isFinite(rounded)) return FAIL;
    store<f32>(out, rounded);
    out += 4;

    at = skipSpace(at, end);
    if (at == end) return <i32>((out - first) >> 2);
  } while (<u32>load<u8>(at++) == COMMA);
  return FAIL;
}

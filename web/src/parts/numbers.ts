/** Numbers as the page writes them. */

const grouped = new Intl.NumberFormat("en-GB");

/** 262144 → 262,144 */
export const whole = (value: number): string => grouped.format(value);

/** 1, "edit" → 1 edit; 2 → 2 edits */
export const counted = (count: number, noun: string): string => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

/** Share as a percentage; small ones keep two significant digits. */
export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return "0 %";
  if (Math.abs(value) < 0.001) return "< 0.001 %";
  if (Math.abs(value) < 1) return `${Number(value.toPrecision(2))} %`;
  return `${value.toFixed(1)} %`;
}

/** A coefficient: three digits after the point, or an exponent where they would show nothing. */
export function coefficient(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return (size >= 1e4 || size < 5e-4 ? value.toExponential(1) : value.toFixed(3)).replace("-", "−");
}

export const bytes = (count: number): string => {
  const step = Math.max(0, Math.min(4, Math.floor(Math.log2(Math.max(count, 1)) / 10)));
  return `${(count / 2 ** (10 * step)).toFixed(step === 0 ? 0 : 1)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
};

export const seconds = (value: number): string =>
  value < 1e-3
    ? `${(value * 1e6).toFixed(0)} µs`
    : value < 1
      ? `${(value * 1e3).toFixed(value < 0.01 ? 1 : 0)} ms`
      : `${value.toFixed(1)} s`;

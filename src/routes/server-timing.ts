/** Server-Timing (W3C), in milliseconds to the microsecond. */
export const serverTiming = (stages: Readonly<Record<string, number>>): string =>
  Object.entries(stages)
    .map(([name, milliseconds]) => `${name};dur=${milliseconds.toFixed(3)}`)
    .join(", ");

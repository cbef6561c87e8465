import type { Provenance, PursuitSettings } from "../../dictionary.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";

/** A setting and who said so: "cfg.json", "SAELens' default", "--score". */
export interface Known<T> {
  readonly value: T;
  readonly from: string;
}

/** Settings of a pursuit, each with where it comes from. */
export type KnownSettings = { readonly [K in keyof PursuitSettings]: Known<PursuitSettings[K]> };

/** A dictionary as an importer understood it, before anything is written. */
export interface Understood {
  /** What it was taken for, such as "SAELens 6.54.12 matching_pursuit". */
  readonly source: string;
  readonly d: number;
  readonly m: number;
  /** [m, d] */
  readonly atoms: Float32Array;
  /** [d], present exactly when `settings.center.value`. */
  readonly center: Float32Array | null;
  readonly settings: KnownSettings;
  /** What else was done or seen, a sentence each. */
  readonly notes: readonly string[];
  readonly provenance: Provenance;
}

/**
 * Flags over what the file says, for every setting.
 * @throws ImportFault naming every flag that is needed because the file does not say.
 */
export function settle(
  layout: string,
  file: { readonly [K in keyof PursuitSettings]?: Known<PursuitSettings[K]> },
  flags: ImportFlags,
  needed: readonly (keyof ImportFlags & keyof typeof FLAG_VALUES)[] = [],
): KnownSettings {
  const settings: Record<string, Known<unknown>> = {};
  const missing = new Set<string>(needed.filter((name) => flags[name] === undefined).map((name) => FLAG_VALUES[name]));
  for (const name of ["score", "reselect", "center", "residualThreshold", "maxAtoms", "inputNorm"] as const) {
    const said = flags[name];
    const known = file[name];
    if (said !== undefined) settings[name] = { value: said, from: overridden(name, said, known) };
    else if (known) settings[name] = known;
    else missing.add(FLAG_VALUES[name]);
  }
  if (missing.size > 0) {
    throw new ImportFault([
      `${layout} does not say how its encoder works, and nothing is guessed. Add:`,
      ...[...missing].map((flag) => `  ${flag}`),
    ]);
  }
  return settings as KnownSettings;
}

function overridden(name: keyof typeof FLAG_VALUES, said: unknown, known: Known<unknown> | undefined): string {
  const flag = said === false ? `--no-${name}` : FLAG_VALUES[name].split(" ")[0]!;
  return known && known.value !== said ? `${flag}, instead of ${JSON.stringify(known.value)} (${known.from})` : flag;
}

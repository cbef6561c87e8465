import { Fault } from "../../core/errors.ts";
import type { Budget } from "../../core/budget.ts";
import type { HalfType } from "../../core/float-formats.ts";
import {
  ORTHOGONAL_SCORES,
  type OrthogonalSettings,
  type Provenance,
  type PursuitSettings,
} from "../../core/dictionary.ts";
import type { TopkSettings } from "../../encoders/topk.ts";
import type { DictionaryWeights, PursuitWeights } from "../../core/dictionary-weights.ts";
import { FLAG_VALUES, type ImportFlags, missingFlags } from "./import-flags.ts";

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
  readonly weights: DictionaryWeights;
  /** Who said so, for each of the weights' settings. */
  readonly origins: Readonly<Record<string, string>>;
  /** What else was done or seen, a sentence each. */
  readonly notes: readonly string[];
  readonly provenance: Provenance;
  /** The file's own k or cap on iterations; absent where it has none. */
  readonly defaultBudget?: Budget;
  /** The 16 bits that the source stores its numbers in: those that no fold has changed stay so on disk. */
  readonly stored?: HalfType;
  /** Nested widths, ascending, the last one m; absent where it has none. */
  readonly groups?: readonly number[];
  /** Which of these flags the layout takes; none if absent. */
  readonly taken?: readonly LayoutFlag[];
}

/** Flags for what a publisher's files cannot tell. */
export const LAYOUT_FLAGS = ["k", "layer", "threshold", "rectify", "normFactor"] as const;
type LayoutFlag = (typeof LAYOUT_FLAGS)[number];

/** Settings apart from where they come from. */
export function parted<S extends object>(known: { readonly [K in keyof S]?: Known<S[K]> }): {
  readonly settings: S;
  readonly origins: Readonly<Record<string, string>>;
} {
  const entries = Object.entries(known as Readonly<Record<string, Known<unknown>>>);
  return {
    settings: Object.fromEntries(entries.map(([name, { value }]) => [name, value])) as S,
    origins: Object.fromEntries(entries.map(([name, { from }]) => [name, from])),
  };
}

/** A matching-pursuit dictionary with its settings' origins. */
export function pursuitOf(
  dictionary: Pick<PursuitWeights, "d" | "m" | "atoms" | "center">,
  known: KnownSettings,
): Pick<Understood, "weights" | "origins"> {
  const { settings, origins } = parted<PursuitSettings>(known);
  return { weights: { kind: "matching_pursuit", ...dictionary, settings }, origins };
}

/**
 * Flags over what the file says, for every setting.
 * @throws Fault naming every flag that is needed because the file does not say.
 */
export function settle(
  layout: string,
  file: { readonly [K in keyof PursuitSettings]?: Known<PursuitSettings[K]> },
  flags: ImportFlags,
  needed: readonly (keyof ImportFlags & keyof typeof FLAG_VALUES)[] = [],
): KnownSettings {
  if (flags.rawScores !== undefined) {
    throw new Fault("import", [
      `${FLAG_VALUES.rawScores}: a setting of --kind orthogonal_matching_pursuit; leave it out.`,
    ]);
  }
  return settleNamed(PURSUIT_SETTINGS, layout, file, flags, needed) as KnownSettings;
}

const PURSUIT_SETTINGS = ["score", "reselect", "center", "residualThreshold", "maxAtoms", "inputNorm"] as const;
const ORTHOGONAL_SETTINGS = ["score", "rawScores", "center", "residualThreshold", "maxAtoms", "inputNorm"] as const;

/** Settings of an orthogonal pursuit, each with where it comes from. */
export type KnownOrthogonal = { readonly [K in keyof OrthogonalSettings]: Known<OrthogonalSettings[K]> };

/** The same for an orthogonal pursuit, which bare atoms alone can be given. @throws Fault */
export function settleOrthogonal(
  layout: string,
  file: { readonly [K in keyof OrthogonalSettings]?: Known<OrthogonalSettings[K]> },
  flags: ImportFlags,
  needed: readonly (keyof ImportFlags & keyof typeof FLAG_VALUES)[] = [],
): KnownOrthogonal {
  if (flags.reselect !== undefined) {
    throw new Fault("import", ["--reselect: an orthogonal pursuit selects an atom once; leave it out."]);
  }
  const settings = settleNamed(ORTHOGONAL_SETTINGS, layout, file, flags, needed) as KnownOrthogonal;
  if (ORTHOGONAL_SCORES.includes(settings.score.value)) return settings;
  throw new Fault("import", [
    `--score ${settings.score.value}: an orthogonal pursuit takes absolute, or relu for coefficients that are never negative.`,
  ]);
}

/** An orthogonal matching-pursuit dictionary with its settings' origins. */
export function orthogonalOf(
  dictionary: Pick<PursuitWeights, "d" | "m" | "atoms" | "center">,
  known: KnownOrthogonal,
): Pick<Understood, "weights" | "origins"> {
  const { settings, origins } = parted<OrthogonalSettings>(known);
  return { weights: { kind: "orthogonal_matching_pursuit", ...dictionary, settings }, origins };
}

function settleNamed(
  names: readonly (keyof ImportFlags & keyof typeof FLAG_VALUES)[],
  layout: string,
  file: Readonly<Partial<Record<keyof ImportFlags, Known<unknown>>>>,
  flags: ImportFlags,
  needed: readonly (keyof ImportFlags & keyof typeof FLAG_VALUES)[],
): Readonly<Record<string, Known<unknown>>> {
  const settings: Record<string, Known<unknown>> = {};
  const missing = new Set<string>(needed.filter((name) => flags[name] === undefined).map((name) => FLAG_VALUES[name]));
  for (const name of names) {
    const said = flags[name];
    const known = file[name];
    if (said !== undefined) settings[name] = { value: said, from: overridden(name, said, known) };
    else if (known) settings[name] = known;
    else missing.add(FLAG_VALUES[name]);
  }
  if (missing.size > 0) throw missingFlags(layout, missing);
  return settings;
}

/** Where a setting comes from that a flag gives. */
export function overridden(name: keyof typeof FLAG_VALUES, said: unknown, known: Known<unknown> | undefined): string {
  const flag = said === false ? FLAG_VALUES[name].split(" ").at(-1)! : FLAG_VALUES[name].split(" ")[0]!;
  return known && known.value !== said ? `${flag}, instead of ${JSON.stringify(known.value)} (${known.from})` : flag;
}

/** Settings of a TopK encoder, each with where it comes from. */
export type KnownTopk = {
  readonly [K in Exclude<keyof TopkSettings, "rectify" | "scaleByDecoderNorm" | "skip">]: Known<TopkSettings[K]>;
};

/** Flags that settle something of a TopK encoder over what the file says. @throws Fault for those that cannot */
export function topkFlags(file: KnownTopk, flags: ImportFlags): KnownTopk {
  const meaningless = (["score", "reselect", "rawScores", "residualThreshold", "center"] as const).filter(
    (name) => flags[name] !== undefined,
  );
  if (meaningless.length > 0) {
    const named = meaningless.map((name) => FLAG_VALUES[name].split(" ")[0]!).join(", ");
    throw new Fault("import", [`${named}: a TopK encoder has no such setting; leave it out.`]);
  }
  if (flags.maxAtoms === null)
    throw new Fault("import", ["--max-atoms none: a TopK encoder keeps k entries; give a number."]);
  return {
    ...file,
    ...(flags.maxAtoms !== undefined && {
      k: { value: flags.maxAtoms, from: overridden("maxAtoms", flags.maxAtoms, file.k) },
    }),
    ...(flags.inputNorm !== undefined && {
      inputNorm: { value: flags.inputNorm, from: overridden("inputNorm", flags.inputNorm, file.inputNorm) },
    }),
  };
}

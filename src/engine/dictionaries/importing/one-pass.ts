import type { InputNorm, Role } from "../../core/dictionary.ts";
import type { OnePassSettings, OnePassWeights } from "../../encoders/one-pass.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { ImportFault } from "./import-fault.ts";
import { type Known, overridden, parted, type Understood } from "./understood.ts";

/** Settings that every one-pass dictionary has, each with where it comes from. */
interface KnownCommon {
  readonly center: Known<boolean>;
  readonly subtractCenter: Known<boolean>;
  readonly inputNorm: Known<InputNorm>;
}

/** A one-pass dictionary as an importer read it. */
export interface OnePassParts<S extends OnePassSettings = OnePassSettings> {
  readonly kind: string;
  readonly role: Role;
  readonly dIn: number;
  readonly dOut: number;
  readonly m: number;
  /** [m, dOut] */
  readonly atoms: Float32Array;
  /** [dOut] */
  readonly center: Float32Array;
  readonly tensors: OnePassWeights["tensors"];
  readonly common: KnownCommon;
  /** Settings of the kind itself. */
  readonly own: { readonly [K in Exclude<keyof S, keyof OnePassSettings>]?: Known<S[K]> };
}

/** Flags about a pursuit, which say nothing of an encoder with weights of its own. */
const PURSUIT_FLAGS = [
  "score",
  "reselect",
  "rawScores",
  "residualThreshold",
  "center",
  "maxAtoms",
  "normalize",
] as const;

/** @throws ImportFault for flags that a one-pass dictionary cannot take */
export function refusePursuitFlags(flags: ImportFlags, what: string): void {
  const given = PURSUIT_FLAGS.filter((name) => flags[name] !== undefined);
  if (given.length === 0) return;
  const named = given.map((name) => FLAG_VALUES[name].split(" ")[0]!).join(", ");
  throw new ImportFault([`${named}: ${what} has an encoder of its own, which has no such setting; leave it out.`]);
}

/** Settings that a publisher's code fixes: its bias is added in decode, and rows are not normed. */
export const fixedBy = (from: string, subtractCenter: boolean): KnownCommon => ({
  center: { value: true, from },
  subtractCenter: { value: subtractCenter, from },
  inputNorm: { value: "none", from },
});

/** @throws ImportFault for --role transcoder where the layout holds autoencoders only */
export function refuseTranscoder({ role }: ImportFlags, layout: string): void {
  if (role === "transcoder") throw new ImportFault([`--role transcoder: ${layout} saves autoencoders; leave it out.`]);
}

/** The weights and the origins of their settings. */
export function onePassOf<S extends OnePassSettings>(
  { kind, role, dIn, dOut, m, atoms, center, tensors, common, own }: OnePassParts<S>,
  flags: ImportFlags,
): Pick<Understood, "weights" | "origins"> {
  const { inputNorm: said } = flags;
  const inputNorm =
    said === undefined ? common.inputNorm : { value: said, from: overridden("inputNorm", said, common.inputNorm) };
  const skip = "skip" in tensors ? { skip: { value: true, from: "the file's tensors" } } : {};
  const { settings, origins } = parted<S>({ ...own, ...common, inputNorm, ...skip });
  return {
    weights: {
      kind,
      role,
      dIn,
      d: dOut,
      m,
      atoms,
      center,
      settings,
      tensors,
    },
    origins,
  };
}

/** "0.51 to 3.2", for a report. */
export function rangeOf(values: Float32Array): string {
  const sorted = values.toSorted();
  return `${Number(sorted[0]!.toPrecision(4))} to ${Number(sorted.at(-1)!.toPrecision(4))}`;
}

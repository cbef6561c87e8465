import { Fault } from "../../core/errors.ts";
import type { Block, InputNorm, Role } from "../../core/dictionary.ts";
import type { OnePassSettings, OnePassWeights } from "../../encoders/one-pass.ts";
import { shownJson } from "../formats/json-file.ts";
import { FLAG_VALUES, type ImportFlags } from "./import-flags.ts";
import { COUNT } from "./read-config.ts";
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
  /** [dOut]; null where decode adds nothing. */
  readonly center: Float32Array | null;
  readonly tensors: OnePassWeights["tensors"];
  readonly common: KnownCommon;
  /** Of a dictionary over several layers. */
  readonly layers?: number;
  readonly blocks?: readonly Block[];
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

/** @throws Fault for flags that a one-pass dictionary cannot take */
export function refusePursuitFlags(flags: ImportFlags, what: string): void {
  const given = PURSUIT_FLAGS.filter((name) => flags[name] !== undefined);
  if (given.length === 0) return;
  const named = given.map((name) => FLAG_VALUES[name].split(" ")[0]!).join(", ");
  throw new Fault("import", [`${named}: ${what} has an encoder of its own, which has no such setting; leave it out.`]);
}

/** Settings that a publisher's code fixes: its bias is added in decode, and rows are not normed. */
export const fixedBy = (from: string, subtractCenter: boolean): KnownCommon => ({
  center: { value: true, from },
  subtractCenter: { value: subtractCenter, from },
  inputNorm: { value: "none", from },
});

/** @throws Fault for --role transcoder where the layout holds autoencoders only */
export function refuseTranscoder({ role }: ImportFlags, layout: string): void {
  if (role === "transcoder")
    throw new Fault("import", [`--role transcoder: ${layout} saves autoencoders; leave it out.`]);
}

/** The weights and the origins of their settings. */
export function onePassOf<S extends OnePassSettings>(
  { kind, role, dIn, dOut, m, layers, blocks, atoms, center, tensors, common, own }: OnePassParts<S>,
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
      ...(layers !== undefined && { layers }),
      ...(blocks && { blocks }),
      atoms,
      center,
      settings,
      tensors,
    },
    origins,
  };
}

/**
 * Nested widths for a manifest, ascending to m; none where there is only the whole dictionary.
 * @param where the field that holds them, for the fault
 * @throws Fault
 */
export function nestedWidths(widths: readonly unknown[], m: number, where: string): Pick<Understood, "groups"> {
  const counts = widths.every(COUNT.test) ? widths : [];
  // SAELens trains with m as the last width, and its config may leave that one out.
  const groups = counts.at(-1)! < m ? [...counts, m] : counts;
  const ascend = groups.every((width, i) => i === 0 || width > groups[i - 1]!);
  if (groups.length === 0 || !ascend || groups.at(-1) !== m) {
    throw new Fault("import", [`${where} is ${shownJson(widths)}; nested widths must ascend to the ${m} atoms.`]);
  }
  return groups.length === 1 ? {} : { groups };
}

/** The same from the sizes of the groups, which follow one another. @throws Fault */
export function nestedSizes(sizes: readonly unknown[], m: number, where: string): Pick<Understood, "groups"> {
  let width = 0;
  const widths = sizes.every(COUNT.test) ? sizes.map((size) => (width += size)) : [];
  if (width === m) return nestedWidths(widths, m, where);
  throw new Fault("import", [`${where} is ${shownJson(sizes)}; the sizes must add up to the ${m} atoms.`]);
}

/** "Groups 64, 128, 256." for a report; nothing where there are none. */
export const groupsNote = ({ groups }: Pick<Understood, "groups">): readonly string[] =>
  groups === undefined ? [] : [`Nested widths ${groups.join(", ")}: a budget's group names one of them.`];

/** "0.51 to 3.2", for a report. */
export function rangeOf(values: Float32Array): string {
  const sorted = values.toSorted();
  return `${Number(sorted[0]!.toPrecision(4))} to ${Number(sorted.at(-1)!.toPrecision(4))}`;
}

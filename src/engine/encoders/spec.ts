import type Type from "typebox";
import type { TSchema } from "typebox";
import { type Block, type EncoderSettings, INPUT_NORMS, type Role } from "../core/dictionary.ts";
import type { DictionaryWeights } from "../core/dictionary-weights.ts";

/** TypeBox, given to each schema: runtime processes read specs without the 0.2 s that importing it takes. */
export type TypeBox = typeof Type;

/** Lengths that the tensors of a dictionary are made of. */
export interface Widths {
  /** Row length. */
  readonly dIn: number;
  /** Width of an atom, which decode makes. */
  readonly dOut: number;
  /** Number of atoms. */
  readonly m: number;
  readonly layers?: number;
  readonly blocks?: readonly Block[];
}

/** Limits on `max_atoms` of one row. */
export interface BudgetRule {
  /** Largest `max_atoms` of a budget. */
  readonly cap: number;
  /** Atoms of one row where the budget sets no `max_atoms`. */
  readonly unset: number;
}

/**
 * Everything that the server, import and verify need to know about an encoder kind. Methods get the settings as the
 * kind's own schema checked them. To add a kind: one file, and two lines of `registry.ts`.
 */
export interface EncoderSpec<S extends EncoderSettings = EncoderSettings> {
  readonly kind: string;
  /** `pursuit` selects atom after atom; `one_pass` takes its activations from one matrix product. */
  readonly family: "pursuit" | "one_pass";
  readonly roles: readonly Role[];
  /** Schema of `encoder` in dictionary.json, snake_case. */
  schema(type: TypeBox): TSchema;
  /** Tensors beside `atoms` and `center`: name → shape. */
  tensors(widths: Widths, settings: S): Readonly<Record<string, readonly number[]>>;
  /** @param serverCap PURSUIT_MAX_ATOMS */
  budget(settings: S, widths: Widths, serverCap: number): BudgetRule;
  /** Sentences about settings that contradict the widths, naming the field of dictionary.json. */
  faults?(settings: S, widths: Widths): readonly string[];
  /** Sentences about weights that are allowed and deserve attention. */
  warnings?(weights: DictionaryWeights<S>, largestSquaredNorm: number): readonly string[];
}

/** Refuses fields that the schema does not name. */
export const closed = { additionalProperties: false } as const;

export const oneOf = <T extends string>(type: TypeBox, values: readonly T[]) => type.Enum(values as [T, ...T[]]);

/** Settings that every kind has. */
export const commonSchema = (type: TypeBox) => ({ center: type.Boolean(), input_norm: oneOf(type, INPUT_NORMS) });

import type { TProperties } from "typebox";
import type { Activation } from "../core/candidate-atoms.ts";
import { type EncoderSettings, type Role, ROLES } from "../core/dictionary.ts";
import type { DictionaryWeights } from "../core/dictionary-weights.ts";
import { type BudgetRule, closed, commonSchema, type EncoderSpec, type TypeBox, type Widths } from "./spec.ts";

/** Settings of every one-pass kind: h = W·(norm(x) − b) + bias, activations of h, x̂ = Dᵀa + b. */
export interface OnePassSettings extends EncoderSettings {
  /** Whether b is subtracted before the encoder. Decode adds it under `center` either way. Autoencoders only. */
  readonly subtractCenter: boolean;
  /** Whether decode adds x · skipᵀ of the row as it was posted, layer by layer; default false. Transcoders only. */
  readonly skip?: boolean;
}

/** A one-pass dictionary in memory. */
export interface OnePassWeights<S extends OnePassSettings = OnePassSettings> extends DictionaryWeights<S> {
  readonly role: Role;
  /** Row length. */
  readonly dIn: number;
  /**
   * `encoder_weight` [m, dIn], `encoder_bias` [m] unless the kind has its own biases, the kind's own tensors, and a
   * transcoder's `skip` [d, dIn], where it has one. With blocks `encoder_weight` is [m, dIn / layers] and `skip`
   * [layers, d / layers, dIn / layers].
   */
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

/** Settings whose selections are ranked by h_j · ||D_j||. */
export interface ScaledSettings extends OnePassSettings {
  /**
   * Default `false`. `true`: scores h_j · ||D_j|| are also the values, and decode uses unit atoms (SAELens' rescale_acts_by_decoder_norm).
   * `"select"`: scores only select; values are h_j (OpenMOSS).
   */
  readonly scaleByDecoderNorm?: boolean | "select";
}

export const scaleByDecoderNormSchema = (type: TypeBox) => type.Union([type.Boolean(), type.Literal("select")]);

/** A row of a one-pass encoder in float64, before its activation. */
interface ReferenceRow<S extends OnePassSettings> {
  /** [m] W·in + bias */
  readonly h: Float64Array;
  /** [m] ||D_j|| */
  readonly norms: Float64Array;
  readonly weights: OnePassWeights<S>;
}

/** Activations in float64, with how far each score is from being otherwise. */
interface ReferenceCode {
  /** [m] activations, 0 where inactive */
  readonly values: Float64Array;
  /** [m] distance of each score from its limit */
  readonly margins: Float64Array;
  /** [m] factor between h and the scores; absent: 1 */
  readonly scale?: Float64Array;
}

/** The activation rule of a kind, written twice. Methods, so that each kind may name its own settings. */
interface ActivationRule<S extends OnePassSettings> {
  /** As it is served, in float32. @param norms [m] ||D_j|| of the atoms as they are stored */
  activation(this: void, weights: OnePassWeights<S>, norms: Float64Array): Activation;
  /** In plain float64: verify and the tests compare with it. It shares no code with `activation`. */
  reference(this: void, row: ReferenceRow<S>): ReferenceCode;
}

export interface OnePassSpec<S extends OnePassSettings = OnePassSettings> extends EncoderSpec<S>, ActivationRule<S> {}

/** The parts of a spec that differ from kind to kind. */
interface OnePassKind<S extends OnePassSettings> extends ActivationRule<S> {
  readonly kind: string;
  /** Settings beside the common ones. */
  readonly schema?: (type: TypeBox) => TProperties;
  /** Tensors beside `encoder_weight`; default `encoder_bias` [m]. */
  readonly tensors?: (widths: Widths) => Readonly<Record<string, readonly number[]>>;
  readonly faults?: (settings: S, widths: Widths) => readonly string[];
}

/** The spec of a one-pass kind. */
export function onePassSpec<S extends OnePassSettings>({
  kind,
  schema = () => ({}),
  tensors = ({ m }) => ({ encoder_bias: [m] }),
  faults,
  activation,
  reference,
}: OnePassKind<S>): OnePassSpec<S> {
  return {
    kind,
    family: "one_pass",
    roles: ROLES,
    schema: (type) =>
      type.Object(
        {
          ...commonSchema(type),
          subtract_center: type.Boolean(),
          skip: type.Optional(type.Boolean()),
          ...schema(type),
        },
        closed,
      ),
    tensors: (widths, { skip = false }) => {
      const { m, dIn, dOut, layers = 1, blocks } = widths;
      return {
        encoder_weight: [m, blocks === undefined ? dIn : dIn / layers],
        ...tensors(widths),
        ...(skip && { skip: blocks === undefined ? [dOut, dIn] : [layers, dOut / layers, dIn / layers] }),
      };
    },
    // Without a budget a row keeps every active atom, however many those are.
    budget: (_settings, { m }, serverCap): BudgetRule => ({ cap: Math.min(m, serverCap), unset: m }),
    ...(faults && { faults }),
    activation,
    reference,
  };
}

/** The fault of a k that is larger than the dictionary. */
export const kFaults = ({ k }: { readonly k: number }, { m }: Widths): readonly string[] =>
  k > m ? [`encoder.k is ${k}; the dictionary has ${m} atoms, so it must be 1 to ${m}.`] : [];

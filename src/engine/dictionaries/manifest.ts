import { Fault, isSystemError } from "../core/errors.ts";
import { join } from "node:path";
import Type from "typebox";
import { Compile } from "typebox/compile";
import { Settings } from "typebox/system";
import type { Budget } from "../core/budget.ts";
import {
  DICTIONARY_ID_PATTERN,
  type DictionaryManifest,
  type EncoderSettings,
  isLayered,
  makesItsRow,
  type Role,
  ROLES,
} from "../core/dictionary.ts";
import { camelCase, isObject, snakeCase } from "../core/json-object.ts";
import type { OnePassSettings } from "../encoders/one-pass.ts";
import { ENCODER_KINDS, findSpec, specOf } from "../encoders/registry.ts";
import { closed, type EncoderSpec, oneOf } from "../encoders/spec.ts";
import { FormatError } from "./formats/format-error.ts";
import { type JsonText, type NonFinite, parseJsonText, readJsonFile, shownJson } from "./formats/json-file.ts";

export const MANIFEST_FILE = "dictionary.json";

/** Maximum faults and names shown. */
const SHOWN = 12;

// No limit on faults: unknown fields come first and would crowd out the others. MAX_MANIFEST_BYTES bounds them.
Settings.Set({ maxErrors: Number.MAX_SAFE_INTEGER });

/** A manifest is settings and provenance; a megabyte is something else. */
const MAX_MANIFEST_BYTES = 1 << 20;

/**
 * Rows have at most about 150,000 numbers (4,096 of 36 layers side by side), the largest published dictionary 1,048,576
 * atoms. This leaves room, and keeps m · d exact in the tensor checks.
 */
const MAX_D = 262_144;
const MAX_M = 8_388_608;
/** Published dictionaries have about five nested widths. */
const MAX_GROUPS = 64;
/** Far more layers than a model has. */
const MAX_LAYERS = 1024;

const DEFAULT_BUDGET = Type.Object(
  {
    max_atoms: Type.Optional(Type.Integer({ minimum: 0 })),
    tolerance: Type.Optional(Type.Number({ minimum: 0 })),
    residual_norm: Type.Optional(Type.Number({ minimum: 0 })),
    min_gain: Type.Optional(Type.Number({ minimum: 0 })),
    group: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  closed,
);

const width = Type.Integer({ minimum: 1, maximum: MAX_D });

const count = Type.Integer({ minimum: 0 });
const BLOCK = Type.Object(
  { from: count, to: count, layer: count, writes: Type.Array(count, { minItems: 1, maxItems: MAX_LAYERS }) },
  closed,
);

/**
 * Schema of `dictionary.json` for one kind, so that errors name only that kind's settings (docs/import.md, On disk).
 */
const schemaOf = (spec: EncoderSpec) =>
  Compile(
    Type.Object(
      {
        format: Type.Literal(1),
        id: Type.String({ pattern: DICTIONARY_ID_PATTERN }),
        kind: oneOf(Type, ENCODER_KINDS),
        role: Type.Optional(oneOf(Type, ROLES)),
        d: Type.Optional(width),
        d_in: Type.Optional(width),
        d_out: Type.Optional(width),
        m: Type.Integer({ minimum: 1, maximum: MAX_M }),
        layers: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_LAYERS })),
        blocks: Type.Optional(Type.Array(BLOCK, { minItems: 1, maxItems: MAX_LAYERS })),
        groups: Type.Optional(Type.Array(Type.Integer({ minimum: 1 }), { minItems: 1, maxItems: MAX_GROUPS })),
        encoder: spec.schema(Type),
        default_budget: Type.Optional(DEFAULT_BUDGET),
        provenance: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      },
      closed,
    ),
  );

const schemas = new Map<string, ReturnType<typeof schemaOf>>();

/** Compiled when a kind is first read. A file that names no served kind is checked by the first kind's schema. */
function schemaFor(value: unknown): { readonly spec: EncoderSpec; readonly schema: ReturnType<typeof schemaOf> } {
  const spec = findSpec(isObject(value) ? value["kind"] : undefined) ?? specOf({ kind: ENCODER_KINDS[0]! });
  let schema = schemas.get(spec.kind);
  if (schema === undefined) schemas.set(spec.kind, (schema = schemaOf(spec)));
  return { spec, schema };
}

/**
 * Reads and checks the manifest of a dictionary folder.
 * @param warn gets sentences about allowed oddities: numbers in provenance that JSON lacks, a pursuit without a cap
 * @throws Fault with every fault: the field, its value, the allowed values
 */
export async function readManifest(folder: string, warn?: (sentence: string) => void): Promise<DictionaryManifest> {
  try {
    return checkManifest(await readJsonFile(join(folder, MANIFEST_FILE), MAX_MANIFEST_BYTES), warn);
  } catch (error) {
    if (error instanceof FormatError) throw new Fault("broken", [error.message]);
    if (!isSystemError(error)) throw error;
    throw new Fault("broken", [`${MANIFEST_FILE} cannot be read: ${error.message}.`]);
  }
}

/** Reads a manifest from its text. @throws Fault */
export function parseManifest(text: string): DictionaryManifest {
  try {
    return checkManifest(parseJsonText(MANIFEST_FILE, Buffer.from(text)));
  } catch (error) {
    if (error instanceof FormatError) throw new Fault("broken", [error.message]);
    throw error;
  }
}

function checkManifest({ value, nonFinite }: JsonText, warn?: (sentence: string) => void): DictionaryManifest {
  const { spec, schema } = schemaFor(value);
  const lacking = widthFaults(value);
  if (lacking.length > 0 || !schema.Check(value))
    throw new Fault("broken", [...faultsOf(schema, value, nonFinite), ...lacking]);
  for (const { text } of nonFinite) warn?.(`${MANIFEST_FILE}: ${text}; it is shown as null.`);
  const written = value as unknown as Written;
  const {
    id,
    role = "autoencoder",
    m,
    kind,
    layers,
    blocks,
    groups,
    provenance = {},
    default_budget: budget,
  } = written;
  const { d, d_in: dIn = d!, d_out: dOut = d! } = written;
  const settings = camelCase(written.encoder) as unknown as EncoderSettings;
  const defaultBudget = budget === undefined ? {} : { defaultBudget: camelCase(budget) as Budget };
  const manifest: DictionaryManifest = {
    id,
    kind,
    role,
    dIn,
    dOut,
    m,
    ...(layers !== undefined && { layers }),
    ...(blocks && { blocks }),
    ...(groups && { groups }),
    encoder: settings,
    ...defaultBudget,
    provenance,
  };
  const faults = [
    ...roleFaults(manifest, spec),
    ...layerFaults(manifest, spec),
    ...groupFaults(manifest, spec),
    ...(spec.faults?.(settings, manifest) ?? []),
    ...budgetFaults(manifest, spec),
  ];
  if (faults.length > 0)
    throw new Fault(
      "broken",
      faults.map((fault) => `${MANIFEST_FILE}: ${fault}`),
    );
  if (warn && isUncapped(manifest, spec)) {
    warn(
      `${MANIFEST_FILE} has neither default_budget nor encoder.max_atoms, so a row without a budget may take ` +
        'PURSUIT_MAX_ATOMS selections. Add "default_budget": {"max_atoms": n}, with n as in its training.',
    );
  }
  return manifest;
}

/** dictionary.json after the schema check. */
interface Written extends Pick<DictionaryManifest, "id" | "kind" | "m" | "layers" | "blocks" | "groups" | "encoder"> {
  readonly role?: Role;
  readonly d?: number;
  readonly d_in?: number;
  readonly d_out?: number;
  readonly default_budget?: object;
  readonly provenance?: DictionaryManifest["provenance"];
}

/** Checks that each width is given once. */
function widthFaults(value: unknown): string[] {
  if (!isObject(value)) return [];
  const { d, d_in: dIn, d_out: dOut } = value as Partial<Written>;
  const both = dIn !== undefined && dOut !== undefined;
  if (d === undefined ? both : (dIn ?? d) === d && (dOut ?? d) === d) return [];
  return [`${MANIFEST_FILE}: the file must have d_in and d_out, or d for both.`];
}

/** Checks settings and widths against the role. */
function roleFaults({ role, dIn, dOut, encoder }: DictionaryManifest, { kind, roles }: EncoderSpec): string[] {
  const { subtractCenter = false, skip = false } = encoder as Partial<OnePassSettings>;
  const faults: string[] = [];
  if (!roles.includes(role)) faults.push(`role is ${role}; kind ${kind} is made for ${roles.join(", ")}.`);
  if (makesItsRow(role)) {
    if (dIn !== dOut)
      faults.push(
        `d_in is ${dIn}, d_out ${dOut}; ${role === "autoencoder" ? "an autoencoder" : "a crosscoder"}'s are equal. Is its role "${role === "autoencoder" ? "transcoder" : "cross_layer_transcoder"}"?`,
      );
    if (skip) faults.push("encoder.skip is true; only a transcoder has a skip.");
  } else if (subtractCenter) {
    faults.push("encoder.subtract_center is true; a transcoder's centre belongs to its output, so it must be false.");
  }
  return faults;
}

/** Checks layers and blocks against the role and the widths. */
function layerFaults({ role, dIn, dOut, m, layers, blocks, groups, encoder }: DictionaryManifest, spec: EncoderSpec) {
  if (!isLayered(role)) {
    if (layers === undefined && blocks === undefined) return [];
    return [
      `${layers === undefined ? "blocks" : "layers"}: role ${role} has one layer, so leave layers and blocks out.`,
    ];
  }
  const faults: string[] = [];
  if (spec.family !== "one_pass") return faults;
  if (layers === undefined)
    return [`layers is missing; role ${role} needs the number of layers side by side in a row.`];
  if (dIn % layers !== 0 || dOut % layers !== 0)
    faults.push(
      `layers is ${layers}; it must divide d_in, ${dIn}, and d_out, ${dOut}: they are of all layers together.`,
    );
  if (encoder.inputNorm !== "none")
    faults.push(
      `encoder.input_norm is ${encoder.inputNorm}; rows of several layers are not normed, so it must be none.`,
    );
  if (blocks === undefined) {
    if (role === "cross_layer_transcoder")
      faults.push("blocks is missing; each atom of a cross-layer transcoder reads one layer, and blocks says which.");
    return faults;
  }
  if ((encoder as Partial<OnePassSettings>).subtractCenter === true)
    faults.push("encoder.subtract_center is true; atoms with blocks read one layer, so it must be false.");
  if (groups !== undefined) faults.push("groups and blocks are both given; nested widths cannot be of several layers.");
  let next = 0;
  for (const [i, { from, to, layer, writes }] of blocks.entries()) {
    if (from !== next || to <= from)
      faults.push(`blocks[${i}] holds atoms ${from} to ${to}; it must begin at ${next} and hold one atom or more.`);
    next = to;
    const { k = 1 } = encoder as { readonly k?: number };
    if (k > to - from)
      faults.push(`encoder.k is ${k}; it holds for each block, and blocks[${i}] has ${to - from} atoms.`);
    if (layer >= layers) faults.push(`blocks[${i}].layer is ${layer}; there are layers 0 to ${layers - 1}.`);
    if (writes.some((one, n) => one >= layers || (n > 0 && one <= writes[n - 1]!)))
      faults.push(`blocks[${i}].writes is [${writes.join(", ")}]; it must ascend within layers 0 to ${layers - 1}.`);
  }
  if (next !== m) faults.push(`blocks end with atom ${next}; they must end with m, ${m}.`);
  return faults.slice(0, SHOWN);
}

function groupFaults({ groups, m }: DictionaryManifest, { kind, family }: EncoderSpec): readonly string[] {
  if (groups === undefined) return [];
  const shown = `groups is [${groups.join(", ")}]`;
  if (family !== "one_pass") return [`${shown}; kind ${kind} selects among all atoms, so leave groups out.`];
  const ascends = groups.every((group, i) => i === 0 || group > groups[i - 1]!);
  return ascends && groups.at(-1) === m ? [] : [`${shown}; the widths must ascend and end with m, ${m}.`];
}

function budgetFaults(manifest: DictionaryManifest, spec: EncoderSpec): readonly string[] {
  const { encoder, defaultBudget, groups = [] } = manifest;
  const { cap } = spec.budget(encoder, manifest, Infinity);
  const { maxAtoms = 0, group } = defaultBudget ?? {};
  return [
    ...(maxAtoms > cap ? [`default_budget.max_atoms is ${maxAtoms}; this encoder takes ${cap} atoms at most.`] : []),
    ...(group === undefined || groups.includes(group)
      ? []
      : [`default_budget.group is ${group}; groups is [${groups.join(", ")}].`]),
  ];
}

/** Whether only the server limits the selections of a row without a budget. */
const isUncapped = (manifest: DictionaryManifest, spec: EncoderSpec): boolean =>
  manifest.defaultBudget === undefined &&
  spec.family === "pursuit" &&
  spec.budget(manifest.encoder, manifest, Infinity).cap === Infinity;

function faultsOf(schema: ReturnType<typeof schemaOf>, value: unknown, nonFinite: readonly NonFinite[]): string[] {
  const faults = new Map<string, string>();
  for (const error of schema.Errors(value)) {
    // An unknown field, which the error about its object names too.
    if (error.keyword === "boolean") continue;
    const field = error.instancePath.slice(1).replaceAll("/", ".");
    const held = at(value, error.instancePath);
    const allowed = "allowedValues" in error.params ? `: ${(error.params.allowedValues as string[]).join(", ")}` : "";
    const members = describe(error.params);
    const constant = "allowedValue" in error.params ? `must be ${JSON.stringify(error.params.allowedValue)}` : null;
    const detail = members ?? constant ?? `${error.message}${allowed}`;
    const place = nonFinite.find(({ path }) => path.join(".") === field)?.text;
    const shown = held === undefined || typeof held === "object" ? "" : ` is ${shownJson(held)}; it`;
    // The first error about a field is the clearest; a union adds one for each of its variants.
    const about = members === null ? field : `${field} ${members}`;
    if (!faults.has(about))
      faults.set(
        about,
        `${MANIFEST_FILE}: ${place === undefined ? `${field || "the file"}${shown}` : `${place}; it`} ${detail}.`,
      );
  }
  const told = [...faults.values()];
  return told.length > SHOWN ? [...told.slice(0, SHOWN), `… and ${told.length - SHOWN} faults more.`] : told;
}

/** Names from the file: each cut, only the first of many. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN).map((name) => name.slice(0, 60));
  return names.length > SHOWN ? `${shown.join(", ")} and ${names.length - SHOWN} more` : shown.join(", ");
}

/** Errors about an object's members: several may be at one field. */
function describe(params: object): string | null {
  if ("requiredProperties" in params) return `must have ${(params.requiredProperties as string[]).join(", ")}`;
  if ("additionalProperties" in params) return `must not have ${listed(params.additionalProperties as string[])}`;
  return null;
}

function at(value: unknown, pointer: string): unknown {
  return pointer
    .split("/")
    .slice(1)
    .reduce((inner: unknown, key) => (inner as Record<string, unknown> | undefined)?.[key], value);
}

/** The manifest's text on disk. */
export function manifestText(manifest: DictionaryManifest): string {
  const { id, kind, role, dIn, dOut, m, layers, blocks, groups, encoder, defaultBudget, provenance } = manifest;
  const head = { format: 1, id, kind, role, d_in: dIn, d_out: dOut, m, layers, blocks, groups };
  const budget = defaultBudget === undefined ? {} : { default_budget: snakeCase(defaultBudget) };
  return `${JSON.stringify({ ...head, encoder: snakeCase(encoder), ...budget, provenance }, null, 2)}\n`;
}

import { Fault } from "../../core/errors.ts";
import { stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Role } from "../../core/dictionary.ts";
import type { JumpReluSettings } from "../../encoders/jumprelu.ts";
import { shownJson } from "../formats/json-file.ts";
import { FormatError } from "../formats/format-error.ts";
import type { TensorFile } from "../formats/tensor-file.ts";
import { expectTensors, matrixShape, openWeights } from "./expect-tensors.ts";
import type { ImportFlags } from "./import-flags.ts";
import { onePassOf, rangeOf, refusePursuitFlags } from "./one-pass.ts";
import { BOOLEAN, Config, STRING } from "./read-config.ts";
import { transpose } from "./transpose.ts";
import type { Known, Understood } from "./understood.ts";

/** Name of the weights without their ending: params.npz (Gemma Scope 1), params.safetensors (Gemma Scope 2). */
export const GEMMA_SCOPE_WEIGHTS = "params";

/**
 * A folder of Gemma Scope 1 or 2: JumpReLU dictionaries and transcoders with W_enc [d, m], W_dec [m, d_out], b_enc, b_dec and
 * threshold, in either spelling. b_dec is never subtracted and rows are not normed. Gemma Scope 2 has a config.json, which may be missing.
 * @throws Fault, FormatError
 */
export async function understandGemmaScope(folder: string, weights: string, flags: ImportFlags): Promise<Understood> {
  refusePursuitFlags(flags, "Gemma Scope's JumpReLU");
  const config = await readConfig(folder);
  const file = await openWeights(weights);
  try {
    return await understandParams(folder, file, config, flags);
  } finally {
    await file.close();
  }
}

async function understandParams(
  folder: string,
  file: TensorFile,
  config: GemmaConfig | null,
  flags: ImportFlags,
): Promise<Understood> {
  const names = namesOf(file);
  const [d, m] = matrixShape(file, names.W_enc, "W_enc");
  const [, dOut] = matrixShape(file, names.W_dec, "W_dec");
  const skipName = names.skip;
  expectTensors(
    file,
    {
      [names.W_enc]: [d, m],
      [names.W_dec]: [m, dOut],
      [names.b_enc]: [m],
      [names.b_dec]: [dOut],
      [names.threshold]: [m],
      ...(skipName !== null && { [skipName]: [d, dOut] }),
    },
    "Gemma Scope",
  );
  const role = roleOf(folder, config, { d, dOut, skip: skipName !== null }, flags);
  const threshold = await file.readFloats(names.threshold);
  const [encoder, atoms, notes] = await embedded(folder, file, names, d, m);
  const tensors = {
    encoder_weight: encoder,
    encoder_bias: await file.readFloats(names.b_enc),
    threshold,
    // Stored for x @ skip; Pursuit holds [d_out, d_in].
    ...(skipName !== null && { skip: transpose(await file.readFloats(skipName), d, dOut) }),
  };
  const published = { from: "Gemma Scope" };
  return {
    source: `Gemma Scope ${config === null ? "" : "2 "}${role.value === "transcoder" ? "transcoder" : "jumprelu"}`,
    ...onePassOf<JumpReluSettings>(
      {
        kind: "jumprelu",
        role: role.value,
        dIn: d,
        dOut,
        m,
        atoms,
        center: await file.readFloats(names.b_dec),
        tensors,
        common: {
          center: { value: true, ...published },
          subtractCenter: { value: false, ...published },
          inputNorm: { value: "none", ...published },
        },
        own: { comparison: { value: "strict", ...published } },
      },
      flags,
    ),
    notes: [
      `Role ${role.value} (${role.from}).`,
      `Thresholds from ${rangeOf(threshold)}.`,
      ...notes,
      ...(config?.notes ?? []),
    ],
    provenance: { library: "gemma-scope", place: placeOf(folder), ...config?.provenance },
  };
}

interface GemmaConfig {
  readonly transcoder: boolean;
  readonly affine: boolean;
  readonly notes: readonly string[];
  readonly provenance: Readonly<Record<string, unknown>>;
}

const CONFIG = "config.json";

/** Null where a folder has none: Gemma Scope 1, and some of Gemma Scope 2. @throws Fault */
async function readConfig(folder: string): Promise<GemmaConfig | null> {
  const path = join(folder, CONFIG);
  if (!(await stat(path).catch(() => null))) return null;
  const config = await Config.read(path, "Gemma Scope");
  const architecture = config.setting("architecture", "jump_relu", STRING).value;
  if (architecture !== "jump_relu") {
    config.fault(
      `architecture is ${shownJson(architecture)}; Gemma Scope's folders are jump_relu. Is it another layout?`,
    );
  }
  const affine = config.setting("affine_connection", false, BOOLEAN).value;
  const hooks = { in: config.get("hf_hook_point_in"), out: config.get("hf_hook_point_out") };
  config.throwFaults();
  const kept = ["model_name", "width", "l0", "type"].map((key) => [key, config.get(key)] as const);
  return {
    transcoder: typeof hooks.out === "string" && hooks.out !== hooks.in,
    affine,
    notes: config.notes,
    provenance: Object.fromEntries(
      [...kept, ["hook_name", hooks.in] as const, ["hook_name_out", hooks.out] as const].filter(
        ([, value]) => value !== undefined,
      ),
    ),
  };
}

/** Tensors by the names that this file has for them. */
function namesOf({ path, tensors }: TensorFile) {
  const find = (name: string): string | null => [...tensors.keys()].find((one) => one.toLowerCase() === name) ?? null;
  const required = (name: string): string => {
    const found = find(name.toLowerCase());
    if (found === null)
      throw new FormatError(path, `holds no tensor ${name}; Gemma Scope saves W_enc, W_dec, b_enc, b_dec, threshold.`);
    return found;
  };
  return {
    W_enc: required("W_enc"),
    W_dec: required("W_dec"),
    b_enc: required("b_enc"),
    b_dec: required("b_dec"),
    threshold: required("threshold"),
    skip: find("affine_skip_connection"),
  };
}

/** Folder names around the weights, such as layer_12/width_16k/average_l0_82: hints, where the tensors cannot tell. */
const placeOf = (folder: string): string => {
  const path = resolve(folder);
  return [basename(dirname(dirname(path))), basename(dirname(path)), basename(path)].join("/");
};

/**
 * What the dictionary predicts: told by its config, its widths or a skip, else by a folder named transcoder, else by --role.
 * @throws Fault where a flag contradicts the file
 */
function roleOf(
  folder: string,
  config: GemmaConfig | null,
  { d, dOut, skip }: { readonly d: number; readonly dOut: number; readonly skip: boolean },
  flags: ImportFlags,
): Known<Role> {
  const evidence = skip
    ? "its affine skip connection"
    : d === dOut
      ? config?.transcoder === true
        ? `${CONFIG}: hf_hook_point_out`
        : null
      : `its widths ${d} and ${dOut}`;
  if (config !== null && config.affine !== skip) {
    throw new Fault("import", [
      `${CONFIG}: affine_connection is ${config.affine}, but the weights ${skip ? "hold" : "lack"} affine_skip_connection. Take both files from one folder.`,
    ]);
  }
  if (evidence !== null) {
    if (flags.role === "autoencoder") throw new Fault("import", [`--role autoencoder: ${evidence} says transcoder.`]);
    return { value: "transcoder", from: evidence };
  }
  if (flags.role !== undefined) return { value: flags.role, from: "--role" };
  if (/transcoder/i.test(resolve(folder))) return { value: "transcoder", from: "a folder's name; --role overrides it" };
  return { value: "autoencoder", from: "no sign of a transcoder; --role overrides it" };
}

/** Encoder [m, d] and atoms, those of the embedding dictionaries scaled by √d as SAELens does. */
async function embedded(
  folder: string,
  file: TensorFile,
  names: ReturnType<typeof namesOf>,
  d: number,
  m: number,
): Promise<readonly [Float32Array, Float32Array, readonly string[]]> {
  const encoder = transpose(await file.readFloats(names.W_enc), d, m);
  const atoms = await file.readFloats(names.W_dec);
  if (!placeOf(folder).split("/").includes("embedding")) return [encoder, atoms, []];
  const scale = Math.sqrt(d);
  return [
    encoder.map((value) => value / scale),
    atoms.map((value) => value * scale),
    [
      "An embedding dictionary: W_enc is divided and W_dec multiplied by √d, so that rows are raw embeddings (SAELens).",
    ],
  ];
}

import { Fault } from "../../core/errors.ts";
import { FormatError } from "../formats/format-error.ts";
import { NPY_TENSOR } from "../formats/npy.ts";
import { isFloatType, type TensorFile, type TensorHead } from "../formats/tensor-file.ts";
import type { ImportFlags, Source } from "./import-flags.ts";
import { isCircuitTracer, understandCircuitTracer } from "./circuit-tracer.ts";
import { connorRobConfig, understandConnorRob } from "./connor-rob.ts";
import { isCrossCoder, understandCrossCoderFile } from "./crosscoder.ts";
import { normalizeAtoms } from "./normalize-atoms.ts";
import { isOpenAi, understandOpenAi } from "./openai.ts";
import { explainTensors } from "./other-layouts.ts";
import { isOvercompleteEncoder, OVERCOMPLETE_WEIGHTS, understandOvercomplete } from "./overcomplete.ts";
import { publisherOf, understandPublished } from "./single-map-files.ts";
import { stateDictOf } from "./state-dict.ts";
import { expectOnly, openWeights } from "./expect-tensors.ts";
import { type Known, orthogonalOf, pursuitOf, settle, settleOrthogonal, type Understood } from "./understood.ts";

/**
 * A file of weights alone: overcomplete's state dict, the official repository's, or bare atoms. Such a file does not
 * say which class it belongs to (overcomplete's MpSAE and OMPSAE save the same tensors), so `--from` must.
 * @throws Fault, FormatError
 */
export async function understandWeights(path: string, flags: ImportFlags): Promise<Understood> {
  const opened = await openWeights(path);
  try {
    const { file, notes } = stateDictOf(opened, flags.key);
    const understood = await understandTensors(file, flags);
    return { ...understood, notes: [...understood.notes, ...notes] };
  } finally {
    await opened.close();
  }
}

/** Layouts of files that hold weights and no settings. */
const READERS = {
  overcomplete: understandOvercomplete,
  "mp-sae": understandOfficial,
  atoms: understandAtoms,
} as const satisfies Partial<Record<Source, (file: TensorFile, flags: ImportFlags) => Promise<Understood>>>;

async function understandTensors(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  if (flags.from === undefined) {
    if (isCircuitTracer(file)) return understandCircuitTracer(file, flags);
    if (isCrossCoder(file)) return understandCrossCoderFile(file, flags);
    if (isOpenAi(file)) return understandOpenAi(file, flags);
    if (isOvercompleteEncoder(file)) return understandOvercomplete(file, flags);
    const publisher = publisherOf(file);
    const config = publisher === null ? null : await connorRobConfig(file.path);
    if (config !== null) return understandConnorRob(file, config, flags);
    if (publisher !== null) return understandPublished(file, publisher, flags);
  }
  const other = flags.from === "overcomplete" ? null : await explainTensors(file.path, file.tensors.keys());
  if (other !== null) throw new Fault("import", [other]);
  const { from } = flags;
  if (from === undefined) throw await suggestion(file, flags);
  if (from === "sae-lens" || from === "sparsify") {
    throw new Fault("import", [`--from ${from} takes a folder with cfg.json and its weights, not a file.`]);
  }
  return READERS[from](file, flags);
}

/** The --from that fits, since two classes may save the same tensors, and every other flag that it needs. */
async function suggestion(file: TensorFile, flags: ImportFlags): Promise<Fault> {
  const { path, tensors } = file;
  if (tensors.has("W_dec")) {
    return new Fault("import", [
      `${path} looks like SAELens' weights: import the folder that holds them and cfg.json.`,
    ]);
  }
  const [from, condition, why] = tensors.has(OVERCOMPLETE_WEIGHTS)
    ? ([
        "overcomplete",
        "if its class is MpSAE",
        "overcomplete's MpSAE and OMPSAE both save these, and no settings. OMPSAE's codes are not reproduced; its atoms can " +
          "be encoded by exact orthogonal pursuit: --from atoms --kind orthogonal_matching_pursuit --score relu.",
      ] as const)
    : tensors.has("W")
      ? (["mp-sae", "if it is the official repository's", "they carry no settings."] as const)
      : (["atoms", "if one of them is the atoms [m, d]", "they carry no settings."] as const);
  const others = await faultsOf(READERS[from](file, { ...flags, from }));
  return new Fault("import", [
    `${path} holds ${described([...tensors])}: ${why}`,
    `Add, ${condition}:`,
    `  --from ${from}`,
    ...others,
  ]);
}

/** What else a layout would ask for or refuse. */
async function faultsOf(reading: Promise<Understood>): Promise<readonly string[]> {
  try {
    await reading;
    return [];
  } catch (error) {
    if (error instanceof Fault && error.code === "missing_flags") return error.faults.slice(1);
    if (error instanceof Fault) return error.faults;
    throw error;
  }
}

/** The official MP-SAE (github.com/mpsae/MP-SAE, sae.py): W [m, d], ReLU scores, ends at a repeat or under a threshold. */
async function understandOfficial(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  const [m, d] = matrixOf(file, "W");
  expectOnly(file, ["W"], "the official MP-SAE");
  const from = "the official MP-SAE";
  const settings = settle(
    `${file.path} (official MP-SAE)`,
    {
      score: { value: "relu", from },
      reselect: { value: "stop", from },
      center: { value: false, from },
      maxAtoms: { value: null, from },
      inputNorm: { value: "none", from },
    },
    flags,
  );
  const { atoms, notes } = await atomsOf(file, "W", d, flags);
  return {
    source: "official MP-SAE",
    ...pursuitOf({ d, m, atoms, center: noCenter(settings.center.value, file) }, settings),
    notes,
    provenance: { library: "github.com/mpsae/MP-SAE" },
  };
}

/** Atoms and nothing else: every setting must be given. A second tensor [d] may be the centre. */
async function understandAtoms(file: TensorFile, flags: ImportFlags): Promise<Understood> {
  const every = [...file.tensors].filter(([, { shape }]) => shape.length === 2);
  const matrices = every.filter(([, { dtype }]) => isFloatType(dtype));
  // Says what to do about its type.
  if (matrices.length === 0 && every.length === 1) await file.readFloats(every[0]![0]);
  if (matrices.length !== 1) {
    throw new Fault("import", [
      `${file.path} must hold one matrix of floats, the atoms [m, d]; it holds ${described([...file.tensors])}. Save the atoms alone.`,
    ]);
  }
  const [name] = matrices[0]!;
  const [m, d] = matrixOf(file, name);
  const biases = [...file.tensors]
    .filter(([, { shape, dtype }]) => shape.length === 1 && shape[0] === d && isFloatType(dtype))
    .map(([bias]) => bias);
  const bias = biases.length === 1 ? biases[0]! : null;
  const said =
    biases.length === 0 && flags.center === undefined
      ? { center: { value: false, from: "no tensor [d] in the file" } }
      : {};
  const settled =
    flags.kind === "orthogonal_matching_pursuit"
      ? withKnown(settleOrthogonal(file.path, said, flags, ["normalize"]), orthogonalOf)
      : withKnown(settle(file.path, said, flags, ["normalize"]), pursuitOf);
  if (settled.center && bias === null) {
    throw new Fault("import", [
      `--center: ${file.path} holds ${biases.length === 0 ? "no tensor" : biases.join(" and ")} of shape [${d}]; ` +
        "the centre must be the one tensor of that shape. Save it and the atoms alone, or add --no-center.",
    ]);
  }
  const { atoms, notes } = await atomsOf(file, name, d, flags);
  const center = settled.center ? await file.readFloats(bias!) : null;
  const unread = [...file.tensors].filter(([other]) => other !== name && !(settled.center && other === bias));
  return {
    source: name === NPY_TENSOR ? "bare atoms" : `bare atoms (tensor ${name})`,
    ...settled.of({ d, m, atoms, center }),
    notes: unread.length === 0 ? notes : [...notes, `Not read: ${described(unread)}.`],
    provenance: {},
  };
}

/** Tensors by name, shape and type, the first eight. */
function described(tensors: readonly (readonly [string, TensorHead])[]): string {
  const shown = tensors
    .slice(0, 8)
    .map(([name, { dtype, shape }]) => `${name.slice(0, 80)} [${shape.slice(0, 8).join(", ")}] ${dtype}`);
  return shown.join(", ") + (tensors.length > shown.length ? `, and ${tensors.length - shown.length} more` : "");
}

/** Settings, and the dictionary that they make of weights. */
function withKnown<K extends { readonly center: Known<boolean> }>(known: K, of: (weights: Bare, known: K) => Settled) {
  return { center: known.center.value, of: (weights: Bare): Settled => of(weights, known) };
}
type Bare = Parameters<typeof pursuitOf>[0];
type Settled = Pick<Understood, "weights" | "origins">;

async function atomsOf(file: TensorFile, name: string, d: number, { normalize = "identity" }: ImportFlags) {
  const atoms = normalizeAtoms(await file.readFloats(name), d, normalize);
  return {
    atoms,
    notes: normalize === "identity" ? [] : [`Atoms are ${name}, normalised by ${normalize} (--normalize).`],
  };
}

function noCenter(wanted: boolean, { path }: TensorFile): null {
  if (wanted)
    throw new Fault("import", [`--center: this layout has no bias, and ${path} holds none that could be the centre.`]);
  return null;
}

function matrixOf(file: TensorFile, name: string): readonly [number, number] {
  const shape = file.tensors.get(name)?.shape;
  if (shape?.length === 2 && shape[0]! > 0 && shape[1]! > 0) return [shape[0]!, shape[1]!];
  if (shape === undefined) throw new FormatError(file.path, `holds no tensor ${name} [m, d].`);
  throw new FormatError(file.path, `${name} is [${shape.join(", ")}]; it should be a matrix [m, d].`);
}

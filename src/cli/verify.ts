import { type Command, InvalidArgumentError } from "commander";
import {
  type DictionaryManifest,
  type OrthogonalSettings,
  orthogonalSettings,
  type PursuitSettings,
  type RequestEncoder,
} from "../engine/core/dictionary.ts";
import type { DictionaryWeights } from "../engine/core/dictionary-weights.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import { loadWeights } from "../engine/dictionaries/weights.ts";
import { NPY_TENSOR, openNpy } from "../engine/dictionaries/formats/npy.ts";
import { compareCode, type Verdict } from "../engine/dictionaries/verify/compare-code.ts";
import { compareOverDecoder } from "../engine/dictionaries/verify/compare-decoder.ts";
import type { ServedCode } from "../engine/dictionaries/verify/step-margins.ts";
import { decoderPursuit } from "../engine/encoders/decoder-pursuit.ts";
import { chooseEncoder } from "../engine/serving/choose-encoder.ts";
import { readSettings } from "../server/config.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";
import { encoderOption } from "./encode-options.ts";
import { encodeThere } from "./encode-there.ts";
import { ServerClient } from "./server-client.ts";

interface Flags {
  readonly rows: string;
  readonly codes: string;
  readonly maxAtoms?: number;
  readonly encoder?: RequestEncoder;
  readonly url?: string;
  readonly modelsDir?: string;
}

/** Rows of one encode call. */
const CHUNK = 256;
/** Differing rows that are shown one by one. */
const SHOWN = 5;

/** `pursuit verify`: served codes against a user's own. Exits 1 when a row differs. */
export function registerVerify(program: Command): void {
  program
    .command("verify <id>")
    .description("compare the codes that are served with your own dense codes of the same rows")
    .requiredOption("--rows <x.npy>", "rows [n, d] as your encoder got them")
    .requiredOption("--codes <z.npy>", "your encoder's dense codes [n, m]")
    .option("--max-atoms <k>", "selections a row, where your encoder made fewer than the dictionary's cap", parseCount)
    .addOption(encoderOption())
    .option("--url <base>", "ask a running server instead of loading the dictionary here")
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .action(async (id: string, flags: Flags) => {
      process.exitCode = (await verify(id, flags)) ? 0 : 1;
    });
}

async function verify(id: string, flags: Flags): Promise<boolean> {
  const settings = await readSettings({
    logLevel: "error",
    ...(flags.modelsDir !== undefined && { modelsDir: flags.modelsDir }),
  });
  const folder = await dictionaryFolder(id, settings);
  const manifest = await readManifest(folder);
  const { weights, sha256 } = await loadWeights(folder, manifest);
  const compare = comparisonOf(weights, manifest, flags.encoder);
  const { d, m } = weights;
  const rows = await readMatrix(flags.rows, d, "--rows", "the row length d");
  const codes = await readMatrix(flags.codes, m, "--codes", "the number of atoms m");
  const count = rows.length / d;
  if (count === 0) throw new Error(`--rows ${flags.rows} holds no rows, so there is nothing to compare.`);
  if (codes.length / m !== count)
    throw new Error(`--rows holds ${count} rows, --codes ${codes.length / m}; they must be the same rows.`);

  const budget = flags.maxAtoms === undefined ? {} : { maxAtoms: flags.maxAtoms };
  const encoder =
    flags.url === undefined
      ? await (await import("./encode-here.ts")).encodeHere(id, flags.encoder, settings, { sha256 })
      : encodeThere(new ServerClient(flags.url, settings.apiKeys[0]), id, flags.encoder, { sha256 });
  const verdicts: Verdict[] = [];
  try {
    for (let from = 0; from < count; from += CHUNK) {
      const to = Math.min(from + CHUNK, count);
      const chunk = { data: rows.slice(from * d, to * d), count: to - from, width: d };
      for (const [i, code] of (await encoder.encode(chunk, budget)).entries()) {
        const row = from + i;
        verdicts.push(compare(code, rows.subarray(row * d, (row + 1) * d), codes.subarray(row * m, (row + 1) * m)));
      }
    }
  } finally {
    await encoder.close();
  }
  console.log(report(verdicts));
  return verdicts.every(({ kind }) => kind !== "differs");
}

/** Compares a served code of row x [d] with the user's z [m], by the float64 rules of the encoder that made both. */
function comparisonOf(
  weights: DictionaryWeights,
  manifest: DictionaryManifest,
  encoder: RequestEncoder | undefined,
): (code: ServedCode, x: Float32Array, z: Float32Array) => Verdict {
  const { pursuit, overDecoder } = chooseEncoder(manifest, encoder);
  if (pursuit === undefined) return (code, x, z) => compareCode(code, x, z, weights);
  if (overDecoder) {
    const decoder = decoderPursuit(weights);
    return (code, x, z) => compareOverDecoder(code, x, z, decoder, pursuit);
  }
  // A dictionary of pursuit, encoded orthogonally.
  const { kind, settings } = weights;
  const score = pursuit.score as OrthogonalSettings["score"];
  const compared = {
    ...weights,
    kind: "orthogonal_matching_pursuit",
    settings:
      kind === "matching_pursuit"
        ? orthogonalSettings(settings as PursuitSettings, score)
        : { ...(settings as OrthogonalSettings), score },
  };
  return (code, x, z) => compareCode(code, x, z, compared);
}

function report(verdicts: readonly Verdict[]): string {
  const of = (kind: Verdict["kind"]): number => verdicts.filter((verdict) => verdict.kind === kind).length;
  const worst = verdicts.reduce(
    (most, verdict) => (verdict.kind === "agreed" ? Math.max(most, verdict.worst) : most),
    0,
  );
  const agreed = of("agreed");
  const lines = [
    `${agreed} agreed, ${of("undecided")} undecided, ${of("differs")} differ, of ${verdicts.length} rows.`,
    ...(agreed > 0 ? [`Largest difference of an agreed value: ${worst.toExponential(1)} of its row's largest.`] : []),
  ];
  const differing = [...verdicts.entries()].filter(([, { kind }]) => kind === "differs");
  for (const [row, verdict] of differing.slice(0, SHOWN)) {
    if (verdict.kind === "agreed") continue;
    const { step, atom, served, theirs } = verdict.at;
    const after =
      verdict.undecidedStep === null
        ? ""
        : ` (step ${verdict.undecidedStep} was undecided, but the ends are of unequal quality)`;
    lines.push(`row ${row}: first differs at step ${step}, atom ${atom}: served ${served}, yours ${theirs}${after}`);
  }
  if (differing.length > SHOWN) lines.push(`… and ${differing.length - SHOWN} more.`);
  if (differing.length > 0) {
    lines.push(
      "A difference at step 1 in every row: another centre, input norm or layer. Yours ends earlier or later: --max-atoms.",
      "Values differ from some step on: another --reselect, --score or --normalize at import, or --encoder orthogonal or matching_pursuit here.",
    );
  }
  return lines.join("\n");
}

/** A float matrix [n, width] of a .npy file. @throws Error naming the flag */
async function readMatrix(path: string, width: number, flag: string, meaning: string): Promise<Float32Array> {
  const file = await openNpy(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      error.code === undefined ? `${flag} ${error.message}` : `${flag} ${path} cannot be read (${error.code}).`,
    );
  });
  try {
    const { shape } = file.tensors.get(NPY_TENSOR)!;
    if (shape.length !== 2 || shape[1] !== width) {
      throw new Error(
        `${flag} ${path} is of shape (${shape.join(", ")}); it must be (n, ${width}), ${width} being ${meaning}.`,
      );
    }
    const data = await file.readFloats(NPY_TENSOR);
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0)
      throw new Error(`${flag} ${path}: row ${Math.floor(bad / width)}, column ${bad % width} is ${data[bad]}.`);
    return data;
  } finally {
    await file.close();
  }
}

function parseCount(given: string): number {
  if (/^\d{1,9}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 0.");
}

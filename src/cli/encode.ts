import { type Command, Option } from "commander";
import type { Provenance } from "../engine/core/dictionary.ts";
import type { FeatureLabel } from "../engine/core/features.ts";
import { isObject } from "../engine/core/json-object.ts";
import type { Rows } from "../engine/core/rows.ts";
import { readExamples } from "../engine/dictionaries/examples.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import type { ServedCode } from "../engine/dictionaries/verify/step-margins.ts";
import { readSettings } from "../server/config.ts";
import type { Settings } from "../server/settings.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";
import { namedModel, openModel, SHIPPED } from "./embedder.ts";
import type { Encoder } from "./encode-here.ts";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./encode-options.ts";
import { encodeThere } from "./encode-there.ts";
import { ServerClient } from "./server-client.ts";

/** Atoms of a sentence, unless --max-atoms says otherwise. */
const SENTENCE_ATOMS = 8;

interface Flags extends BudgetFlags {
  readonly dictionary: string;
  readonly rows?: string;
  readonly out?: string;
  readonly url?: string;
  readonly modelsDir?: string;
}

/** A dictionary to encode by, here or on a server. */
interface Source {
  /** Row length. */
  readonly d: number;
  readonly provenance: Provenance;
  /** A text and its row among the dictionary's examples; null without any. */
  readonly example: { readonly text: string; readonly row: Float32Array } | null;
  /** Loads the dictionary, where it is not served already. */
  readonly open: () => Promise<Encoder>;
}

/** `pursuit encode`: sentences, embedded as the dictionary's rows were, and the atoms that they are made of. */
export function registerEncode(program: Command): void {
  const command = program
    .command("encode [sentences...]")
    .description(
      "embed sentences by the model that the dictionary names and show the atoms that they are made of; or encode a file of rows",
    )
    .option("--dictionary <id>", "dictionary to encode by", SHIPPED)
    .addOption(
      new Option("--url <base>", "ask a running server instead of loading the dictionary here").conflicts("modelsDir"),
    )
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .option("--rows <file>", "rows to encode: .npy, .safetensors, Arrow, Parquet or .pt")
    .option("--out <file>", "file for the codes of --rows: .safetensors or .parquet");
  addBudgetOptions(command).action(async (sentences: readonly string[], flags: Flags) => {
    const { modelsDir, rows: rowFile, out } = flags;
    const settings = await readSettings({ logLevel: "error", ...(modelsDir !== undefined && { modelsDir }) });
    if ((rowFile === undefined) !== (out === undefined)) throw new Error("--rows <file> and --out <file> go together.");
    if ((rowFile === undefined) === (sentences.length === 0)) {
      throw new Error("Give sentences, or --rows <file> and --out <file>.");
    }
    if (rowFile !== undefined && out !== undefined) {
      const from = flags.url === undefined ? settings : new ServerClient(flags.url, settings.apiKeys[0]);
      const { dictionary, encoder } = flags;
      // Loaded here: it would slow every other command.
      const { encodeRows } = await import("./encode-rows.ts");
      const work = { dictionary, rows: rowFile, out, budget: budgetOf(flags), ...(encoder && { encoder }) };
      console.log(`${out}: the codes of ${await encodeRows(work, from)} rows`);
      return;
    }
    const budget = { maxAtoms: SENTENCE_ATOMS, ...budgetOf(flags) };
    const source = await (flags.url === undefined
      ? findHere(flags, settings)
      : askServer(flags, new ServerClient(flags.url, settings.apiKeys[0])));
    const rows = await embedSentences(sentences, flags.dictionary, source, settings);
    const encoder = await source.open();
    try {
      for (const [i, code] of (await encoder.encode(rows, budget)).entries()) {
        console.log(`${sentences[i]}\n${show(code)}\n`);
      }
    } finally {
      await encoder.close();
    }
  });
}

/** Rows [n, d] of sentences, by the model that the dictionary names. @throws Error where its rows are of another width */
async function embedSentences(
  sentences: readonly string[],
  id: string,
  { d, provenance, example }: Source,
  settings: Settings,
): Promise<Rows> {
  const model = namedModel(id, provenance);
  const embedder = await openModel(model, settings);
  try {
    const data = new Float32Array(sentences.length * d);
    for (const [i, sentence] of sentences.entries()) {
      const row = await embedder.embed(sentence);
      if (row.length !== d)
        throw new Error(`${model} gives rows of ${row.length}; ${id} takes rows of ${d}: it is over another model.`);
      data.set(row, i * d);
    }
    if (example !== null) {
      const { disagreement } = await import("../embedder/sentence-embedder.ts");
      const warning = disagreement(model, example.text, await embedder.embed(example.text), example.row);
      if (warning !== null) console.error(`Warning: ${warning}`);
    }
    return { data, count: sentences.length, width: d };
  } finally {
    await embedder.release();
  }
}

async function findHere({ dictionary, encoder }: Flags, settings: Settings): Promise<Source> {
  const folder = await dictionaryFolder(dictionary, settings);
  const { dIn: d, provenance } = await readManifest(folder);
  const examples = await readExamples(folder, d);
  const [text] = examples?.texts ?? [];
  return {
    d,
    provenance,
    example: text === undefined ? null : { text, row: examples!.rows.subarray(0, d) },
    open: async () => {
      const { encodeHere } = await import("./encode-here.ts");
      return encodeHere(dictionary, encoder, settings, { labels: true });
    },
  };
}

async function askServer({ dictionary, encoder }: Flags, server: ServerClient): Promise<Source> {
  const { body } = await server.get(`/v1/dictionaries/${encodeURIComponent(dictionary)}`);
  const { d, labels, provenance } = body;
  if (typeof d !== "number") {
    const faults = Array.isArray(body["faults"]) ? body["faults"].join(" ") : "";
    throw new Error(
      `${server.address} does not serve ${dictionary} now (${String(body["state"])}). ${faults}`.trimEnd(),
    );
  }
  return {
    d,
    provenance: isObject(provenance) ? provenance : {},
    // Its examples are the server's; the folder here may be another.
    example: null,
    open: () => Promise.resolve(encodeThere(server, dictionary, encoder, { labels: labels === true })),
  };
}

function show({ indices, labels = [], trace, residualNorms, stop }: ServedCode): string {
  const words = new Map(Array.from(indices, (atom, k) => [atom, inWords(labels[k] ?? null)]));
  const lines = Array.from(trace.indices, (atom, k) => {
    const left = residualNorms[k]!.toFixed(4).padStart(8);
    const [step, value] = [String(k + 1).padStart(4), trace.values[k]!.toFixed(4).padStart(8)];
    return `  ${step} ${String(atom).padStart(6)} ${value} ${left}  ${words.get(atom)}`;
  });
  return ["  step   atom    value      ‖r‖  label", ...lines, `  stopped by ${stop}`].join("\n");
}

/** Words of top examples are marked: nobody has checked that they mean the feature. */
function inWords(label: Pick<FeatureLabel, "text" | "source"> | null): string {
  if (label === null) return "—";
  return label.source === "examples" ? `${label.text}  (from examples)` : label.text;
}

import { type Command, Option } from "commander";
import type { FeatureLabel } from "../engine/core/features.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import type { ServedCode } from "../engine/dictionaries/verify/step-margins.ts";
import { readSettings } from "../server/config.ts";
import type { Settings } from "../server/settings.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";
import { embedSentences } from "./embed-sentences.ts";
import type { Encoder } from "./encode-here.ts";
import { addBudgetOptions, type BudgetFlags, budgetOf } from "./budget-options.ts";
import { encodeThere } from "./encode-there.ts";
import { ServerClient } from "./server-client.ts";

/** Atoms of a sentence, unless --max-atoms says otherwise. */
const SENTENCE_ATOMS = 8;

interface Flags extends BudgetFlags {
  readonly dictionary: string;
  readonly rows?: string;
  readonly out?: string;
  readonly python: string;
  readonly url?: string;
  readonly modelsDir?: string;
}

/** A dictionary to encode by, here or on a server. */
interface Source {
  /** Row length. */
  readonly d: number;
  /** Loads the dictionary, where it is not served already. */
  readonly open: () => Promise<Encoder>;
}

/** `pursuit encode`: sentences of your own, embedded as the shipped dictionary's rows were, and what they are made of. */
export function registerEncode(program: Command): void {
  const command = program
    .command("encode [sentences...]")
    .description(
      "embed sentences with all-MiniLM-L6-v2 (needs Python) and show the atoms that they are made of; or encode a file of rows",
    )
    .option("--dictionary <id>", "a dictionary over those embeddings", "minilm-wordnet-mp")
    .option("--python <command>", "the Python that has the embedder installed", "python3")
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
    const { d, open } = await (flags.url === undefined
      ? findHere(flags, settings)
      : askServer(flags, new ServerClient(flags.url, settings.apiKeys[0])));
    const rows = { data: await embedSentences(sentences, d, flags.python), count: sentences.length, width: d };
    const encoder = await open();
    try {
      for (const [i, code] of (await encoder.encode(rows, budget)).entries()) {
        console.log(`${sentences[i]}\n${show(code)}\n`);
      }
    } finally {
      await encoder.close();
    }
  });
}

async function findHere({ dictionary, encoder }: Flags, settings: Settings): Promise<Source> {
  const { dIn: d } = await readManifest(await dictionaryFolder(dictionary, settings));
  return {
    d,
    open: async () => {
      const { encodeHere } = await import("./encode-here.ts");
      return encodeHere(dictionary, encoder, settings, { labels: true });
    },
  };
}

async function askServer({ dictionary, encoder }: Flags, server: ServerClient): Promise<Source> {
  const { body } = await server.get(`/v1/dictionaries/${encodeURIComponent(dictionary)}`);
  const { d, labels } = body;
  if (typeof d !== "number") {
    const faults = Array.isArray(body["faults"]) ? body["faults"].join(" ") : "";
    throw new Error(
      `${server.address} does not serve ${dictionary} now (${String(body["state"])}). ${faults}`.trimEnd(),
    );
  }
  return {
    d,
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

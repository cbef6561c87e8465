import { type Command, InvalidArgumentError } from "commander";
import { readLabels } from "../engine/dictionaries/labels.ts";
import { readManifest } from "../engine/dictionaries/manifest.ts";
import type { ServedCode } from "../engine/dictionaries/verify/served-code.ts";
import { readSettings } from "../server/config.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";
import { embedSentences } from "./embed-sentences.ts";
import { encodeHere } from "./encode-here.ts";
import { type EncoderName, encoderOption } from "./encoder-option.ts";

interface Flags {
  readonly dictionary: string;
  readonly maxAtoms: number;
  readonly encoder: EncoderName;
  readonly python: string;
  readonly modelsDir?: string;
}

/** `pursuit encode`: sentences of your own, embedded as the shipped dictionary's rows were, and what they are made of. */
export function registerEncode(program: Command): void {
  program
    .command("encode <sentences...>")
    .description("embed sentences with all-MiniLM-L6-v2 (needs Python) and show the atoms that they are made of")
    .option("--dictionary <id>", "a dictionary over those embeddings", "minilm-wordnet-mp")
    .option("--max-atoms <n>", "atoms of one sentence at most", parseCount, 8)
    .addOption(encoderOption())
    .option("--python <command>", "the Python that has the embedder installed", "python3")
    .option("--models-dir <folder>", "folder of dictionary folders (PURSUIT_MODELS_DIR, default models)")
    .action(async (sentences: readonly string[], { dictionary, maxAtoms, encoder: by, python, modelsDir }: Flags) => {
      const settings = readSettings({ logLevel: "error", ...(modelsDir !== undefined && { modelsDir }) });
      const folder = await dictionaryFolder(dictionary, settings);
      const { d, m } = await readManifest(folder);
      const labels = await readLabels(folder, m);
      const rows = { data: await embedSentences(sentences, d, python), count: sentences.length, width: d };
      const encoder = await encodeHere(dictionary, by, settings);
      try {
        const textOf = (atom: number): string => labels?.facts.get(atom)?.text ?? "—";
        for (const [i, code] of (await encoder.encode(rows, { maxAtoms })).entries()) {
          console.log(`${sentences[i]}\n${show(code, textOf)}\n`);
        }
      } finally {
        await encoder.close();
      }
    });
}

function show({ trace, residualNorms, stop }: ServedCode, textOf: (atom: number) => string): string {
  const lines = Array.from(trace.indices, (atom, k) => {
    const left = residualNorms[k]!.toFixed(4).padStart(8);
    return `  ${String(k + 1).padStart(4)} ${String(atom).padStart(6)} ${trace.values[k]!.toFixed(4).padStart(8)} ${left}  ${textOf(atom)}`;
  });
  return ["  step   atom    value      ‖r‖  label", ...lines, `  stopped by ${stop}`].join("\n");
}

function parseCount(given: string): number {
  if (/^[1-9]\d{0,5}$/.test(given)) return Number(given);
  throw new InvalidArgumentError("It must be an integer ≥ 1.");
}

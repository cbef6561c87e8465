/**
 * Makes registry/sae-lens.json.br from SAELens' pretrained_saes.yaml: facts only, one JSON object, compressed by brotli.
 *
 *   npx tsx tools/registry/generate.ts [--yaml <pretrained_saes.yaml>] [--check]
 *
 * Without --yaml it downloads the package of the pinned version with pip and reads the file from its wheel. --check writes
 * nothing and exits 1 where the committed index holds anything else. Both compare the JSON, since compressed bytes differ
 * between versions of brotli.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { parse } from "yaml";
import {
  REGISTRY_FILE,
  type RegistryIndex,
  type RegistryRelease,
} from "../../src/engine/dictionaries/registry/registry.ts";

const VERSION = "6.54.12";

/** A release and an SAE of the yaml. An SAE may carry keys of its release by mistake (gpt2-small-res_scefr-ajt). */
interface Release {
  readonly conversion_func: string | null;
  readonly model: string;
  readonly repo_id: string;
  readonly config_overrides?: Readonly<Record<string, unknown>>;
  readonly saes: readonly {
    readonly id: string;
    readonly path: string | number;
    readonly l0?: number;
    readonly neuronpedia?: string;
    readonly norm_scaling_factor?: number;
    readonly variance_explained?: number;
  }[];
}

/** Layouts whose dictionaries are all of one kind. */
const ONE_KIND: Readonly<Record<string, string>> = {
  gemma_2: "jumprelu",
  gemma_2_transcoder: "jumprelu transcoder",
  llama_scope: "jumprelu",
  llama_scope_r1_distill: "jumprelu",
  qwen_scope: "topk",
  mwhanna_transcoder: "relu transcoder",
  mntss_clt_layer_transcoder: "relu transcoder",
  connor_rob_hook_z: "relu",
  goodfire: "relu",
  deepseek_r1: "relu",
  temporal: "temporal",
};

/** Kinds by the names of releases, where only the files say it. The classes of andyrdt's releases are not known. */
const BY_RELEASE: Readonly<Record<string, readonly (readonly [RegExp, string])[]>> = {
  sae_lens: [
    [/-v5-(?:32|128)k$/, "topk"],
    [/-matryoshka-dc$/, "jumprelu"],
    [/^llama-3-8b-it-res-jh$/, "gated"],
    [/./, "relu"],
  ],
  dictionary_learning_1: [
    [/_(?:vanilla|panneal|sweep_standard)_/, "relu"],
    [/_gated_/, "gated"],
    [/_topk_/, "topk"],
    [/_date-010[78]$/, "jumprelu"],
    [/-andyrdt$/, "jumprelu or topk"],
  ],
};

const { values: options } = parseArgs({
  options: { yaml: { type: "string" }, check: { type: "boolean", default: false } },
});

const index = JSON.stringify(
  indexOf(options.yaml === undefined ? yamlOfPackage() : readFileSync(options.yaml, "utf8")),
);
if (options.check) {
  if (brotliDecompressSync(readFileSync(REGISTRY_FILE)).toString() !== index) {
    console.error(`${REGISTRY_FILE} is not what sae-lens ${VERSION} says. Make it again: npm run registry`);
    process.exitCode = 1;
  }
} else {
  const bytes = brotliCompressSync(index, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 11,
      [constants.BROTLI_PARAM_LGWIN]: 24,
      [constants.BROTLI_PARAM_SIZE_HINT]: index.length,
    },
  });
  writeFileSync(REGISTRY_FILE, bytes);
  console.log(`${REGISTRY_FILE}: ${bytes.length} bytes, ${index.length} as JSON`);
}

function yamlOfPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), "pursuit-registry-"));
  try {
    const pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder];
    execFileSync("python3", [...pip, `sae-lens==${VERSION}`], { stdio: "inherit" });
    const wheel = join(folder, readdirSync(folder)[0]!);
    execFileSync("python3", ["-m", "zipfile", "-e", wheel, folder], { stdio: "inherit" });
    return readFileSync(join(folder, "sae_lens", "pretrained_saes.yaml"), "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function indexOf(yaml: string): RegistryIndex {
  const releases = parse(yaml) as Readonly<Record<string, Release>>;
  return {
    source: `sae-lens ${VERSION}`,
    releases: Object.keys(releases)
      .toSorted()
      .map((name) => releaseOf(name, releases[name]!)),
  };
}

function releaseOf(
  name: string,
  { conversion_func, model, repo_id, config_overrides, saes }: Release,
): RegistryRelease {
  const layout = conversion_func ?? "sae_lens";
  const paths = saes.map(({ path }) => String(path));
  const kinds = paths.map((path) => kindOf(layout, name, path));
  const column = <T>(key: string, of: (sae: Release["saes"][number]) => T | undefined) => {
    const values = saes.map((sae) => of(sae) ?? null);
    return values.every((value) => value === null) ? {} : { [key]: values };
  };
  return {
    name,
    repo: repo_id,
    model,
    layout,
    ...(config_overrides && { overrides: config_overrides }),
    ids: saes.map(({ id }) => id),
    paths,
    kinds: new Set(kinds).size === 1 ? kinds[0]! : kinds,
    ...column("l0", (sae) => sae.l0),
    ...column("normFactors", (sae) => sae.norm_scaling_factor),
    ...column("explained", (sae) => sae.variance_explained),
    ...column("neuronpedia", (sae) => sae.neuronpedia),
  };
}

function kindOf(layout: string, release: string, path: string): string {
  if (layout === "gemma_3") {
    if (!path.includes("transcoder")) return "jumprelu";
    return /_affine(?:_|$)/.test(path) ? "jumprelu skip transcoder" : "jumprelu transcoder";
  }
  const kind = ONE_KIND[layout] ?? BY_RELEASE[layout]?.find(([pattern]) => pattern.test(release))?.[1];
  if (kind === undefined) throw new Error(`${release}: the kind of layout ${layout} is not known here. Add it.`);
  return kind;
}

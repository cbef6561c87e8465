import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import leven from "leven";

/** The index of published dictionaries, which tools/registry/generate.ts makes from SAELens' pretrained_saes.yaml. */
export const REGISTRY_FILE = fileURLToPath(new URL("../../../../registry/sae-lens.json.br", import.meta.url));

/** One release in the index. Lists have one entry for each id; absent ones hold nothing for any id. */
export interface RegistryRelease {
  readonly name: string;
  /** Repository on the hub, "owner/name". */
  readonly repo: string;
  readonly model: string;
  /** SAELens' conversion function; "sae_lens" for its own folders. */
  readonly layout: string;
  /** Keys of cfg.json that the registry sets over the file's. */
  readonly overrides?: Readonly<Record<string, unknown>>;
  readonly ids: readonly string[];
  readonly paths: readonly string[];
  /** Of every id, or one for all of them. */
  readonly kinds: readonly string[] | string;
  readonly l0?: readonly (number | null)[];
  readonly normFactors?: readonly (number | null)[];
  /** Variance explained. */
  readonly explained?: readonly (number | null)[];
  readonly neuronpedia?: readonly (string | null)[];
}

export interface RegistryIndex {
  /** The package that it was made from, such as "sae-lens 6.54.12". */
  readonly source: string;
  readonly releases: readonly RegistryRelease[];
}

/** One published dictionary. */
export interface RegistryEntry {
  /** "release/id", as `pursuit pull` takes it. */
  readonly name: string;
  readonly release: string;
  readonly id: string;
  readonly repo: string;
  readonly path: string;
  readonly layout: string;
  /** Such as "jumprelu skip transcoder"; several that the files decide between are joined by " or ". */
  readonly kind: string;
  readonly model: string;
  readonly overrides: Readonly<Record<string, unknown>>;
  /** Mean number of active atoms, as registered. */
  readonly l0?: number;
  readonly normFactor?: number;
  /** Share of the variance explained with `l0` atoms, as registered; below 0 for some. */
  readonly explained?: number;
  readonly neuronpedia?: string;
}

/** Names offered for one that is unknown. */
const SHOWN = 5;

/** Published dictionaries by name. */
export class Registry {
  readonly source: string;
  readonly entries: readonly RegistryEntry[];
  readonly #byName: ReadonlyMap<string, RegistryEntry>;

  constructor({ source, releases }: RegistryIndex) {
    this.source = source;
    this.entries = releases.flatMap(entriesOf);
    this.#byName = new Map(this.entries.map((entry) => [entry.name, entry]));
  }

  /** Reads the index that ships with the program. */
  static read(): Registry {
    return new Registry(JSON.parse(brotliDecompressSync(readFileSync(REGISTRY_FILE)).toString()) as RegistryIndex);
  }

  /** The dictionary of a name "release/id"; undefined for none. */
  find(name: string): RegistryEntry | undefined {
    return this.#byName.get(name);
  }

  /** Names near an unknown one: those of its release, where there is one of that name, else of the nearest releases. */
  nearest(name: string): readonly string[] {
    const near = <T>(values: readonly T[], wanted: string, textOf: (value: T) => string): readonly T[] =>
      values
        .map((value) => ({ value, distance: leven(wanted, textOf(value)) }))
        .toSorted((a, b) => a.distance - b.distance)
        .slice(0, SHOWN)
        .map(({ value }) => value);
    const slash = name.indexOf("/");
    const release = slash < 0 ? name : name.slice(0, slash);
    const releases = [...new Set(this.entries.map((entry) => entry.release))];
    const [nearestRelease] = releases.includes(release) ? [release] : near(releases, release, (one) => one);
    const id = slash < 0 ? "" : name.slice(slash + 1);
    const inside = this.entries.filter((entry) => entry.release === nearestRelease);
    return (id === "" ? inside.slice(0, SHOWN) : near(inside, id, (entry) => entry.id)).map((entry) => entry.name);
  }
}

function entriesOf(release: RegistryRelease): readonly RegistryEntry[] {
  const {
    name,
    repo,
    model,
    layout,
    overrides = {},
    ids,
    paths,
    kinds,
    l0,
    normFactors,
    explained,
    neuronpedia,
  } = release;
  return ids.map((id, i) => ({
    name: `${name}/${id}`,
    release: name,
    id,
    repo,
    path: paths[i]!,
    layout,
    kind: typeof kinds === "string" ? kinds : kinds[i]!,
    model,
    overrides,
    ...at("l0", l0, i),
    ...at("normFactor", normFactors, i),
    ...at("explained", explained, i),
    ...at("neuronpedia", neuronpedia, i),
  }));
}

/** A column's value under its key; nothing where it holds none. */
const at = (key: string, column: readonly unknown[] | undefined, i: number): object => {
  const value = column?.[i] ?? null;
  return value === null ? {} : { [key]: value };
};

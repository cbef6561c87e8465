import type {
  ContrastSet,
  DictionaryStatus,
  EncodeAnswer,
  EncodeRequest,
  Engine,
  ExampleRows,
  Readiness,
  RequestContext,
  SetsAnswer,
  SetsRequest,
  TransferAnswer,
  TransferRequest,
} from "../../src/engine/engine.ts";
import type { Neighbour } from "../../src/engine/core/dictionary.ts";
import type {
  OwnLabel,
  OwnLabels,
  Feature,
  FeatureLabel,
  FeaturePage,
  FeatureQuery,
  FeatureSummary,
} from "../../src/engine/core/features.ts";
import type { CodesToDecode } from "../../src/engine/core/sparse-codes.ts";
import { EngineError } from "../../src/engine/core/errors.ts";
import type { Rows } from "../../src/engine/core/rows.ts";
import { type Stage, Telemetry } from "../../src/engine/core/telemetry.ts";
import type {
  SetSummary,
  SteerAnswer,
  SteerRequest,
  SteeringSet,
  SteeringSets,
} from "../../src/engine/core/steering.ts";
import { codesOf } from "./codes.ts";
import { totalVarianceOf } from "./total-variance.ts";
import { manifestOf } from "./model-folder.ts";

export const FAKE_D = 2;
export const FAKE_M = 4;
const FIRST: FeatureLabel = { text: "the first", source: "tests", score: 0.5 };
const manifest = manifestOf("small", { atoms: new Float32Array(FAKE_M * FAKE_D), d: FAKE_D });

/**
 * An engine of one dictionary, `small`, and a broken one. It codes a row as its first number times atom 0, and does what
 * a test tells it to: fail, or not be ready. It keeps what it was asked.
 */
export class FakeEngine implements Engine {
  /** Thrown by every call that encodes, decodes or looks a feature up. */
  failure: Error | null = null;
  ready: Readiness = { ready: true };
  /** Thrown before a body is read. */
  full: EngineError | null = null;
  /** Of what `small` is at present. */
  sha256 = "ab".repeat(32);
  /** Whether `small` has labels. */
  labelled = false;
  readonly telemetry = new Telemetry();
  readonly encodes: { readonly id: string; readonly request: EncodeRequest; readonly context: RequestContext }[] = [];
  readonly decodes: CodesToDecode[] = [];
  readonly transfers: TransferRequest[] = [];
  readonly steers: SteerRequest[] = [];
  readonly sets = new Map<string, SteeringSet>();
  readonly written = new Map<number, OwnLabel>();
  /** Loads and unloads asked for. */
  readonly changes: (readonly ["load" | "unload", string])[] = [];

  list(): readonly DictionaryStatus[] {
    return [
      {
        id: "small",
        state: "ready",
        faults: [],
        warnings: ["It is small."],
        manifest,
        encoders: ["own", "matching_pursuit", "orthogonal"],
        maxAtoms: 64,
        sha256: this.sha256,
        labels: this.labelled,
        chosen: { runtime: "cpu", path: "gram" },
        coherence: { maxCosine: 0.5, minNorm: 1, maxNorm: 1.5 },
      },
      {
        id: "broken",
        state: "failed",
        faults: ["atoms: one is zero.", "center is missing."],
        warnings: [],
        labels: false,
      },
    ];
  }

  status(id: string): DictionaryStatus {
    const status = this.list().find((one) => one.id === id);
    if (status === undefined) throw new EngineError("PURSUIT_DICTIONARY_NOT_FOUND", `There is no dictionary ${id}.`);
    return status;
  }

  hold(): null {
    return null;
  }

  admit(id: string): void {
    this.status(id);
    if (this.full !== null) throw this.full;
  }

  async encode(id: string, request: EncodeRequest, context: RequestContext): Promise<EncodeAnswer> {
    this.encodes.push({ id, request, context });
    this.#fail();
    const { rows, trace, reconstruction, summary } = request;
    const codes = Array.from({ length: rows.count }, (_, i) => {
      const value = rows.data[i * rows.width]!;
      return {
        entries: [[0, value]] as const,
        residualNorm: 0.5,
        relativeError: 0.25,
        ...(trace && { trace: [[0, value, 0.5]] as const }),
        ...(reconstruction && { reconstruction: [value, 0] }),
      };
    });
    const totalVariance = summary === true ? totalVarianceOf(rows) : null;
    const answer = { codes: codesOf(codes, FAKE_M), totalVariance, sha256: this.sha256 };
    this.#stages(context, { queue: 1.5, encode: 2.25 });
    return answer;
  }

  async decode(_id: string, codes: CodesToDecode): Promise<Rows> {
    this.decodes.push(codes);
    this.#fail();
    return { data: new Float32Array(codes.count * FAKE_D).fill(0.1), count: codes.count, width: FAKE_D };
  }

  async encodeSets(id: string, { a, b, budget }: SetsRequest, context: RequestContext): Promise<SetsAnswer> {
    const codesOfSet = async (set: ContrastSet) =>
      "codes" in set
        ? set.codes
        : (await this.encode(id, { rows: set.rows, budget, trace: false, reconstruction: false }, context)).codes;
    return { a: await codesOfSet(a), b: await codesOfSet(b), m: FAKE_M, sha256: this.sha256 };
  }

  async transfer(request: TransferRequest, context: RequestContext): Promise<TransferAnswer> {
    const { from, rows, summary } = request;
    this.transfers.push(request);
    const { codes, totalVariance, sha256 } = await this.encode(
      from,
      { rows, budget: {}, trace: false, reconstruction: false, ...(summary && { summary }) },
      context,
    );
    return {
      outputs: await this.decode(from, codes),
      codes,
      totalVariance,
      sha256: { from: sha256, to: "cd".repeat(32) },
      inputNorm: "none",
    };
  }

  /** Adds 1 to every number; its effect is one edit of feature 0 and one moved feature. */
  async steer(_id: string, request: SteerRequest, context: RequestContext): Promise<SteerAnswer> {
    this.steers.push(request);
    this.#fail();
    this.#stages(context, { queue: 1.5, encode: 2.25, steer: 0.5 });
    const { count, data, width } = request.rows;
    return {
      rows: { data: data.map((value) => value + 1), count, width },
      norms: new Float64Array(count).fill(1.5),
      ...(request.effect && {
        effect: {
          features: Int32Array.of(2, -1),
          fromSet: 1,
          before: Float64Array.from({ length: count * 2 }, (_, at) => (at === 0 ? NaN : 0.5)),
          after: new Float64Array(count * 2).fill(0.25),
          moved: {
            indptr: Uint32Array.from({ length: count + 1 }, (_, i) => Math.min(i, 1) * 2),
            indices: Uint32Array.of(1, 2),
            before: Float32Array.of(0, 0.5),
            after: Float32Array.of(0.1, 0),
          },
        },
      }),
      sha256: "ab".repeat(32),
    };
  }

  readonly steering: SteeringSets = {
    list: async (_id, { after, limit }) => {
      const names = [...this.sets.keys()].toSorted().filter((name) => name > after);
      return names.slice(0, limit).map((name) => this.#summary(name));
    },
    find: async (_id, name) => {
      this.#fail();
      return this.#summary(name);
    },
    get: async (_id, name) => {
      this.#summary(name);
      return this.sets.get(name)!;
    },
    save: async (_id, name, edits, expects) => {
      this.#fail();
      const present = this.sets.get(name);
      if (!expects(present?.version ?? null)) throw new EngineError("PURSUIT_PRECONDITION_FAILED", "It is another.");
      const text = JSON.stringify(edits);
      const set = { name, sha256: "ab".repeat(32), edits: text, version: `v${text.length}`, stale: false };
      this.sets.set(name, set);
      return { set, created: present === undefined };
    },
    delete: async (id, name, expects) => {
      const { version } = await this.steering.find(id, name);
      if (!expects(version)) throw new EngineError("PURSUIT_PRECONDITION_FAILED", "It is another.");
      this.sets.delete(name);
    },
  };

  readonly ownLabels: OwnLabels = {
    get: async (_id, feature) => {
      this.#fail();
      const label = this.written.get(feature);
      if (label === undefined) throw new EngineError("PURSUIT_LABEL_NOT_FOUND", `Nobody has labelled ${feature}.`);
      return label;
    },
    save: async (_id, feature, text, expects) => {
      this.#fail();
      const present = this.written.get(feature);
      if (!expects(present?.version ?? null)) throw new EngineError("PURSUIT_PRECONDITION_FAILED", "It is another.");
      const label = { text, sha256: "ab".repeat(32), version: `v${text.length}`, stale: false };
      this.written.set(feature, label);
      return { label, created: present === undefined };
    },
    delete: async (id, feature, expects) => {
      const { version } = await this.ownLabels.get(id, feature);
      if (!expects(version)) throw new EngineError("PURSUIT_PRECONDITION_FAILED", "It is another.");
      this.written.delete(feature);
    },
  };

  #summary(name: string): SetSummary {
    const set = this.sets.get(name);
    if (set === undefined) throw new EngineError("PURSUIT_STEERING_SET_NOT_FOUND", `There is no set ${name}.`);
    const { edits } = set;
    return { ...set, edits: (JSON.parse(edits) as unknown[]).length, bytes: edits.length };
  }

  /** Feature 0 has a label and feature 2 statistics, where there are any. */
  async feature(_id: string, index: number): Promise<Feature> {
    this.#fail();
    const first = this.labelled ? { label: FIRST } : {};
    return {
      index,
      norm: 1.25,
      labels: this.labelled && index === 0 ? [FIRST] : [],
      neighbours: [
        { index: 3, cosine: 0.5 },
        { index: 0, cosine: 0.25, ...first },
      ],
      ...(index === 2 && {
        statistics: {
          rows: 3,
          rate: 0.75,
          mean: 2,
          max: 4,
          quantiles: { "0.5": 1.5 },
          histogram: { edges: [1, 2, 4], counts: [2, 1] },
        },
        examples: [
          { row: 7, value: 4, text: "a row" },
          { row: 1, value: 1.5 },
        ],
        sample: [{ row: 7, value: 4, text: "a row" }],
        firesWith: [{ index: 0, lift: 1.5, count: 2 }],
        firesWithLabels: [first.label],
        classes: [{ class: "noun", distance: 0.5, average_precision: 0.75 }],
      }),
    };
  }

  labels(id: string, indices: Uint32Array): readonly (FeatureLabel | null)[] {
    if (!this.labelled) throw new EngineError("PURSUIT_NO_LABELS", `Dictionary ${id} has no labels.`);
    return Array.from(indices, (index) => (index === 0 ? FIRST : null));
  }

  featuresVersion(): string {
    return "v1";
  }

  async features(id: string, { query, after, limit }: FeatureQuery): Promise<FeaturePage> {
    this.#fail();
    if (query !== undefined) this.labels(id, new Uint32Array());
    const found = query === undefined ? [0, 1, 2, 3] : [0];
    const features = found.slice(after, after + limit).map((index): FeatureSummary => ({
      index,
      norm: 1.25,
      ...(index === 0 && this.labelled && { label: FIRST, rate: 0.01 }),
      ...(query !== undefined && { relevance: 2 }),
    }));
    return { features, total: found.length };
  }

  async nearestFeatures(_id: string, rows: Rows, count: number): Promise<readonly (FeatureSummary & Neighbour)[]> {
    this.#fail();
    return [
      { index: 3, norm: 1.25, cosine: rows.data[0]! },
      { index: 0, norm: 1.25, cosine: 0.25 },
    ].slice(0, count);
  }

  async map(): Promise<Float32Array> {
    this.#fail();
    return new Float32Array(2 * FAKE_M).map((_, i) => i / 2);
  }

  async examples(): Promise<ExampleRows> {
    this.#fail();
    return { rows: { data: Float32Array.of(0.1, 2, 3, 4), count: 2, width: FAKE_D }, texts: ["one", "two"] };
  }

  async load(id: string): Promise<DictionaryStatus> {
    this.changes.push(["load", id]);
    this.#fail();
    return this.status(id);
  }

  async unload(id: string): Promise<DictionaryStatus> {
    this.changes.push(["unload", id]);
    this.#fail();
    return this.status(id);
  }

  draining = false;

  readiness(): Readiness {
    return this.ready;
  }

  now(): number {
    return performance.now();
  }

  /** Stages of these milliseconds. */
  #stages({ span }: RequestContext, times: Partial<Record<Stage, number>>): void {
    for (const [stage, end] of Object.entries(times))
      this.telemetry.emit({ type: "stage", stage: stage as Stage, span, start: 0, end });
  }

  #fail(): void {
    if (this.failure !== null) throw this.failure;
  }
}

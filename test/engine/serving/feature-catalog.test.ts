import { describe, expect, it } from "vitest";
import type { FeatureFacts } from "../../../src/engine/core/dictionary.ts";
import type { FeatureQuery } from "../../../src/engine/core/features.ts";
import { FeatureCatalog } from "../../../src/engine/serving/feature-catalog.ts";

const NORMS = Float64Array.of(1, 3, 2, 4);
const FACTS = new Map<number, FeatureFacts>([
  [0, { text: "zebra", score: 0.5, rate: 0.1 }],
  [2, { text: "Apple", rate: 0.3 }],
  [3, { rate: 0.2 }],
]);
const catalog = await FeatureCatalog.create({ m: 4, facts: FACTS, file: null });
const list = (query: Partial<FeatureQuery>) => catalog.list({ limit: 10, after: 0, ...query }, NORMS);
const order = (query: Partial<FeatureQuery>): number[] => list(query).features.map(({ index }) => index);

describe("a list of features", () => {
  it.each<[Partial<FeatureQuery>, number[]]>([
    [{}, [0, 1, 2, 3]],
    [{ sort: "index", order: "desc" }, [3, 2, 1, 0]],
    [{ sort: "norm" }, [3, 1, 2, 0]],
    [{ sort: "norm", order: "asc" }, [0, 2, 1, 3]],
    [{ sort: "rate" }, [2, 3, 0, 1]],
    [{ sort: "rate", order: "asc" }, [0, 3, 2, 1]],
    [{ sort: "label" }, [2, 0, 1, 3]],
    [{ sort: "label", order: "desc" }, [0, 2, 1, 3]],
    [{ query: "zebra apple", sort: "index" }, [0, 2]],
    [{ limit: 2, after: 1 }, [1, 2]],
    [{ after: 9 }, []],
  ])("is, for %j, %j; those without a figure come last", (query, expected) => {
    expect(order(query)).toEqual(expected);
  });

  it("shows a feature's label, norm and rate, and counts the whole", () => {
    expect(list({ limit: 2 })).toEqual({
      features: [
        { index: 0, norm: 1, rate: 0.1, label: { text: "zebra", source: "labels.json", score: 0.5 } },
        { index: 1, norm: 3 },
      ],
      total: 4,
    });
    expect(list({ query: "zebra" })).toMatchObject({ features: [{ relevance: expect.any(Number) }], total: 1 });
  });
});

describe("a catalog", () => {
  it("puts a person's own label before all others, and finds the feature by it", async () => {
    const own = await FeatureCatalog.create({ m: 4, facts: FACTS, file: null });
    own.setOwn(0, "a striped horse");
    expect(own.labels(0).map(({ text }) => text)).toEqual(["a striped horse", "zebra"]);
    const find = (query: string) => own.list({ query, limit: 9, after: 0 }, NORMS).features.map(({ index }) => index);
    expect([find("striped"), find("zebra")]).toEqual([[0], [0]]);
    own.setOwn(0, null);
    expect([own.label(0)?.text, find("striped")]).toEqual(["zebra", []]);
  });

  it("is labelled where a feature has a text", async () => {
    expect(catalog.labelled).toBe(true);
    expect((await FeatureCatalog.create({ m: 4, facts: new Map([[0, { rate: 0.1 }]]), file: null })).labelled).toBe(
      false,
    );
  });
});

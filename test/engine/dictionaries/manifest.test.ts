import { Fault } from "../../../src/engine/core/errors.ts";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { manifestText, parseManifest, readManifest } from "../../../src/engine/dictionaries/manifest.ts";
import { type DictionaryManifest, INPUT_NORMS, RESELECTS, SCORES } from "../../../src/engine/core/dictionary.ts";
import { manifestOf } from "../../support/model-folder.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

const folder = temporaryFolder();

const GOOD = JSON.parse(manifestText(manifestOf("good", { atoms: new Float32Array(6), d: 2 }))) as {
  encoder: Record<string, unknown>;
};

function faultsOf(text: string): readonly string[] {
  try {
    parseManifest(text);
  } catch (error) {
    expect(error).toBeInstanceOf(Fault);
    return (error as Fault).faults;
  }
  return [];
}
const faultsWith = (fields: object): readonly string[] => faultsOf(JSON.stringify({ ...GOOD, ...fields }));

const encoders: fc.Arbitrary<Pick<DictionaryManifest, "kind" | "encoder">> = fc.oneof(
  fc.record({
    kind: fc.constant("matching_pursuit" as const),
    encoder: fc.record({
      score: fc.constantFrom(...SCORES),
      reselect: fc.constantFrom(...RESELECTS),
      center: fc.boolean(),
      residualThreshold: fc.double({ min: 0, noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
      maxAtoms: fc.option(fc.integer({ min: 1 })),
      inputNorm: fc.constantFrom(...INPUT_NORMS),
    }),
  }),
  fc.record({
    kind: fc.constant("topk" as const),
    encoder: fc.record({
      k: fc.integer({ min: 1, max: 64 }),
      center: fc.boolean(),
      subtractCenter: fc.boolean(),
      inputNorm: fc.constantFrom(...INPUT_NORMS),
    }),
  }),
);
const manifests: fc.Arbitrary<DictionaryManifest> = fc
  .record({
    id: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$/),
    d: fc.integer({ min: 1, max: 131_072 }),
    m: fc.integer({ min: 64, max: 8_388_608 }),
    provenance: fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), fc.oneof(fc.string(), fc.integer()), {
      noNullPrototype: true,
    }),
  })
  .chain(({ d, ...head }) =>
    encoders.map((settings) => ({ ...head, ...settings, role: "autoencoder" as const, dIn: d, dOut: d })),
  );

describe("a manifest", () => {
  it("comes back as it was written", () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        expect(parseManifest(manifestText(manifest))).toEqual(manifest);
      }),
      { seed: 1 },
    );
  });

  it("needs no provenance", () => {
    const { provenance: _, ...rest } = { provenance: {}, ...GOOD };
    expect(parseManifest(JSON.stringify(rest)).provenance).toEqual({});
  });

  it("is refused with all its faults at once, each naming the field, what it holds and what is allowed", () => {
    const faults = faultsWith({
      format: 2,
      id: "../x",
      d_in: 0,
      m: 1.5,
      encoder: { ...GOOD.encoder, score: "best", center: 1 },
    });
    expect(faults).toHaveLength(6);
    expect(faults).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^dictionary\.json: format is 2; it must be 1\.$/),
        expect.stringMatching(/^dictionary\.json: id is "\.\.\/x"; it must match pattern/),
        expect.stringMatching(/^dictionary\.json: d_in is 0; it must be >= 1/),
        expect.stringMatching(/^dictionary\.json: m is 1\.5; it must be integer/),
        expect.stringMatching(/^dictionary\.json: encoder\.score is "best"; it .*: relu, signed, absolute\.$/),
        expect.stringMatching(/^dictionary\.json: encoder\.center is 1; it must be boolean/),
      ]),
    );
  });

  it("reads d alone as both widths, and an absent role as autoencoder", () => {
    const { role: _role, d_in: _in, d_out: _out, ...old } = GOOD as unknown as Record<string, unknown>;
    expect(parseManifest(JSON.stringify({ ...old, d: 2 }))).toEqual(parseManifest(JSON.stringify(GOOD)));
    expect(faultsWith({ d: 3 })).toEqual(["dictionary.json: the file must have d_in and d_out, or d for both."]);
  });

  it("is refused where its role contradicts its kind, widths or settings", () => {
    expect(faultsWith({ role: "transcoder" })).toEqual([
      "dictionary.json: role is transcoder; kind matching_pursuit is made for autoencoder.",
    ]);
    const relu = { kind: "relu", encoder: { center: true, subtract_center: true, input_norm: "none", skip: true } };
    expect(faultsWith({ ...relu, d_out: 3 })).toEqual([
      `dictionary.json: d_in is 2, d_out 3; an autoencoder's are equal. Is its role "transcoder"?`,
      "dictionary.json: encoder.skip is true; only a transcoder has a skip.",
    ]);
    expect(faultsWith({ ...relu, role: "transcoder", d_out: 3 })).toEqual([
      "dictionary.json: encoder.subtract_center is true; a transcoder's centre belongs to its output, so it must be false.",
    ]);
  });

  it("has groups that ascend to m, of a one-pass kind alone", () => {
    const relu = { kind: "relu", encoder: { center: true, subtract_center: true, input_norm: "none" }, m: 8 };
    const text = JSON.stringify({ ...GOOD, ...relu, groups: [2, 4, 8], default_budget: { group: 4 } });
    expect(parseManifest(text)).toMatchObject({ groups: [2, 4, 8], defaultBudget: { group: 4 } });
    expect(parseManifest(manifestText(parseManifest(text)))).toEqual(parseManifest(text));
    const refused = "the widths must ascend and end with m, 8.";
    expect(faultsWith({ ...relu, groups: [4, 2, 8] })).toEqual([`dictionary.json: groups is [4, 2, 8]; ${refused}`]);
    expect(faultsWith({ ...relu, groups: [2, 4] })).toEqual([`dictionary.json: groups is [2, 4]; ${refused}`]);
    expect(faultsWith({ ...relu, groups: [] })).toEqual([expect.stringMatching(/^dictionary\.json: groups must/)]);
    expect(faultsWith({ ...relu, groups: [2, 8], default_budget: { group: 4 } })).toEqual([
      "dictionary.json: default_budget.group is 4; groups is [2, 8].",
    ]);
    expect(faultsWith({ groups: [1, 3] })).toEqual([
      "dictionary.json: groups is [1, 3]; kind matching_pursuit selects among all atoms, so leave groups out.",
    ]);
  });

  it("has layers and blocks of a role over several layers alone", () => {
    const encoder = { center: true, subtract_center: false, input_norm: "none", k: 2 };
    const base = {
      kind: "topk",
      encoder,
      role: "cross_layer_transcoder",
      d: undefined,
      d_in: 6,
      d_out: 6,
      m: 8,
      layers: 3,
    };
    const blocks = [
      { from: 0, to: 4, layer: 0, writes: [0, 1, 2] },
      { from: 4, to: 8, layer: 2, writes: [2] },
    ];
    const text = JSON.stringify({ ...GOOD, ...base, blocks });
    expect(parseManifest(text)).toMatchObject({ layers: 3, blocks });
    expect(parseManifest(manifestText(parseManifest(text)))).toEqual(parseManifest(text));
    const faults = (fields: object) => faultsWith({ ...base, blocks, ...fields }).map((fault) => fault.slice(17));
    const first = (change: object) => ({ blocks: [{ ...blocks[0]!, ...change }, blocks[1]!] });
    expect(faults({ blocks: undefined })).toEqual([expect.stringMatching(/^blocks is missing; each atom/)]);
    expect(faults({ layers: undefined })).toEqual([expect.stringMatching(/^layers is missing/)]);
    expect(faults({ layers: 4 })).toEqual([expect.stringMatching(/^layers is 4; it must divide d_in, 6/)]);
    expect(faults({ role: "transcoder" })).toEqual([expect.stringMatching(/^layers: role transcoder has one layer/)]);
    expect(faults({ groups: [4, 8] })).toEqual([expect.stringMatching(/^groups and blocks are both given/)]);
    expect(faults(first({ from: 1 }))).toEqual([
      "blocks[0] holds atoms 1 to 4; it must begin at 0 and hold one atom or more.",
    ]);
    expect(faults(first({ layer: 3 }))).toEqual(["blocks[0].layer is 3; there are layers 0 to 2."]);
    expect(faults(first({ writes: [1, 0] }))).toEqual([
      "blocks[0].writes is [1, 0]; it must ascend within layers 0 to 2.",
    ]);
    expect(faults({ m: 9 })).toEqual(["blocks end with atom 8; they must end with m, 9."]);
    expect(faults({ encoder: { ...encoder, k: 5 } })).toEqual([
      "encoder.k is 5; it holds for each block, and blocks[0] has 4 atoms.",
      "encoder.k is 5; it holds for each block, and blocks[1] has 4 atoms.",
    ]);
    expect(faults({ encoder: { ...encoder, input_norm: "layer_norm" } })).toEqual([
      expect.stringMatching(/^encoder\.input_norm is layer_norm; rows of several layers are not normed/),
    ]);
    const crosscoder = { role: "crosscoder", d_out: 9, encoder: { ...encoder, skip: true } };
    expect(faults(crosscoder)).toEqual([
      'd_in is 6, d_out 9; a crosscoder\'s are equal. Is its role "cross_layer_transcoder"?',
      "encoder.skip is true; only a transcoder has a skip.",
    ]);
  });

  it("is told at once what it lacks and what it must not have", () => {
    const { score: _, ...encoder } = GOOD.encoder;
    const faults = faultsWith({ d_in: undefined, colour: "red", encoder: { ...encoder, momentum: 0.9 } });
    expect(faults).toEqual(
      expect.arrayContaining([
        "dictionary.json: the file must have d_in and d_out, or d for both.",
        "dictionary.json: the file must not have colour.",
        "dictionary.json: encoder must have score.",
        "dictionary.json: encoder must not have momentum.",
      ]),
    );
    expect(faults).toHaveLength(4);
  });

  it.each([
    [{ kind: "temporal" }, /kind is "temporal"; it .*: matching_pursuit, orthogonal_matching_pursuit, relu/],
    [
      { kind: "topk", encoder: { k: 0, center: true, subtract_center: true, input_norm: "none" } },
      /encoder\.k is 0; it must be/,
    ],
    [{ d_in: 262_145 }, /d_in is 262145; it must be <= 262144/],
    [{ m: 8_388_609 }, /m is 8388609; it must be <= 8388608/],
    [{ id: "" }, /id is ""; it must match pattern/],
    [{ id: ".hidden" }, /id is "\.hidden"; it must match pattern/],
    [{ encoder: { ...GOOD.encoder, max_atoms: 0 } }, /encoder\.max_atoms is 0; it must be/],
    [{ encoder: { ...GOOD.encoder, residual_threshold: -1 } }, /encoder\.residual_threshold is -1; it must be >= 0/],
    [{ encoder: [] }, /encoder must/],
    [{ provenance: "mine" }, /provenance is "mine"; it must be object/],
  ])("with %j is refused in one sentence", (fields, message) => {
    const faults = faultsWith(fields);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(message);
  });

  it.each([
    ["", /^dictionary\.json: is empty/],
    ["{", /is cut off: its JSON ends unfinished at line 1, column 2/],
    ["version https://git-lfs.github.com/spec/v1\noid", /is a git-lfs pointer/],
    ["null", /the file must be object/],
    ["[]", /the file must be object/],
  ])("whose text is %.9j is refused", (text, message) => {
    expect(faultsOf(text)).toEqual([expect.stringMatching(message)]);
  });

  it("is refused in few words, however much is wrong", () => {
    const fields = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`${i}${"x".repeat(1000)}`, 1]));
    const faults = faultsWith({ ...fields, id: "x".repeat(100_000) });
    expect(faults.join("").length).toBeLessThan(2000);
    expect(faults.join("\n")).toMatch(/must not have .* and 988 more\./);
  });

  it("with NaN is told where: of a setting as a fault, of provenance as a warning", async () => {
    const text = (settings: string, provenance: string): string =>
      `\uFEFF{"format": 1, "id": "nan", "kind": "matching_pursuit", "d": 2, "m": 3,\n "encoder": {${settings}, ` +
      `"score": "relu", "reselect": "stop", "center": false, "max_atoms": null, "input_norm": "none"},\n ${provenance}}`;
    expect(faultsOf(text('"residual_threshold": NaN', '"provenance": {}'))).toEqual([
      expect.stringMatching(
        /^dictionary\.json: encoder\.residual_threshold is NaN \(line 2, column 36\); it must be number/,
      ),
    ]);
    mkdirSync(join(folder, "nan"));
    writeFileSync(
      join(folder, "nan", "dictionary.json"),
      text('"residual_threshold": 0', '"provenance": {"loss": NaN}'),
    );
    const warnings: string[] = [];
    expect(await readManifest(join(folder, "nan"), (warning) => warnings.push(warning))).toMatchObject({ id: "nan" });
    expect(warnings).toEqual([
      "dictionary.json: provenance.loss is NaN (line 3, column 25); it is shown as null.",
      expect.stringMatching(/neither default_budget nor/),
    ]);
  });

  it("of over a megabyte is not read", async () => {
    mkdirSync(join(folder, "large"));
    writeFileSync(join(folder, "large", "dictionary.json"), " ".repeat((1 << 20) + 1));
    await expect(readManifest(join(folder, "large"))).rejects.toThrow(/is 1048577 bytes long, over 1048576 bytes/);
  });

  it("that is not there, or is a folder, is a fault of the dictionary and not of the server", async () => {
    mkdirSync(join(folder, "two"));
    writeFileSync(join(folder, "two", "dictionary.json"), JSON.stringify({ ...GOOD, m: 0, kind: "none" }));
    const two = await readManifest(join(folder, "two")).catch((error: unknown) => error);
    expect((two as Fault).faults.length).toBeGreaterThan(1);
    expect((two as Fault).message).not.toContain("cannot be read");
    await expect(readManifest(join(folder, "none"))).rejects.toThrow(/dictionary\.json cannot be read: ENOENT/);
    mkdirSync(join(folder, "odd", "dictionary.json"), { recursive: true });
    await expect(readManifest(join(folder, "odd"))).rejects.toThrow(/dictionary\.json cannot be read: EISDIR/);
  });

  describe("default_budget", () => {
    const manifest = manifestOf("good", { atoms: new Float32Array(6), d: 2 });
    const topk = { kind: "topk", encoder: { k: 2, center: true, subtract_center: true, input_norm: "none" } };

    it("is read and written", () => {
      const full = { ...manifest, defaultBudget: { maxAtoms: 16, tolerance: 0.1, residualNorm: 0.5, minGain: 0.01 } };
      expect(parseManifest(manifestText(full))).toEqual(full);
      expect(JSON.parse(manifestText(full))).toMatchObject({
        default_budget: { max_atoms: 16, tolerance: 0.1, residual_norm: 0.5, min_gain: 0.01 },
      });
      expect(parseManifest(manifestText(manifest))).not.toHaveProperty("defaultBudget");
      expect(parseManifest(JSON.stringify({ ...GOOD, default_budget: {} }))).toHaveProperty("defaultBudget", {});
    });

    it.each<[string, object, readonly string[]]>([
      [
        "over the encoder's cap",
        { encoder: { ...GOOD.encoder, max_atoms: 8 }, default_budget: { max_atoms: 9 } },
        ["dictionary.json: default_budget.max_atoms is 9; this encoder takes 8 atoms at most."],
      ],
      [
        "of an unknown part",
        { default_budget: { atoms: 9 } },
        ["dictionary.json: default_budget must not have atoms."],
      ],
      [
        "negative",
        { default_budget: { max_atoms: -1 } },
        ["dictionary.json: default_budget.max_atoms is -1; it must be >= 0."],
      ],
      [
        "over a one-pass encoder's m",
        { ...topk, default_budget: { max_atoms: 4, min_gain: 0.1 } },
        ["dictionary.json: default_budget.max_atoms is 4; this encoder takes 3 atoms at most."],
      ],
    ])("%s is a fault", (_what, fields, faults) => {
      expect(faultsWith(fields)).toEqual(faults);
    });

    it("is asked for where nothing else caps a pursuit", async () => {
      const warningsOf = async (name: string, fields: object): Promise<readonly string[]> => {
        mkdirSync(join(folder, name));
        writeFileSync(join(folder, name, "dictionary.json"), JSON.stringify({ ...GOOD, ...fields }));
        const warnings: string[] = [];
        await readManifest(join(folder, name), (warning) => warnings.push(warning));
        return warnings;
      };
      expect(await warningsOf("uncapped", {})).toEqual([
        expect.stringMatching(
          /neither default_budget nor encoder\.max_atoms.*Add "default_budget": \{"max_atoms": n\}/,
        ),
      ]);
      expect(await warningsOf("defaulted", { default_budget: {} })).toEqual([]);
      expect(await warningsOf("capped", { encoder: { ...GOOD.encoder, max_atoms: 8 } })).toEqual([]);
      expect(await warningsOf("one-pass", topk)).toEqual([]);
    });
  });
});

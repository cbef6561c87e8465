import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { canonicalJson, type StoredTensor, versionDigest } from "../../../src/engine/dictionaries/version.ts";
import type { PursuitSettings } from "../../../src/engine/core/dictionary.ts";
import { manifestOf } from "../../support/model-folder.ts";

describe("canonicalJson", () => {
  it("orders members by UTF-16 code units, numeric names too (the example of RFC 8785 §3.2.3)", () => {
    const value = {
      "\u20ac": "Euro Sign",
      "\r": "Carriage Return",
      "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One",
      "\ud83d\ude00": "Emoji: Grinning Face",
      "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis",
    };
    expect([...canonicalJson(value).matchAll(/"([A-Z][^"]*)"/g)].map(([, text]) => text!.split(/[ :]/)[0])).toEqual([
      "Carriage",
      "One",
      "Control",
      "Latin",
      "Euro",
      "Emoji",
      "Hebrew",
    ]);
    expect(canonicalJson({ 9: 1, 10: 2 })).toBe('{"10":2,"9":1}');
  });

  it("writes numbers, strings and literals as RFC 8785 §3.2.2 does", () => {
    const text = String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
      "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`;
    expect(canonicalJson(JSON.parse(text))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it("leaves out what is undefined", () => {
    expect(canonicalJson({ b: { d: undefined, c: -0 }, a: undefined })).toBe('{"b":{"c":0}}');
  });
});

describe("versionDigest", () => {
  const atoms = Float32Array.of(1, 0, 0, 1, 0.6, 0.8);
  const bytes = new Uint8Array(atoms.buffer);
  const stored: StoredTensor = { name: "atoms", dtype: "F32", shape: [3, 2], pieces: [bytes] };
  const center: StoredTensor = { name: "center", dtype: "F32", shape: [2], pieces: [bytes.subarray(0, 8)] };
  const manifest = manifestOf("a", { atoms, d: 2 });
  const digest = versionDigest(manifest, [stored, center]);

  it("is SHA-256 of the manifest's part, then of each tensor by name", () => {
    const text =
      '{"encoder":{"center":false,"input_norm":"none","max_atoms":null,"reselect":"add","residual_threshold":0,"score":"relu"},' +
      '"kind":"matching_pursuit","role":"autoencoder","widths":{"d_in":2,"d_out":2,"m":3}}';
    const hash = createHash("sha256")
      .update(text)
      .update('{"dtype":"F32","name":"atoms","shape":[3,2]}')
      .update(bytes)
      .update('{"dtype":"F32","name":"center","shape":[2]}')
      .update(bytes.subarray(0, 8));
    expect(digest).toBe(hash.digest("hex"));
  });

  it("is the same whatever the tensors' order and however their bytes are cut", () => {
    const cut = { ...stored, pieces: [bytes.subarray(0, 5), bytes.subarray(5)] };
    expect(versionDigest(manifest, [center, cut])).toBe(digest);
  });

  it("does not change with what no code depends on", () => {
    const renamed = { ...manifest, id: "b", provenance: { data: "another" } };
    expect(versionDigest(renamed, [stored, center])).toBe(digest);
  });

  it("changes with the groups", () => {
    expect(versionDigest({ ...manifest, groups: [1, 2] }, [stored, center])).not.toBe(digest);
  });

  it.each<[string, Partial<PursuitSettings>]>([
    ["score", { score: "absolute" }],
    ["reselect", { reselect: "stop" }],
    ["center", { center: true }],
    ["residual threshold", { residualThreshold: 1e-9 }],
    ["cap", { maxAtoms: 16 }],
    ["input norm", { inputNorm: "layer_norm" }],
  ])("changes with the %s", (_what, settings) => {
    expect(versionDigest(manifestOf("a", { atoms, d: 2, settings }), [stored, center])).not.toBe(digest);
  });

  it.each<[string, StoredTensor[]]>([
    ["a byte", [{ ...stored, pieces: [bytes.map((byte, i) => (i === 7 ? byte ^ 1 : byte))] }, center]],
    ["a type", [{ ...stored, dtype: "I32" }, center]],
    ["a shape", [{ ...stored, shape: [2, 3] }, center]],
    ["a name", [{ ...stored, name: "atomz" }, center]],
    ["a tensor", [stored]],
    [
      "where one tensor ends",
      [
        { ...stored, pieces: [bytes, bytes.subarray(0, 4)] },
        { ...center, pieces: [bytes.subarray(4, 8)] },
      ],
    ],
  ])("changes with %s", (_what, tensors) => {
    expect(versionDigest(manifest, tensors)).not.toBe(digest);
  });
});

import { expect, it } from "vitest";
import type { DictionaryManifest } from "../../../src/engine/core/dictionary.ts";
import { memoryNeeds } from "../../../src/engine/serving/dictionary-memory.ts";

const MiB = 2 ** 20;

const manifestOf = (kind: string, m: number, d: number, settings: object = {}): DictionaryManifest =>
  ({
    id: "one",
    kind,
    role: "autoencoder",
    dIn: d,
    dOut: d,
    m,
    encoder: { center: false, subtractCenter: false, inputNorm: "none", ...settings },
    provenance: {},
  }) as unknown as DictionaryManifest;

// Encoder, decoder, and as small as here the bias.
it.each([
  { name: "a pursuit", manifest: manifestOf("matching_pursuit", 16_384, 1024), expected: 64 + 4.5 * 64 },
  { name: "a one-pass encoder", manifest: manifestOf("relu", 16_384, 1024), expected: 64 + 2.4 * 128 },
  { name: "one over 1 GiB", manifest: manifestOf("relu", 262_144, 2048), expected: 64 + 1.3 * 4096 },
  {
    name: "one over 1 GiB that copies its atoms",
    manifest: manifestOf("topk", 262_144, 2048, { k: 9, scaleByDecoderNorm: true }),
    expected: 64 + 2.4 * 4096,
  },
])("$name claims its copies", async ({ manifest, expected }) => {
  const { runtime } = await memoryNeeds("no-such-folder", manifest);
  expect(runtime! / MiB / expected).toBeCloseTo(1, 2);
});

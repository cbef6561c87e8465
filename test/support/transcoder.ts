import type { JumpReluSettings } from "../../src/engine/encoders/jumprelu.ts";
import type { OnePassWeights } from "../../src/engine/encoders/one-pass.ts";
import { normals } from "./seeded.ts";

/** A JumpReLU transcoder with a skip and random weights. */
export function skipTranscoder(dIn: number, dOut: number, m: number): OnePassWeights<JumpReluSettings> {
  return {
    kind: "jumprelu",
    role: "transcoder",
    dIn,
    d: dOut,
    m,
    atoms: normals(m * dOut, 1),
    center: normals(dOut, 2),
    settings: { center: true, subtractCenter: false, inputNorm: "none", skip: true, comparison: "strict" },
    tensors: {
      encoder_weight: normals(m * dIn, 3),
      encoder_bias: normals(m, 4),
      threshold: new Float32Array(m).fill(0.5),
      skip: normals(dOut * dIn, 5),
    },
  };
}

/**
 * Run as a separate process by `pursuit doctor`, because a broken provider may abort it. Encodes one row of a two-atom
 * dictionary on the runtime named in the first argument and prints one line of JSON.
 */
import type { PursuitWeights } from "../../core/dictionary-weights.ts";
import { createEncoderSession } from "../sessions/create-session.ts";

process.env["ORT_DISABLE_TELEMETRY"] = "1";

const TWO_ATOMS: PursuitWeights = {
  kind: "matching_pursuit",
  d: 2,
  m: 2,
  atoms: Float32Array.of(1, 0, 0, 1),
  center: null,
  settings: {
    score: "relu",
    reselect: "stop",
    center: false,
    residualThreshold: 0,
    maxAtoms: null,
    inputNorm: "none",
  },
};
const runtime = process.argv[2] === "cuda" ? "cuda" : "cpu";
try {
  const session = await createEncoderSession(TWO_ATOMS, { runtime, path: "residual", threads: 1 });
  const codes = await session.encode({
    rows: Float32Array.of(3, 4),
    count: 1,
    budgets: {
      maxAtoms: Int32Array.of(2),
      tolerance: new Float64Array(1),
      residualNorm: new Float64Array(1),
      minGain: new Float64Array(1),
      group: new Int32Array(1),
    },
    trace: false,
    reconstruction: false,
  });
  await session.release();
  const right = codes.indices[0] === 0 && codes.values[0] === 3 && codes.indices[1] === 1 && codes.values[1] === 4;
  console.log(JSON.stringify({ works: right, detail: right ? "" : "it encoded (3, 4) wrongly" }));
} catch (error) {
  console.log(JSON.stringify({ works: false, detail: error instanceof Error ? error.message : String(error) }));
}

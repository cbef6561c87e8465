/**
 * The built code, as it is served: what tsx makes of the sources on the fly adds calls of its own to their hot loops.
 * Needs a build.
 */
import type * as Sessions from "../../src/engine/runtime/sessions/create-session.ts";
import type * as Dense from "../../src/engine/runtime/onnx/dense-pass.ts";
import type * as Memory from "../../src/engine/runtime/gram/gram.ts";

const folder = "#dist/engine/runtime";
export const { createEncoderSession } = (await import(`${folder}/sessions/create-session.js`)) as typeof Sessions;
export const { DensePass } = (await import(`${folder}/onnx/dense-pass.js`)) as typeof Dense;
const { freeMemory } = (await import(`${folder}/gram/gram.js`)) as typeof Memory;

/** A dense pass as a session makes it, its result freed at once: the fastest that we know. */
export async function passOnce(dense: Dense.DensePass, rows: Float32Array): Promise<void> {
  freeMemory(await dense.run(rows));
}

/**
 * The built code, as it is served: what tsx makes of the sources on the fly adds calls of its own to their hot loops.
 * Needs a build.
 */
type Sessions = typeof import("../../src/engine/executor/session/create-session.ts");
type Dense = typeof import("../../src/engine/executor/session/dense-pass.ts");

const folder = "#dist/engine/executor/session";
export const { createEncoderSession } = (await import(`${folder}/create-session.js`)) as Sessions;
export const { DensePass } = (await import(`${folder}/dense-pass.js`)) as Dense;

import type { Budget } from "../engine/core/budget.ts";
import type { RequestEncoder } from "../engine/core/dictionary.ts";
import { Cancellation } from "../engine/core/cancellation.ts";
import { CatalogEngine } from "../engine/serving/catalog-engine.ts";
import { ServedDictionary } from "../engine/serving/served-dictionary.ts";
import { stateStore } from "../server/state.ts";
import { type ServedCode, servedCodes } from "../engine/dictionaries/verify/step-margins.ts";
import { systemClock } from "../engine/core/clock.ts";
import { Telemetry } from "../engine/core/telemetry.ts";
import type { Rows } from "../engine/core/rows.ts";
import type { SparseCodes } from "../engine/core/sparse-codes.ts";
import { servingOptions } from "../server/serving-options.ts";
import type { Settings } from "../server/settings.ts";
import { dictionaryFolder } from "./dictionary-folder.ts";

/** Something that encodes rows under one budget, as the server would. */
export interface Encoder {
  encode(rows: Rows, budget: Budget): Promise<readonly ServedCode[]>;
  close(): Promise<void>;
}

/** The engine of the server without its HTTP, over one dictionary. */
export interface LocalEngine {
  readonly engine: CatalogEngine;
  /** Version that it loaded. */
  readonly sha256: string;
}

/**
 * Loads a dictionary into an engine of this process. Close the engine when it is no longer needed.
 * @param expected version that it must be
 * @throws Error when the dictionary is broken, or is another version
 */
export async function openEngine(id: string, settings: Settings, expected?: string): Promise<LocalEngine> {
  const telemetry = new Telemetry();
  const options = servingOptions(settings, telemetry, () => {});
  const engine = new CatalogEngine([new ServedDictionary(id, await dictionaryFolder(id, settings), options)], {
    clock: systemClock,
    telemetry,
    open: () => Promise.resolve(null),
    // Never opened: nothing is steered here.
    state: stateStore(settings, () => {}),
  });
  await engine.start();
  const { sha256, faults } = engine.status(id);
  if (sha256 === undefined || (expected !== undefined && sha256 !== expected)) {
    await engine.close();
    throw new Error(
      sha256 === undefined
        ? `Dictionary ${id} could not be loaded: ${faults.join(" ")}`
        : `The files of ${id} changed while they were read twice. Run the command again when nothing writes to them.`,
    );
  }
  return { engine, sha256 };
}

/** Encodes rows by an engine of this process, as a request without anything to include would. */
export function encoderOfRows(
  engine: CatalogEngine,
  id: string,
  budget: Budget | null,
  encoder: RequestEncoder | undefined,
): (rows: Rows) => Promise<SparseCodes> {
  const context = { span: {}, cancellation: new Cancellation() };
  return async (rows) => {
    const work = { rows, budget, trace: false, reconstruction: false, ...(encoder && { encoder }) };
    return (await engine.encode(id, work, context)).codes;
  };
}

export interface EncodeOptions {
  /** Version that the answers are compared by; another one is refused. */
  readonly sha256?: string;
  /** Whether codes come with labels, where the dictionary has any. */
  readonly labels?: boolean;
}

/** Loads a dictionary to encode by. @throws Error when it is broken, or is another version */
export async function encodeHere(
  id: string,
  encoder: RequestEncoder | undefined,
  settings: Settings,
  { sha256, labels = false }: EncodeOptions,
): Promise<Encoder> {
  const { engine } = await openEngine(id, settings, sha256);
  const labelled = labels && engine.status(id).labels;
  const context = { span: {}, cancellation: new Cancellation() };
  return {
    async encode(rows, budget) {
      const work = { rows, budget, trace: true, reconstruction: false, ...(encoder && { encoder }) };
      const { codes } = await engine.encode(id, work, context);
      return servedCodes(codes).map((code) =>
        labelled ? { ...code, labels: engine.labels(id, Uint32Array.from(code.indices)) } : code,
      );
    },
    close: () => engine.close(),
  };
}

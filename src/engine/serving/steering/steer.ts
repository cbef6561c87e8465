import { type CodeEdit, type DirectionEdit, type Edit, invalidEdit, isCodeEdit, MAX_EDITS } from "../../core/edits.ts";
import type { EncodeAnswer, EncodeRequest } from "../../engine.ts";
import type { Rows } from "../../core/rows.ts";
import type { CodeDelta, SteerBatch, SteeredBatch } from "../../core/steer-batch.ts";
import type { SteerAnswer, SteerRequest } from "../../core/steering.ts";
import { checkEdits, checkMasks, directionColumns, editCodes, movedFeatures, rowMask } from "./edit-codes.ts";

/** What steering needs of the dictionary that it steers by. */
export interface SteeredBy {
  readonly d: number;
  readonly m: number;
  readonly sha256: string;
  /** Edits of the request's named set; none where it names none. */
  readonly setEdits: readonly Edit[];
  /** Through the queue, as any encode. */
  readonly encode: (request: EncodeRequest) => Promise<EncodeAnswer>;
  /** In its turn. @throws EngineError where it is no longer wanted by then */
  readonly steer: (batch: SteerBatch) => Promise<SteeredBatch>;
  /** Milliseconds on the engine's clock. */
  readonly now: () => number;
  /** The rows are steered, which began then. */
  readonly onSteered: (start: number) => void;
}

/** Multiplications and additions of one call: some 10 ms, so that batches of other requests wait no longer than for one of their own. */
const CALL_WORK = 8_000_000;

/**
 * Encode once, edit the codes, add one sparse delta, then directions in order (docs/steering.md). Without an edit of codes no
 * code is needed, so none is made; under `effect` there is one of the rows and one of what became of them.
 */
export async function steer(request: SteerRequest, by: SteeredBy): Promise<SteerAnswer> {
  const { rows, only, budget, effect, encoder } = request;
  const { d, now, onSteered } = by;
  const edits = [...by.setEdits, ...request.edits];
  const fromSet = by.setEdits.length;
  if (edits.length > MAX_EDITS) {
    throw invalidEdit(
      `edits[${MAX_EDITS - fromSet}] is one too many: with the set's ${fromSet} there are ${edits.length} edits, at most ${MAX_EDITS} are taken.`,
    );
  }
  checkEdits(request.edits, by);
  checkMasks(request.edits, only, rows.count);
  const inCodes = positions(edits, isCodeEdit);
  const inRows = positions(edits, (edit) => !isCodeEdit(edit));
  const codeEdits = inCodes.map((k) => edits[k] as CodeEdit);
  const directionEdits = inRows.map((k) => edits[k] as DirectionEdit);

  const encode = (what: Rows): Promise<EncodeAnswer> =>
    by.encode({ rows: what, budget, trace: false, reconstruction: false, ...(encoder && { encoder }) });
  const encoded = inCodes.length > 0 || effect ? await encode(rows) : null;
  const started = now();
  const nameOf = (k: number): string => (k < fromSet ? `edits[${k}] of the set` : `edits[${k - fromSet}]`);
  const edited =
    encoded === null
      ? null
      : editCodes(encoded.codes, codeEdits, rowMask(codeEdits, only, rows.count), inCodes.map(nameOf));
  const delta = edited?.delta ?? noDelta(rows.count);
  const mask = rowMask(directionEdits, only, rows.count);

  const data = new Float32Array(rows.count * d);
  const norms = new Float64Array(rows.count);
  const directed = effect ? emptyEffect(rows.count * inRows.length) : null;
  const size = Math.max(1, Math.floor(CALL_WORK / (d * (1 + edits.length))));
  for (let from = 0; from < rows.count; from += size) {
    const to = Math.min(from + size, rows.count);
    if (edits.length === 0) {
      data.set(rows.data);
      break;
    }
    const applies = mask.subarray(from * inRows.length, to * inRows.length);
    const directions = directionColumns(directionEdits, d, applies);
    const steered = await by.steer({
      rows: rows.data.subarray(from * d, to * d),
      count: to - from,
      delta: sliceDelta(delta, from, to),
      directions,
    });
    checkDirections(steered, directions, inRows.map(nameOf));
    data.set(steered.rows, from * d);
    norms.set(steered.norms, from);
    directed?.before.set(steered.before, from * inRows.length);
    directed?.after.set(steered.after, from * inRows.length);
  }
  checkSteered(data, d);
  const out = { data, count: rows.count, width: d };
  onSteered(started);
  const { sha256 = by.sha256, pursuit } = encoded ?? {};
  const answer = { rows: out, norms, sha256, ...(pursuit && { pursuit }) };
  if (encoded === null || edited === null || directed === null) return answer;

  const again = await encode(out);
  const features = Int32Array.from(edits, ({ feature = -1 }) => feature);
  const join = (ofCodes: Float64Array, ofRows: Float64Array): Float64Array =>
    interleave(rows.count, edits.length, [
      [inCodes, ofCodes],
      [inRows, ofRows],
    ]);
  return {
    ...answer,
    effect: {
      features,
      fromSet,
      before: join(edited.before, directed.before),
      after: join(edited.after, directed.after),
      moved: movedFeatures(encoded.codes, again.codes),
    },
  };
}

function positions(edits: readonly Edit[], wanted: (edit: Edit) => boolean): readonly number[] {
  return [...edits.keys()].filter((k) => wanted(edits[k]!));
}

const noDelta = (count: number): CodeDelta => ({
  indptr: new Uint32Array(count + 1),
  indices: new Uint32Array(),
  values: new Float64Array(),
});

const emptyEffect = (length: number) => ({ before: new Float64Array(length), after: new Float64Array(length) });

function sliceDelta({ indptr, indices, values, scale }: CodeDelta, from: number, to: number): CodeDelta {
  const first = indptr[from]!;
  const last = indptr[to]!;
  return {
    indptr: indptr.slice(from, to + 1).map((at) => at - first),
    indices: indices.subarray(first, last),
    values: values.subarray(first, last),
    ...(scale && { scale: scale.subarray(from, to) }),
  };
}

/** Columns of some of the edits, [count · part], as one of all, [count · e]. */
function interleave(
  count: number,
  e: number,
  parts: readonly (readonly [readonly number[], Float64Array])[],
): Float64Array {
  const joined = new Float64Array(count * e);
  for (const [places, column] of parts) {
    for (let i = 0; i < count; i++) {
      for (const [k, place] of places.entries()) joined[i * e + place] = column[i * places.length + k]!;
    }
  }
  return joined;
}

/** A zero atom has no direction, so a row has no component along it. @throws EngineError PURSUIT_INVALID_EDIT */
function checkDirections(
  { before }: SteeredBatch,
  { applies, features }: SteerBatch["directions"],
  names: readonly string[],
): void {
  const at = before.findIndex((component, k) => applies[k] === 1 && Number.isNaN(component));
  const edit = at % features.length;
  if (at < 0 || features[edit]! < 0) return;
  throw invalidEdit(`${names[edit]}: atom ${features[edit]} is zero, so it has no direction. Give a vector instead.`);
}

/** @throws EngineError PURSUIT_INVALID_EDIT naming the row. */
function checkSteered(data: Float32Array, d: number): void {
  for (let i = 0; i < data.length; i++) {
    if (data[i]! - data[i]! !== 0) {
      throw invalidEdit(
        `edits take row ${Math.floor(i / d)}, column ${i % d} beyond what float32 holds; smaller values are needed.`,
      );
    }
  }
}

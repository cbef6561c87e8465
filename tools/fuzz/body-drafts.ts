import type { Draw, Json } from "./damage.ts";

/** Sizes of the dictionaries that the fuzzer serves. */
export interface Target {
  readonly id: string;
  readonly d: number;
  readonly m: number;
}

const REFUSALS = [400, 404, 405, 406, 408, 411, 413, 415, 417, 422, 429];
const allowed = (...statuses: number[]): ReadonlySet<number> => new Set([...REFUSALS, ...statuses]);

export type Fields = Record<string, Json>;

/** A request that is sound, or nearly: its parts are spoilt afterwards. */
export interface Draft {
  readonly method: string;
  readonly path: string;
  readonly query: Record<string, string>;
  readonly type: string;
  readonly accept: string | null;
  readonly headers: Record<string, string>;
  /** Fields of JSON or MessagePack, or bytes. */
  readonly content: Fields | Buffer;
  readonly statuses: ReadonlySet<number>;
}

const JSON_TYPE = "application/json";
export const MSGPACK_TYPES = ["application/msgpack", "application/x-msgpack"];
const ACCEPTS = [JSON_TYPE, "application/msgpack", "application/vnd.safetensors", "application/octet-stream", "*/*"];
const FORMATS = ["sparse", "csr", "dense", "map"];

const rowOf = (draw: Draw, d: number): number[] => draw.list(d, () => Number(draw.number().toFixed(4)));
const rowsOf = (draw: Draw, d: number): number[][] => draw.list(1 + draw.below(6), () => rowOf(draw, d));
const bytesOf = (rows: readonly (readonly number[])[]): Buffer => Buffer.from(Float32Array.from(rows.flat()).buffer);

function budgetOf(draw: Draw): Fields {
  return {
    ...(draw.chance(0.7) && { max_atoms: draw.below(9) }),
    ...(draw.chance(0.3) && { tolerance: draw.below(10) / 10 }),
    ...(draw.chance(0.2) && { min_gain: 0.01 }),
  };
}

function inputsOf(draw: Draw, d: number, binary: boolean): Json {
  const rows = rowsOf(draw, d);
  if (!binary) return draw.chance(0.1) ? [rows] : rows;
  const data = bytesOf(rows);
  return { data: draw.chance(0.5) ? data : data.toString("base64"), dtype: "float32", shape: [rows.length, d] };
}

const encodeFields = (draw: Draw, d: number, binary: boolean): Fields => ({
  inputs: inputsOf(draw, d, binary),
  ...(draw.chance(0.7) && { budget: budgetOf(draw) }),
  ...(draw.chance(0.5) && { format: draw.pick(FORMATS) }),
  ...(draw.chance(0.3) && { include: draw.pick([["trace"], ["reconstruction"], ["labels"], ["trace", "labels"]]) }),
  ...(draw.chance(0.1) && { encoder: "orthogonal" }),
  ...(draw.chance(0.1) && { timeout_ms: draw.pick([0.001, 1, 60_000]) }),
  ...(draw.chance(0.1) && { on_overload: draw.pick(["reject", "degrade"]) }),
});

function codesOf(draw: Draw, m: number): Json {
  const entries = draw.below(5);
  const indices = draw.list(entries, (i) => (i * 7 + draw.below(7)) % m);
  const values = draw.list(entries, () => draw.number());
  const norm = draw.chance(0.5) ? { norm: { shift: draw.number(), scale: 1.5 } } : {};
  switch (draw.below(4)) {
    case 0:
      return { indptr: [0, entries], indices, values, ...norm };
    case 1:
      return [{ values: Object.fromEntries(indices.map((index, i) => [index, values[i]])), ...norm }];
    case 2:
      return [{ values: draw.list(m, (i) => (i % 5 === 0 ? draw.number() : 0)), ...norm }];
    default:
      return draw.list(1 + draw.below(4), () => ({ indices, values, ...norm, atoms: entries, stop: "max_atoms" }));
  }
}

function editOf(draw: Draw, { d, m }: Target): Fields {
  const feature = draw.below(m + 1);
  return draw.pick<Fields>([
    { feature, op: "add", value: draw.number() },
    { feature, op: "set", value: 0.5, when: { min: 0 } },
    { feature, op: "remove", rows: [0] },
    { feature, op: "clamp", min: -1, max: 1 },
    { feature, op: "scale", value: 1e30 },
    { vector: rowOf(draw, d), op: "add_direction", strength: 2, relative: true },
    { feature, op: "project_out" },
    { feature, op: "project_cap", max: 0.1 },
  ]);
}

const editsOf = (draw: Draw, target: Target): Fields[] => draw.list(1 + draw.below(4), () => editOf(draw, target));

function draft(draw: Draw, method: string, path: string, content: Draft["content"], statuses: number[]): Draft {
  const packed = !(content instanceof Buffer) && draw.chance(0.4);
  return {
    method,
    path,
    content,
    query: {},
    headers: {},
    type: packed ? draw.pick(MSGPACK_TYPES) : JSON_TYPE,
    accept: draw.chance(0.5) ? draw.pick(ACCEPTS) : null,
    statuses: allowed(200, ...statuses),
  };
}

type Route = (draw: Draw, target: Target, targets: readonly Target[]) => Draft;

const encode: Route = (draw, { id, d }) =>
  draft(draw, "POST", `/v1/dictionaries/${id}/encode`, encodeFields(draw, d, draw.chance(0.3)), [504]);

const octets: Route = (draw, { id, d }) => {
  const rows = rowsOf(draw, d);
  const query = { dtype: "float32", rows: String(rows.length), max_atoms: "4", format: draw.pick(FORMATS) };
  const made = draft(draw, "POST", `/v1/dictionaries/${id}/encode`, bytesOf(rows), [504]);
  return { ...made, query, type: "application/octet-stream" };
};

const lines: Route = (draw, { id, d }) => {
  const text = draw.list(1 + draw.below(12), (i) => {
    const row = rowOf(draw, draw.chance(0.05) ? d + 1 : d);
    return JSON.stringify(draw.chance(0.5) ? row : { input: row, id: i, budget: budgetOf(draw) });
  });
  const made = draft(draw, "POST", `/v1/dictionaries/${id}/encode`, Buffer.from(text.join("\n")), [504]);
  return { ...made, type: "application/x-ndjson", query: { max_atoms: "3" } };
};

const decode: Route = (draw, { id, m }) =>
  draft(draw, "POST", `/v1/dictionaries/${id}/decode`, { codes: codesOf(draw, m) }, []);

const steer: Route = (draw, target) => {
  const fields = {
    inputs: inputsOf(draw, target.d, draw.chance(0.3)),
    edits: editsOf(draw, target),
    ...(draw.chance(0.3) && { include: ["effect"] }),
    ...(draw.chance(0.2) && { set: draw.pick(["kept", "none"]) }),
    ...(draw.chance(0.2) && { rows: [0] }),
  };
  return draft(draw, "POST", `/v1/dictionaries/${target.id}/steer`, fields, [409, 504]);
};

const transfer: Route = (draw, { id, d }, targets) =>
  draft(draw, "POST", "/v1/transfer", { from: id, to: draw.pick(targets).id, inputs: rowsOf(draw, d) }, [504]);

const saveSet: Route = (draw, target) => {
  const path = `/v1/dictionaries/${target.id}/steering/${draw.pick(["kept", "other", "third"])}`;
  return draft(draw, "PUT", path, { edits: editsOf(draw, target) }, [201, 409, 412, 507]);
};

const findFeatures: Route = (draw, { id }) => {
  const made = draft(draw, "GET", `/v1/dictionaries/${id}/features`, Buffer.alloc(0), []);
  return { ...made, query: { query: draw.pick(["bird", "", "é", "a".repeat(300)]) } };
};

const infer: Route = (draw, { id, d }) => {
  const rows = rowsOf(draw, d);
  const bytes = bytesOf(rows);
  const binary = draw.chance(0.4);
  const tensor = { name: "rows", datatype: "FP32", shape: [rows.length, d] };
  const request = {
    inputs: [
      binary
        ? { ...tensor, parameters: { binary_data_size: bytes.length } }
        : { ...tensor, data: draw.chance(0.5) ? rows : rows.flat() },
      ...(draw.chance(0.3)
        ? [{ name: "max_atoms", datatype: "INT32", shape: [rows.length], data: rows.map(() => 3) }]
        : []),
    ],
    ...(draw.chance(0.3) && { parameters: { binary_data_output: draw.chance(0.5), tolerance: 0.2 } }),
    ...(draw.chance(0.3) && { outputs: [{ name: "values" }, { name: "indices" }] }),
  };
  const path = `/v2/models/${id}/infer`;
  if (!binary) return { ...draft(draw, "POST", path, request, [504]), type: JSON_TYPE };
  const json = Buffer.from(JSON.stringify(request));
  const made = draft(draw, "POST", path, Buffer.concat([json, bytes]), [504]);
  const headers = { "inference-header-content-length": String(json.length) };
  return { ...made, headers, type: "application/octet-stream" };
};

const repository: Route = (draw) => {
  const path = draw.pick([
    "/v2/repository/index",
    "/v2/repository/models/none/load",
    "/v2/repository/models/none/unload",
  ]);
  return { ...draft(draw, "POST", path, { parameters: {} }, [409]), type: JSON_TYPE };
};

/** A sound request to each route that takes a body, the most used ones twice. */
export const ROUTES: readonly Route[] = [
  encode,
  encode,
  octets,
  lines,
  decode,
  decode,
  steer,
  transfer,
  saveSet,
  findFeatures,
  infer,
  infer,
  repository,
];

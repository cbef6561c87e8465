/**
 * Requests of the OpenAPI document. They succeed unchanged, in this order, on a server of the dictionaries in models/.
 */

/** Thousandths of the held-out row "round: a cut of beef between the rump and the lower leg". */
const THOUSANDTHS = [
  14, 91, 3, 62, -47, -51, -1, 63, 11, 17, 23, -6, -84, 55, 10, -54, 31, -51, 36, 37, -20, -10, 7, 87, -6, -72, 16, 81,
  -51, -38, 17, 24, 3, -33, -30, -77, 149, 34, 85, 80, 36, -52, 17, -17, 52, 68, -64, 57, 0, 5, -35, -41, 7, 20, 43,
  -33, 24, -43, -22, -15, 13, 26, -58, 58, -71, -135, -48, 20, -37, 69, -14, -63, -41, -60, -49, -46, 52, 27, 68, -8,
  -40, 30, -50, -29, -75, -23, 19, -24, -78, -68, -40, -57, -11, 13, 24, 5, -5, -25, -33, 71, 24, -12, 57, -106, -15,
  31, -78, 37, 94, -25, -88, 35, -15, 53, 62, 52, -8, -77, -80, -13, 36, 45, 52, 18, -13, 27, 61, 0, -24, -85, -41, -39,
  104, 2, -87, -42, -33, 79, 9, -109, 24, -18, 29, -88, -71, 21, -24, -42, -93, 39, 68, 1, 3, 6, 32, -122, -15, 26, 21,
  35, 29, -58, -48, -14, 26, -81, -22, 42, 23, -15, 57, 44, -17, 67, -9, 61, -83, -20, 32, 72, 120, -50, -11, -19, 14,
  -35, -28, -67, 66, 68, -38, -5, -123, -32, -8, -58, 54, 21, -56, -19, 23, -23, 2, -4, 9, 45, -1, -43, -60, 40, 8, 42,
  15, -1, -8, -63, 69, 35, -182, 2, -12, -7, 100, 0, 21, 55, 25, 103, 19, -66, 57, 36, 44, 17, -58, -43, -61, -26, 146,
  19, 63, 60, 24, -7, 41, -69, -38, 19, 14, 84, 23, -75, -37, -94, 18, -74, -34, -98, -51, 21, -26, 40, -20, -31, 91,
  -22, -9, 107, -7, -64, -65, 8, -45, 16, 10, 41, 54, 33, 32, -57, -3, -32, -39, 35, -27, 46, -1, -5, 116, 18, -41, 7,
  -14, 5, 3, 8, 13, 93, 25, 67, -13, -37, 34, 85, -66, -140, 58, 33, 39, 36, -16, 94, 24, 5, -23, -10, 39, -33, 67, 0,
  34, -81, -62, 52, -37, 24, -61, -69, -26, 13, -27, 103, 22, 102, -69, 15, 7, 18, -49, -17, -23, -26, -8, -17, -29,
  -100, -68, 85, 12, 40, 36, 75, -51, 41, 54, 33, -66, 18, 26, -21, -80, -72, 96, -2, 16, -52, 5, 59, -8, -7, -9, 32,
  107, 76, 17, -15, -9, -51, -1, -12, 30, -46, 40, 50,
];

const ROW = THOUSANDTHS.map((thousandths) => thousandths / 1000);

/** The row as binary: short enough to leave the other fields of a body visible. */
const INPUTS = {
  data: Buffer.from(Float32Array.from(ROW).buffer).toString("base64"),
  dtype: "float32",
  shape: [1, ROW.length],
};

const ID = "minilm-wordnet-mp";
const EDITS = [
  { feature: 2316, op: "remove" },
  { feature: 3119, op: "add", value: 0.6 },
];
const SET = { id: ID, name: "example" };

export interface RequestExample {
  /** Values of parameters, in the path and in the query. */
  readonly parameters?: Readonly<Record<string, string | number>>;
  /** Body by content type. */
  readonly body?: Readonly<Record<string, unknown>>;
}

const json = (body: unknown): Record<string, unknown> => ({ "application/json": body });

/** By operationId. Routes with a required parameter or a body need one. */
export const REQUEST_EXAMPLES: Readonly<Record<string, RequestExample>> = {
  getDictionary: { parameters: { id: ID } },
  searchFeatures: { parameters: { id: ID, query: "bird", limit: 5 } },
  getFeature: { parameters: { id: ID, index: 2316 } },
  findFeatures: { parameters: { id: ID }, body: json({ n: 5, inputs: INPUTS }) },
  getFeatureLabel: { parameters: { id: ID, index: 2316 } },
  putFeatureLabel: { parameters: { id: ID, index: 2316 }, body: json({ label: "agreement" }) },
  deleteFeatureLabel: { parameters: { id: ID, index: 2316 } },
  getMap: { parameters: { id: ID } },
  getExamples: { parameters: { id: ID } },
  encode: {
    parameters: { id: ID },
    body: {
      ...json({ budget: { max_atoms: 8 }, include: ["labels"], inputs: INPUTS }),
      "application/x-ndjson": `${JSON.stringify({ id: "a", budget: { max_atoms: 8 }, input: ROW })}\n`,
    },
  },
  decode: {
    parameters: { id: ID },
    body: json({ codes: [{ indices: [447, 1478, 2316, 3618], values: [0.385, 0.08, 0.107, 0.619] }] }),
  },
  contrast: {
    parameters: { id: ID },
    body: json({
      a: { inputs: INPUTS },
      b: { codes: [{ indices: [447, 1478, 2316, 3618], values: [0.385, 0.08, 0.107, 0.619] }] },
      limit: 5,
    }),
  },
  steer: {
    parameters: { id: ID },
    body: json({ edits: EDITS, budget: { max_atoms: 8 }, include: ["effect"], inputs: INPUTS }),
  },
  putSteeringSet: { parameters: SET, body: json({ edits: EDITS }) },
  listSteeringSets: { parameters: { id: ID } },
  getSteeringSet: { parameters: SET },
  deleteSteeringSet: { parameters: SET },
  transfer: { body: json({ from: ID, to: "minilm-wordnet-topk", budget: { max_atoms: 8 }, inputs: INPUTS }) },
  v2Model: { parameters: { model: ID } },
  v2ModelReady: { parameters: { model: ID } },
  v2ModelConfig: { parameters: { model: ID } },
  v2ModelStatistics: { parameters: { model: ID } },
  v2Infer: {
    parameters: { model: ID },
    body: json({
      parameters: { max_atoms: 8 },
      inputs: [{ name: "rows", datatype: "FP32", shape: [1, ROW.length], data: ROW }],
    }),
  },
  v2RepositoryIndex: { body: json({ ready: true }) },
  v2Unload: { parameters: { name: "minilm-wordnet-topk" }, body: json({}) },
  v2Load: { parameters: { name: "minilm-wordnet-topk" }, body: json({}) },
};

export { type EncodeOptions, type FeatureQuery, type FormatAnswers, PursuitClient } from "./client.ts";
export { type Code, Codes, type Stop, type Trace } from "./codes.ts";
export type { CallOptions, ClientOptions } from "./connection.ts";
export { PursuitError } from "./errors.ts";
export type { Line, LineAnswer } from "./lines.ts";
export type { Matrix, RowsLike } from "./rows.ts";
export type * from "./schema.ts";
export { SteeringSets, type WriteOptions } from "./steering-sets.ts";

import { brotliCompressSync, constants, deflateSync, gzipSync } from "node:zlib";
import { pack } from "msgpackr";
import { type Draft, type Fields, MSGPACK_TYPES, ROUTES, type Target } from "./body-drafts.ts";
import { damaged, type Draw, drawOf, oddly, TOKENS } from "./damage.ts";

/** A request with a body, and what its answer may be. */
export interface Case {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Whether errors are `{"error"}` and not problems. */
  readonly v2: boolean;
  /** Statuses that the API documents for this route. */
  readonly statuses: ReadonlySet<number>;
}

/** Case `index` of a seed: the same whenever it is made. */
export function caseOf(seed: number, index: number, targets: readonly Target[]): Case {
  const draw = drawOf(seed, index);
  const target = draw.pick(targets);
  const route = draw.pick(ROUTES);
  return spoil(draw, route(draw, target, targets));
}

/** MessagePack's own: lengths of four billion, an extension, nothing, the byte that is never used. */
const MARKS = [
  [0xdd, 255, 255, 255, 255],
  [0xdf, 255, 255, 255, 255],
  [0xdb, 255, 255, 255, 255],
  [0xc6, 255, 255, 255, 255],
  [0xdc, 255, 255],
  [0xd6, 255, 0, 0, 0, 0],
  [0x90],
  [0x80],
  [0xc1],
  [0xca, 0x7f, 0x80, 0, 0],
].map((bytes) => Buffer.from(bytes));

/** A part many times over, where a list or an object of the request could be: from a kilobyte to some megabytes. */
function bomb(draw: Draw, packed: boolean): Buffer {
  const length = 2 ** (10 + draw.below(12));
  const key = draw.pick(["inputs", "codes", "edits", "budget", "x", "include"]);
  if (packed) {
    const part = draw.pick([[0x90], [0x80], [1], [0xa0], [0xc4, 0], [0xc0], [0x81, 0xa1, 0x31, 0], [0xca, 0, 0, 0, 0]]);
    const count = Math.floor(length / part.length);
    const head = Buffer.concat([Buffer.from(pack({ [key]: null })).subarray(0, -1), Buffer.from([0xdd, 0, 0, 0, 0])]);
    head.writeUInt32BE(count, head.length - 4);
    return Buffer.concat([head, Buffer.alloc(count * part.length, Buffer.from(part))]);
  }
  const part = draw.pick([
    "[],",
    "{},",
    "[0],",
    '"",',
    '"ab",',
    "0,",
    "null,",
    '{"1":0},',
    '{"a":0},',
    "[[0]],",
    " ",
    '\\"',
  ]);
  return Buffer.from(`{"${key}":[${part.repeat(Math.floor(length / part.length))}0]}`);
}

/** Of no rows that anybody has: all alike, so that they shrink a thousandfold. */
const deepOf = (draw: Draw): Buffer =>
  Buffer.from(draw.pick(["[", '{"a":', "[[1],"]).repeat(2 ** (3 + draw.below(14))));

const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const PACKERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes, QUICK),
};

const written = (content: Fields, packed: boolean): Buffer =>
  packed ? Buffer.from(pack(content)) : Buffer.from(JSON.stringify(content));

/** What JSON.stringify makes null of, and Python's json does not. */
const withTokens = (draw: Draw, text: Buffer): Buffer =>
  draw.chance(0.1) ? Buffer.from(text.toString().replace(/\bnull\b/, draw.pick(["NaN", "-Infinity", "1e400"]))) : text;

function spoil(draw: Draw, made: Draft): Case {
  const packed = MSGPACK_TYPES.includes(made.type);
  let body: Buffer;
  if (made.content instanceof Uint8Array) body = made.content;
  else {
    const fields = draw.chance(0.3) ? made.content : (oddly(draw, made.content, 0.08) as Fields | null);
    body = withTokens(draw, written(fields ?? {}, packed));
  }
  if (draw.chance(0.35)) body = damaged(draw, body, packed ? MARKS : TOKENS);
  if (draw.chance(0.08)) body = bomb(draw, packed);
  if (draw.chance(0.02)) body = deepOf(draw);
  const headers: Record<string, string> = { "content-type": made.type, ...made.headers };
  if (made.accept !== null) headers["accept"] = made.accept;
  if (draw.chance(0.15)) {
    const coding = draw.pick(Object.keys(PACKERS));
    body = PACKERS[coding]!(body);
    if (draw.chance(0.2)) body = damaged(draw, body, MARKS);
    headers["content-encoding"] = draw.chance(0.9) ? coding : draw.pick(["gzip, br", "zip", "identity", ""]);
  }
  if (draw.chance(0.05))
    headers["content-type"] = draw.pick(["text/plain", "", "application/json; charset=latin1", "x/"]);
  if (draw.chance(0.03)) headers["accept"] = draw.pick(["text/html", "", "*", "application/json;q=0", ";;;"]);
  if (draw.chance(0.03)) headers["inference-header-content-length"] = draw.pick(["0", "1", "999999999", "-1", "x"]);
  if (draw.chance(0.03)) headers["if-match"] = draw.pick(['"x"', "*", "", "W/"]);
  if (draw.chance(0.05)) headers["accept-encoding"] = draw.pick(["gzip", "br", "deflate;q=0", "*", "identity;q=0"]);
  const query = { ...made.query };
  for (const name of Object.keys(query)) {
    if (draw.chance(0.06))
      query[name] = draw.pick(["", "x", "-1", "1e9", "[", "[{}]", '{"max_atoms":1}', "99999999999"]);
    if (draw.chance(0.02)) delete query[name];
  }
  if (draw.chance(0.04))
    query[draw.pick(["budget", "rows", "dtype", "include", "x"])] = draw.pick(["", "1", "[[[[[", "trace"]);
  let { method, path } = made;
  if (draw.chance(0.02)) method = draw.pick(["PUT", "DELETE", "PATCH", "POST", "GET", "OPTIONS"]);
  if (draw.chance(0.02))
    path = path.replace(
      /(dictionaries|models)\/[^/]+/,
      (_all, of: string) => `${of}/${draw.pick(["none", "%00", "..", "%zz"])}`,
    );
  const search = new URLSearchParams(query).toString();
  return {
    method,
    path: search === "" ? path : `${path}?${search}`,
    headers,
    // Some clients send bodies where none is taken; Node's own does not.
    body: method === "GET" ? Buffer.alloc(0) : body,
    v2: path.startsWith("/v2"),
    statuses: method === made.method ? made.statuses : new Set([...made.statuses, 201, 204, 409, 412]),
  };
}

/**
 * What reading an encode body costs, and what each choice of src/codecs saves:
 *
 *     npx tsx tools/bench/json-body.ts
 *
 * parse     JSON.parse alone
 * lists     from bytes to a Float32Array by way of JSON.parse and its lists: what serves bodies of any other form
 * read      the same by the number kernel, for rows of plain numbers
 * long      read, where numpy's tolist() wrote the numbers: as float64, with 16 to 19 digits
 * ns/byte   of read and of long
 * schema    Ajv over the parsed body, a visit per number: what `read` does not do
 * blocked   milliseconds that the main thread is held when the body goes to the pool
 */
import { Ajv } from "ajv";
import { readBody } from "../../src/codecs/read-body.ts";
import { rowsExtent } from "../../src/codecs/extent.ts";
import { parseJson } from "../../src/codecs/parse-json.ts";
import { readRows } from "../../src/codecs/rows.ts";
import { shortestFloats } from "../../src/codecs/write-codes.ts";
import { WirePool } from "../../src/routes/threads/pool.ts";
import { EncodeBodySchema } from "../../src/routes/v1/schemas.ts";
import { normals } from "../../test/support/seeded.ts";
import { medianMs, table } from "./timing.ts";

const D = 384;
const limits = { maxRows: 1e6, maxUnpacked: 2 ** 28 };
const extent = rowsExtent(limits, D);
const validate = new Ajv({ strict: false }).compile(EncodeBodySchema);
const pool = new WirePool({ ...limits, maxAnswer: 2 ** 28 });
const lines: (string | number)[][] = [
  ["rows", "KiB", "long KiB", "parse", "lists", "read", "long", "ns/byte", "", "schema", "blocked", "off thread"],
];

for (const count of [1, 8, 64, 512, 4096]) {
  const rows = Array.from({ length: count }, (_, i) => shortestFloats(normals(D, i + 1)));
  const text = JSON.stringify({ inputs: rows, budget: { max_atoms: 16 } });
  const bytes = new TextEncoder().encode(text);
  const asPython = rows.map((_, i) => Array.from(normals(D, i + 1)));
  const longBytes = new TextEncoder().encode(JSON.stringify({ inputs: asPython, budget: { max_atoms: 16 } }));
  const body = JSON.parse(text) as unknown;
  if (!validate(body)) throw new Error("the schema refuses the body");
  const times = count > 500 ? 7 : 51;
  const parse = await medianMs(times, () => JSON.parse(Buffer.from(bytes).toString("utf8")) as unknown);
  const lists = await medianMs(times, () => readRows((parseJson(bytes, extent) as { inputs: unknown }).inputs, limits));
  const readBytes = (given: Uint8Array<ArrayBuffer>) => (): unknown =>
    readBody("encode", given, { type: "json", sizes: { d: D, m: 1 } }, limits);
  const read = await medianMs(times, readBytes(bytes));
  const long = await medianMs(times, readBytes(longBytes));
  const schema = await medianMs(times, () => validate(body));
  let blocked = 0;
  const offThread = await medianMs(times, async () => {
    const copy = bytes.slice();
    const started = performance.now();
    const done = pool.read("encode", copy, limits);
    blocked = performance.now() - started;
    await done;
  });
  const kib = (given: Uint8Array): string => String(Math.round(given.length / 1024));
  const perByte = (ms: number, given: Uint8Array): number => (1e6 * ms) / given.length;
  lines.push([
    String(count),
    kib(bytes),
    kib(longBytes),
    parse,
    lists,
    read,
    long,
    perByte(read, bytes),
    perByte(long, longBytes),
    schema,
    blocked,
    offThread,
  ]);
}
console.log(`milliseconds, rows of ${D}\n${table(lines)}`);
await pool.close();

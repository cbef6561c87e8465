import { extname } from "node:path";
import { BlockMemory, openRowFile } from "../bulk/row-file.ts";
import { SHARD_FORMATS, type ShardFormat, writeShard } from "../bulk/shard-file.ts";
import type { Budget } from "../engine/core/budget.ts";
import type { RequestEncoder } from "../engine/core/dictionary.ts";
import { snakeCase } from "../engine/core/json-object.ts";
import type { Rows } from "../engine/core/rows.ts";
import { codesOfColumns, type SparseCodes, STOP_REASONS } from "../engine/core/sparse-codes.ts";
import type { Settings } from "../server/settings.ts";
import { encoderOfRows, openEngine } from "./encode-here.ts";
import type { ServerClient } from "./server-client.ts";

/** `pursuit encode --rows FILE --out FILE`. */
export interface EncodeRows {
  readonly dictionary: string;
  readonly rows: string;
  readonly out: string;
  /** null: the dictionary's default. */
  readonly budget: Budget | null;
  readonly encoder?: RequestEncoder;
}

/** Rows of one request or one call of the engine. */
const ROWS = 1024;

/** Something that gives codes, and what they say of themselves. */
interface CodesSource {
  readonly width: number;
  readonly sha256: string;
  readonly encode: (rows: Rows) => Promise<SparseCodes>;
  readonly close: () => Promise<void>;
}

/** Encodes a file of rows here, by a dictionary of `settings`, or by a server, into one file of codes. @returns how many */
export async function encodeRows(work: EncodeRows, from: Settings | ServerClient): Promise<number> {
  const { dictionary, out, budget, encoder } = work;
  const format = formatOf(out);
  const source = "post" in from ? await sourceThere(work, from) : await sourceHere(work, from);
  try {
    const file = await openRowFile(work.rows, { width: source.width });
    try {
      const parts: SparseCodes[] = [];
      const blocks = file.blocks(0, file.count, ROWS, new BlockMemory(1));
      for await (const rows of blocks) parts.push(await source.encode(rows));
      if (parts.length === 0) throw new Error(`--rows ${work.rows} holds no rows.`);
      await writeShard(out, format, parts, 0, {
        dictionary,
        sha256: source.sha256,
        shape: JSON.stringify([file.count, parts[0]!.width]),
        ...(budget && { budget: JSON.stringify(snakeCase(budget)) }),
        ...(encoder && { encoder: JSON.stringify(snakeCase(encoder)) }),
      });
      return file.count;
    } finally {
      await file.close();
    }
  } finally {
    await source.close();
  }
}

function formatOf(out: string): ShardFormat {
  const format = SHARD_FORMATS.find((name) => extname(out).toLowerCase() === `.${name}`);
  if (format !== undefined) return format;
  throw new Error(
    `--out ${out} ends in neither ${SHARD_FORMATS.map((name) => `.${name}`).join(" nor ")}: that says its format.`,
  );
}

async function sourceHere({ dictionary, budget, encoder }: EncodeRows, settings: Settings): Promise<CodesSource> {
  const { engine, sha256 } = await openEngine(dictionary, settings);
  const encode = encoderOfRows(engine, dictionary, budget, encoder);
  return { width: engine.status(dictionary).manifest!.dIn, sha256, encode, close: () => engine.close() };
}

/** Fields of a csr answer, by the names of its columns. */
type CsrAnswer = Readonly<Record<string, unknown>> & { readonly sha256: string };

async function sourceThere({ dictionary, budget, encoder }: EncodeRows, server: ServerClient): Promise<CodesSource> {
  const path = `/v1/dictionaries/${encodeURIComponent(dictionary)}`;
  const { body } = await server.get(path);
  const {
    d_in: d = body["d"],
    m,
    sha256,
  } = body as { readonly d_in?: unknown; readonly m?: unknown; readonly sha256?: unknown };
  if (typeof d !== "number" || typeof m !== "number" || typeof sha256 !== "string") {
    throw new Error(`${server.address} does not serve ${dictionary} now (${String(body["state"])}).`);
  }
  return {
    width: d,
    sha256,
    async encode({ data, count, width }) {
      const answer = await server.post(`${path}/encode`, {
        inputs: {
          data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64"),
          dtype: "float32",
          shape: [count, width],
        },
        ...(budget && { budget: snakeCase(budget) }),
        ...(encoder && { encoder }),
        format: "csr",
      });
      const csr = answer.body as CsrAnswer;
      if (csr.sha256 !== sha256)
        throw new Error(`${dictionary} was replaced on ${server.address} meanwhile. Run the command again.`);
      return codesOf(csr, count, m);
    },
    close: () => Promise.resolve(),
  };
}

/** The columns of a csr answer in JSON. */
const codesOf = (answer: CsrAnswer, count: number, width: number): SparseCodes =>
  codesOfColumns({ count, width }, ({ key: [outer, inner], type, names }) => {
    const held = inner === undefined ? answer[outer] : (answer[outer] as Record<string, unknown> | undefined)?.[inner];
    if (!Array.isArray(held)) return undefined;
    const numbers = names === undefined ? (held as number[]) : held.map((name) => STOP_REASONS.indexOf(name as never));
    const column = new type(numbers.length);
    column.set(numbers);
    return column;
  });

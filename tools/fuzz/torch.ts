/**
 * Damages torch checkpoints in many ways and reads them. Each must be refused by a FormatError or be read.
 *
 *     npx tsx tools/fuzz/torch.ts [--count 50000] [--seed 1]
 *
 * Half of the files keep a sound zip around a damaged pickle, so that the damage is not caught by the zip's CRC-32.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FormatError } from "../../src/engine/dictionaries/formats/format-error.ts";
import { isFloatType } from "../../src/engine/dictionaries/formats/tensor-file.ts";
import { openTorch } from "../../src/engine/dictionaries/formats/torch.ts";
import { describeTorch } from "../../src/engine/dictionaries/formats/torch-objects.ts";
import { ZipArchive } from "../../src/engine/dictionaries/formats/zip.ts";
import { random } from "../../test/support/seeded.ts";
import { zipBytes } from "../../test/support/zip-bytes.ts";

const { values } = parseArgs({
  options: { count: { type: "string", default: "50000" }, seed: { type: "string", default: "1" } },
});
const { next: chance, integer: below } = random(Number(values.seed));
const pick = <T>(items: readonly T[]): T => items[below(items.length)]!;

interface Original {
  readonly name: string;
  readonly whole: Buffer;
  /** Files of a zip; none for the legacy form. */
  readonly members: readonly { readonly name: string; readonly bytes: Uint8Array }[];
}

/** Opcodes, and pieces of pickles that mean something to the reader. */
const TOKENS = [
  ...Array.from("cqrhj(.)t}]suaeXUJKMGNQRb0i", (letter) => Buffer.from(letter)),
  ...[0x80, 0x81, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8f, 0x93, 0x95].map((code) => Buffer.of(code)),
  ...[
    "ctorch\nFloatStorage\n",
    "ccollections\nOrderedDict\n",
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "cos\nsystem\n",
  ].map((text) => Buffer.from(text)),
  Buffer.of(0x4a, 0xff, 0xff, 0xff, 0x7f),
  Buffer.of(0x4a, 0xff, 0xff, 0xff, 0xff),
  Buffer.of(0x8a, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0),
];

function damaged(bytes: Uint8Array): Uint8Array {
  let result = Buffer.from(bytes);
  for (let changes = 1 + below(2); changes > 0; changes--) {
    const at = below(result.length + 1);
    switch (below(5)) {
      case 0:
        if (at < result.length) result[at] = below(256);
        break;
      case 1:
        if (at < result.length) result[at] = result[at]! ^ (1 << below(8));
        break;
      case 2:
        result = Buffer.concat([result.subarray(0, at), pick(TOKENS), result.subarray(at)]);
        break;
      case 3:
        result = Buffer.concat([result.subarray(0, at), result.subarray(Math.min(at + 1 + below(9), result.length))]);
        break;
      default: {
        const from = below(result.length);
        const copied = result.subarray(from, from + below(40));
        result = Buffer.concat([result.subarray(0, at), copied, result.subarray(at)]);
      }
    }
  }
  return chance() < 0.05 ? result.subarray(0, below(result.length)) : result;
}

function mutant({ whole, members }: Original): Uint8Array {
  if (members.length === 0 || chance() < 0.5) return damaged(whole);
  return zipBytes(
    members.map(({ name, bytes }) => ({ name, bytes: name.endsWith("data.pkl") ? damaged(bytes) : bytes })),
  );
}

async function originals(): Promise<Original[]> {
  const folder = fileURLToPath(new URL("../../test/fixtures/torch/", import.meta.url));
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".pt"));
  return Promise.all(
    names.map(async (name) => {
      const whole = readFileSync(join(folder, name));
      if (!whole.subarray(0, 2).equals(Buffer.from("PK"))) return { name, whole, members: [] };
      const zip = await ZipArchive.open(join(folder, name), {
        format: "torch.save",
        maxMembers: 100,
        mayLackChecksums: true,
      });
      try {
        const members = await Promise.all(
          zip.members.map(async (member) => ({ name: member.name, bytes: await zip.readBytes(member) })),
        );
        return { name, whole, members };
      } finally {
        await zip.close();
      }
    }),
  );
}

async function readAll(path: string): Promise<void> {
  const file = await openTorch(path, describeTorch);
  try {
    for (const [name, { dtype }] of file.tensors) if (isFloatType(dtype)) await file.readFloats(name);
  } finally {
    await file.close();
  }
}

const folder = mkdtempSync(join(tmpdir(), "pursuit-fuzz-"));
const path = join(folder, "mutant.pt");
const sources = await originals();
const outcomes = { read: 0, refused: 0 };
let slowest = 0;
try {
  for (let i = 0; i < Number(values.count); i++) {
    const source = pick(sources);
    writeFileSync(path, mutant(source));
    const start = performance.now();
    try {
      await readAll(path);
      outcomes.read++;
    } catch (error) {
      if (!(error instanceof FormatError)) {
        const kept = join(tmpdir(), `pursuit-fuzz-${values.seed}-${i}.pt`);
        writeFileSync(kept, readFileSync(path));
        throw new Error(`mutant ${i} of ${source.name} raised another error; it is kept as ${kept}`, { cause: error });
      }
      outcomes.refused++;
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
} finally {
  rmSync(folder, { recursive: true });
}
console.log(
  `${values.count} files: ${outcomes.refused} refused, ${outcomes.read} read, no other error; the slowest took ${slowest.toFixed(0)} ms`,
);

import { once } from "node:events";
import type { FileHandle } from "node:fs/promises";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { FLOAT_BYTES, FloatDecoder, type FloatType, MAX_FLOATS } from "../../core/float-formats.ts";
import { FormatError } from "./format-error.ts";
import { isSetting, MAX_SETTING_ELEMENTS, settingOf } from "./integer-settings.ts";
import { floatArray, openPlainFile, readExactly } from "./plain-file.ts";
import { isRowMajor, toRowMajor } from "./strided.ts";
import type { Setting, TensorFile } from "./tensor-file.ts";
import {
  LEGACY_MAGIC,
  type TorchContents,
  type TorchDescription,
  type TorchPickles,
  type TorchStorage,
  type TorchTensor,
} from "./torch-objects.ts";
import type { TorchAnswer } from "./torch-worker.ts";
import { ZipArchive, type ZipMember } from "./zip.ts";

/**
 * Checkpoints of torch.save: since torch 1.6 a zip of a pickle and one file a storage, before that pickles followed by the
 * storages. The pickle is read as data (pickle.ts), so nothing in a file is ever run.
 */

/** Endings under which people save checkpoints. */
export const TORCH_ENDINGS = [".pt", ".pth", ".bin", ".ckpt", ".pkl"] as const;

/** A language model's pickle is a megabyte, a dictionary's a kilobyte. */
const MAX_PICKLE_BYTES = 16 << 20;

/** Heap of the thread that reads the pickle, in MiB: {@link MAX_PICKLE_BYTES} of opcodes take a few hundred at most. */
const PICKLE_HEAP_MIB = 512;

/** A language model's checkpoint has some thousand storages. */
const MAX_MEMBERS = 100_000;

/** A scalar that is expanded stands for a bias; weights are never expanded. */
const MAX_EXPANDED_FLOATS = 2 ** 24;

/** Read in pieces: one read() of Node moves 2 GiB at most. */
const READ_BYTES = 16 << 20;

/** Reads pickles as data. */
type Describe = (pickles: TorchPickles) => TorchDescription | Promise<TorchDescription>;

/**
 * @param describe by default on a thread of its own
 * @throws FormatError that names the opcode, global or tensor that is refused, and what to do; the system's error when the
 *   file cannot be read
 */
export async function openTorch(path: string, describe: Describe = describeApart): Promise<TensorFile> {
  const { handle, size } = await openPlainFile(path);
  let head: Buffer;
  try {
    head = await readExactly(handle, path, 0, Math.min(size, 512));
    if (startsWith(head, LEGACY_MAGIC)) return await openLegacy(path, handle, size, describe);
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  if (head.toString("latin1", 0, 2) === "PK") return openZipped(path, describe);
  const again = "Load it with torch and save it again: torch.save(model.state_dict(), path).";
  if (head.toString("latin1", 257, 262) === "ustar") {
    throw new FormatError(path, `is a checkpoint of torch 0.1, which is not read. ${again}`);
  }
  if (head[0] === 0x80) throw new FormatError(path, `is a plain pickle, not a file of torch.save. ${again}`);
  throw new FormatError(path, "is not a file of torch.save.");
}

/** Where the numbers of storages lie. */
interface Storages {
  /** Bytes [from, to) of a storage, in pieces. @throws FormatError */
  read(storage: TorchStorage, from: number, to: number): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

async function openZipped(path: string, describe: Describe): Promise<TensorFile> {
  const zip = await ZipArchive.open(path, {
    format: "torch.save",
    maxMembers: MAX_MEMBERS,
    // set_crc32_options(False)
    mayLackChecksums: true,
  });
  try {
    const byName = new Map(zip.members.map((member) => [member.name, member]));
    const prefix = prefixOf(path, zip);
    if (byName.has(`${prefix}constants.pkl`)) {
      throw new FormatError(path, "is a TorchScript program. Save its weights: torch.save(module.state_dict(), path).");
    }
    const pickle = byName.get(`${prefix}data.pkl`)!;
    if (pickle.size > MAX_PICKLE_BYTES) {
      throw new FormatError(path, `${pickle.name} is ${pickle.size} bytes long; the limit is ${MAX_PICKLE_BYTES}.`);
    }
    const order = byName.get(`${prefix}byteorder`);
    if (order !== undefined && Buffer.from(await zip.readBytes(order, 16)).toString("latin1") !== "little") {
      throw new FormatError(path, "was saved on a big-endian machine. Load it with torch and save it again.");
    }
    const { contents } = await describe({ form: "zip", file: path, bytes: await zip.readBytes(pickle) });
    const members = new Map<string, ZipMember>();
    for (const storage of contents.storages.values()) {
      members.set(storage.key, memberOf(path, storage, byName.get(`${prefix}data/${storage.key}`)));
    }
    return await torchFile(path, contents, {
      async *read({ key }, from, to) {
        let at = 0;
        // To its end, whatever is wanted of it: only then the zip's CRC-32 has been checked.
        for await (const chunk of zip.read(members.get(key)!)) {
          const part = chunk.subarray(Math.max(from - at, 0), Math.max(to - at, 0));
          at += chunk.length;
          if (part.length > 0) yield part;
        }
      },
      close: () => zip.close(),
    });
  } catch (error) {
    await zip.close();
    throw error;
  }
}

/** Names inside begin with the file's stem or with "archive". */
function prefixOf(path: string, { members }: ZipArchive): string {
  const pickles = members.filter(({ name }) => /^(?:[^/]+\/)?data\.pkl$/.test(name));
  if (pickles.length === 1) return pickles[0]!.name.slice(0, -"data.pkl".length);
  throw new FormatError(
    path,
    `is not a file of torch.save: the zip holds ${pickles.length} files data.pkl instead of one.`,
  );
}

function memberOf(path: string, { key, count, width }: TorchStorage, member: ZipMember | undefined): ZipMember {
  if (member === undefined) throw new FormatError(path, `holds no data of storage ${key}: data/${key} is missing.`);
  if (!member.stored) throw new FormatError(path, `${member.name} is compressed, which torch.save never does.`);
  if (member.size === count * width) return member;
  throw new FormatError(
    path,
    `${member.name} is ${member.size} bytes long; its ${count} elements take ${count * width}.`,
  );
}

/** @param handle is closed by the file that is returned, or by the caller on an error */
async function openLegacy(path: string, handle: FileHandle, size: number, describe: Describe): Promise<TensorFile> {
  const head = await readExactly(handle, path, 0, Math.min(size, MAX_PICKLE_BYTES));
  const { contents, keys, end } = await describe({ form: "legacy", file: path, bytes: head });
  const starts = new Map<string, number>();
  let at = end;
  for (const key of keys) {
    const storage = contents.storages.get(key);
    if (storage === undefined) throw new FormatError(path, `lists storage ${key}, which its pickle does not name.`);
    const count = Number((await readExactly(handle, path, at, 8)).readBigInt64LE());
    if (count !== storage.count) {
      throw new FormatError(path, `storage ${key} has ${count} elements; its tensors say ${storage.count}.`);
    }
    starts.set(key, at + 8);
    at += 8 + count * storage.width;
  }
  for (const key of contents.storages.keys()) {
    if (!starts.has(key)) throw new FormatError(path, `holds no data of storage ${key}.`);
  }
  if (at > size) throw new FormatError(path, `is ${size} bytes long; its storages end at ${at}: truncated.`);
  return torchFile(path, contents, {
    async *read({ key }, from, to) {
      const start = starts.get(key)!;
      for (let next = from; next < to; next += READ_BYTES) {
        yield readExactly(handle, path, start + next, Math.min(READ_BYTES, to - next));
      }
    },
    close: () => handle.close(),
  });
}

async function torchFile(path: string, contents: TorchContents, storages: Storages): Promise<TensorFile> {
  return {
    path,
    tensors: new Map(
      [...contents.tensors].map(([name, { storage, shape }]) => [name, { dtype: storage.dtype, shape }]),
    ),
    stateDicts: contents.stateDicts,
    settings: new Map([...contents.settings, ...(await integerSettings(contents, storages))]),
    async readFloats(name) {
      const tensor = contents.tensors.get(name);
      if (tensor === undefined) {
        const held = [...contents.tensors.keys()].slice(0, 20).join(", ");
        throw new FormatError(path, `holds no tensor "${name}"; it holds ${held}.`);
      }
      const { dtype } = tensor.storage;
      if (!(dtype in FLOAT_BYTES)) {
        throw new FormatError(path, `tensor "${name}" is of type ${dtype}; F64, F32, F16 and BF16 are read.`);
      }
      return readView(path, name, tensor, storages);
    },
    close: () => storages.close(),
  };
}

/** Elements that a view spans in its storage. */
function spanOf({ shape, strides }: TorchTensor): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, size, axis) => span + (size - 1) * strides[axis]!, 1);
}

async function readView(path: string, name: string, tensor: TorchTensor, storages: Storages): Promise<Float32Array> {
  const { storage, offset, shape, strides } = tensor;
  const count = shape.reduce((product, size) => product * size, 1);
  const span = spanOf(tensor);
  const limit = count > span ? MAX_EXPANDED_FLOATS : MAX_FLOATS;
  if (Math.max(count, span) > limit) {
    const what = count > span ? `expanded from ${span} elements` : `spanning ${span} elements`;
    throw new FormatError(
      path,
      `tensor "${name}" of shape [${shape.join(", ")}], ${what}, is too large; the limit is ${limit}. Save tensor.contiguous().`,
    );
  }
  const data = floatArray(path, `tensor "${name}"`, span);
  const from = offset * storage.width;
  const decoder = new FloatDecoder(storage.dtype as FloatType, data);
  for await (const piece of storages.read(storage, from, from + span * storage.width)) decoder.push(piece);
  return isRowMajor(shape, strides) ? data : toRowMajor(data, shape, strides);
}

/** Small integer tensors, unless they are odd views of a large storage. */
async function integerSettings({ tensors }: TorchContents, storages: Storages): Promise<Map<string, Setting>> {
  const settings = new Map<string, Setting>();
  for (const [name, { storage, shape, strides, offset }] of tensors) {
    const head = { dtype: storage.dtype, shape };
    if (!isSetting(head) || storage.count > MAX_SETTING_ELEMENTS) continue;
    const parts: Uint8Array[] = [];
    for await (const part of storages.read(storage, 0, storage.count * storage.width)) parts.push(part);
    settings.set(name, settingOf(head, Buffer.concat(parts), { offset, stride: strides[0] ?? 0 }));
  }
  return settings;
}

/** On a thread of its own, whose heap is limited. @throws FormatError */
async function describeApart(pickles: TorchPickles): Promise<TorchDescription> {
  // Threads run built code, wherever this file itself runs from.
  const entry = createRequire(import.meta.url).resolve("#dist/engine/dictionaries/formats/torch-worker.js");
  const worker = new Worker(entry, {
    workerData: pickles,
    resourceLimits: { maxOldGenerationSizeMb: PICKLE_HEAP_MIB },
    execArgv: [],
  });
  try {
    const [answer] = (await once(worker, "message")) as [TorchAnswer];
    if ("fault" in answer) throw new FormatError(pickles.file, answer.fault);
    return answer;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY") {
      throw new FormatError(pickles.file, `its pickle takes more than ${PICKLE_HEAP_MIB} MiB to read.`);
    }
    throw error;
  } finally {
    await worker.terminate();
  }
}

const startsWith = (bytes: Buffer, start: Buffer): boolean => bytes.subarray(0, start.length).equals(start);

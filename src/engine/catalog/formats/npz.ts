import type { Readable } from "node:stream";
import { type Entry, openPromise, type ZipFile } from "yauzl";
import { decodeFloats, FLOAT_BYTES } from "../../float-formats.ts";
import { FormatError } from "./format-error.ts";
import { elements, floatTypeOf, NPY_HEAD_BYTES, type NpyHeader, parseNpyHeader, toRowMajor } from "./npy-header.ts";
import type { TensorFile } from "./tensor-file.ts";

/** A dictionary has a dozen arrays; the directory of a zip that claims a million is not walked. */
const MAX_ENTRIES = 1000;

/** Node 20 allocates no larger array. A matching-pursuit dictionary of 262,144 atoms of width 4,096 just fits. */
const MAX_ENTRY_BYTES = 2 ** 32;

/** numpy's ending of an array's name inside the zip. */
const ENDING = ".npy";

/**
 * A .npz file: a zip of .npy files, stored or deflated. It comes from strangers: sizes in the zip's directory are
 * limits on what is inflated, and each array's header is held against them.
 * @throws FormatError; the system's error when it cannot be read.
 */
export async function openNpz(path: string): Promise<TensorFile> {
  const zip = await openZip(path);
  try {
    const entries = new Map<string, { readonly entry: Entry; readonly header: NpyHeader }>();
    for (const entry of await listEntries(path, zip)) {
      const name = entry.fileName.endsWith(ENDING) ? entry.fileName.slice(0, -ENDING.length) : entry.fileName;
      if (entries.has(name)) throw new FormatError(path, `holds ${JSON.stringify(name)} twice.`);
      const head = await readEntry(path, zip, entry, NPY_HEAD_BYTES);
      entries.set(name, { entry, header: parseNpyHeader(`${path}/${entry.fileName}`, head) });
    }
    return {
      path,
      tensors: new Map([...entries].map(([name, { header }]) => [name, header])),
      async readFloats(name) {
        const found = entries.get(name);
        if (found === undefined)
          throw new FormatError(path, `holds no array "${name}"; it holds ${[...entries.keys()].join(", ")}.`);
        const { entry, header } = found;
        const file = `${path}/${entry.fileName}`;
        const type = floatTypeOf(file, header);
        const end = header.dataStart + elements(header.shape) * FLOAT_BYTES[type];
        if (end !== entry.uncompressedSize) {
          const shape = header.shape.join(", ");
          throw new FormatError(
            file,
            `is ${entry.uncompressedSize} bytes long; shape (${shape}) of ${header.dtype} ends at ${end}.`,
          );
        }
        const bytes = await readEntry(path, zip, entry, end);
        const data = new Float32Array(elements(header.shape));
        decodeFloats(bytes.subarray(header.dataStart), type, data);
        return toRowMajor(data, header);
      },
      close: () => Promise.resolve(zip.close()),
    };
  } catch (error) {
    zip.close();
    throw error;
  }
}

async function openZip(path: string): Promise<ZipFile> {
  try {
    return await openPromise(path, { lazyEntries: true, autoClose: false });
  } catch (error) {
    if (error instanceof Error && "code" in error) throw error;
    throw asFormatError(path, error);
  }
}

function listEntries(path: string, zip: ZipFile): Promise<readonly Entry[]> {
  if (zip.entryCount > MAX_ENTRIES) {
    return Promise.reject(new FormatError(path, `claims ${zip.entryCount} arrays; the limit is ${MAX_ENTRIES}.`));
  }
  return new Promise((resolve, reject) => {
    const entries: Entry[] = [];
    zip.on("entry", (entry: Entry) => {
      entries.push(entry);
      zip.readEntry();
    });
    zip.once("end", () => resolve(entries));
    zip.once("error", (error: unknown) => reject(asFormatError(path, error)));
    zip.readEntry();
  });
}

/** The first `length` bytes of an entry, or all of it where it is shorter. */
async function readEntry(path: string, zip: ZipFile, entry: Entry, length: number): Promise<Uint8Array> {
  const wanted = Math.min(length, entry.uncompressedSize);
  if (wanted > MAX_ENTRY_BYTES) {
    throw new FormatError(path, `${entry.fileName} claims ${wanted} bytes; the limit is ${MAX_ENTRY_BYTES}.`);
  }
  const bytes = new Uint8Array(wanted);
  let at = 0;
  let stream: Readable | undefined;
  try {
    stream = await zip.openReadStreamPromise(entry);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const part = chunk.subarray(0, wanted - at);
      bytes.set(part, at);
      at += part.length;
      if (at === wanted && wanted < entry.uncompressedSize) break;
    }
  } catch (error) {
    throw asFormatError(path, error);
  } finally {
    stream?.destroy();
  }
  if (at < wanted) throw new FormatError(path, `${entry.fileName} ends after ${at} of ${wanted} bytes.`);
  return bytes;
}

const asFormatError = (path: string, error: unknown): FormatError =>
  new FormatError(path, `is no sound .npz file (${error instanceof Error ? error.message : String(error)}).`);

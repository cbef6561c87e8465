import { FLOAT_BYTES, FloatDecoder } from "../../core/float-formats.ts";
import { FormatError } from "./format-error.ts";
import { elements, NPY_HEAD_BYTES, type NpyHeader } from "../../core/npy-header.ts";
import { floatTypeOf, inRowMajor, readNpyHeader } from "./npy.ts";
import { checkPlainFile, floatArray } from "./plain-file.ts";
import type { TensorFile } from "./tensor-file.ts";
import { ZipArchive, type ZipMember } from "./zip.ts";

/** A dictionary has a dozen arrays; the directory of a zip that claims a million is not walked. */
const MAX_ARRAYS = 1000;

/** numpy's ending of an array's name inside the zip. */
const ENDING = ".npy";

/** Stands for a member that is no simple array, such as a structured one: a fault only where it is asked for. */
const UNREADABLE = { dtype: "unreadable", shape: [] };

/**
 * A .npz file: a zip of .npy files, stored or deflated. It comes from strangers: sizes in the zip's directory are
 * limits on what is inflated, and each array's header is held against them.
 * @throws FormatError; the system's error when it cannot be read.
 */
export async function openNpz(path: string): Promise<TensorFile> {
  await checkPlainFile(path);
  const zip = await ZipArchive.open(path, { format: ".npz", maxMembers: MAX_ARRAYS });
  try {
    const arrays = new Map<string, { readonly member: ZipMember; readonly header: NpyHeader | FormatError }>();
    for (const member of zip.members) {
      const name = member.name.endsWith(ENDING) ? member.name.slice(0, -ENDING.length) : member.name;
      if (arrays.has(name)) throw new FormatError(path, `holds ${JSON.stringify(name)} twice.`);
      const head = await zip.readBytes(member, NPY_HEAD_BYTES);
      arrays.set(name, { member, header: headerOrFault(`${path}/${member.name}`, head) });
    }
    return {
      path,
      tensors: new Map(
        [...arrays].map(([name, { header }]) => [name, header instanceof FormatError ? UNREADABLE : header]),
      ),
      async readFloats(name) {
        const found = arrays.get(name);
        if (found === undefined)
          throw new FormatError(path, `holds no array "${name}"; it holds ${[...arrays.keys()].join(", ")}.`);
        const { member, header } = found;
        if (header instanceof FormatError) throw header;
        const file = `${path}/${member.name}`;
        const type = floatTypeOf(file, header);
        const end = header.dataStart + elements(header.shape) * FLOAT_BYTES[type];
        if (end !== member.size) {
          const shape = header.shape.join(", ");
          throw new FormatError(
            file,
            `is ${member.size} bytes long; shape (${shape}) of ${header.dtype} ends at ${end}.`,
          );
        }
        zip.checkInflation(member);
        const data = floatArray(path, name, elements(header.shape));
        const decoder = new FloatDecoder(type, data);
        let head = header.dataStart;
        for await (const chunk of zip.read(member)) {
          decoder.push(chunk.subarray(head));
          head = Math.max(0, head - chunk.length);
        }
        return inRowMajor(data, header);
      },
      close: () => zip.close(),
    };
  } catch (error) {
    await zip.close();
    throw error;
  }
}

function headerOrFault(file: string, head: Uint8Array): NpyHeader | FormatError {
  try {
    return readNpyHeader(file, head);
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
}
